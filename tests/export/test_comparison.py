"""Forms of a model side by side."""

import pathlib
import types

import numpy as np
import pytest
from dark_boxes import write_images, write_saved_model

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export import comparison
from mask_rcnn_tf.export.comparison import compare_artefacts, differences, format_table
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.peak_memory import measure_memory

BOXES = [(10, 20, 40, 60), (30, 30, 60, 70), (5, 8, 50, 90)]


def found(left, score=0.9, image=1, category=1):
    return {"image_id": image, "category_id": category, "bbox": [left, 0.0, 10.0, 10.0], "score": score}


def test_differences_by_hand():
    reference = [found(0.0), found(40.0, 0.5), found(80.0), found(0.0, image=2)]
    results = [found(41.0, 0.6), found(2.0), found(0.5), found(80.0, category=2)]
    figures = differences(results, reference)
    assert figures["matched"] == 2  # 0.5 is nearer to 0 than 2 is
    np.testing.assert_allclose([figures["box_px_mean"], figures["box_px_largest"]], [0.75, 1.0])
    np.testing.assert_allclose([figures["score_mean"], figures["score_largest"]], [0.05, 0.1])
    assert figures["mask_iou_mean"] is None


def test_differences_of_nothing():
    assert differences([], [found(0.0)])["matched"] == 0
    assert differences([found(0.0)], [])["agreement"] is None


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr(comparison, "measure_memory", lambda path, canvas, files: None)


def test_known_differences(tmp_path, no_memory):
    """The second is a quarter of a pixel lower and less sure; the third finds nothing."""
    write_images(tmp_path / "images", BOXES)
    write_saved_model(tmp_path / "a" / "1")
    write_saved_model(tmp_path / "b", shift=0.25, score=0.8)
    write_saved_model(tmp_path / "c", found=0)
    others = [tmp_path / "b", tmp_path / "c"]
    a, b, c = compare_artefacts(tmp_path / "a" / "1", others, str(tmp_path / "images"), str(tmp_path / "truth.json"))
    assert [a["artefact"], a["against"], b["artefact"], b["against"]] == ["a/1", None, "b", "a/1"]
    assert [record["detections"] for record in (a, b, c)] == [3, 3, 0]
    assert (b["matched"], c["matched"], b["agreement"], c["agreement"]) == (3, 0, 1.0, 0.0)
    np.testing.assert_allclose([b["box_px_mean"], b["box_px_largest"]], 0.25, atol=1e-5)
    np.testing.assert_allclose([b["score_mean"], b["score_largest"]], 0.1, atol=1e-6)
    assert (a["bbox_AP"], a["segm_AP"], c["segm_AP"], c["segm_AP_change"]) == (1.0, 1.0, 0.0, -1.0)
    assert b["mask_iou_least"] > 0.9 and c["mask_iou_least"] is None and b["latency_ms"] > 0
    size = sum(file.stat().st_size for file in (tmp_path / "b").rglob("*") if file.is_file())
    assert b["size_mb"] == round(size / 2**20, 3)
    table = {line.split("  ")[0]: line.split()[1:] for line in format_table([a, b, c]).splitlines()}
    assert table["matched"] == ["-", "3", "0"] and table["canvas"] == ["-", "-", "-"]


def test_annotations_of_the_first_images_alone(tmp_path, no_memory):
    write_images(tmp_path / "images", BOXES)
    write_saved_model(tmp_path / "a")
    arguments = (tmp_path / "a", [tmp_path / "a"], str(tmp_path / "images"))
    records = compare_artefacts(*arguments, str(tmp_path / "truth.json"), limit=2)
    assert [(record["images"], record["bbox_AP"]) for record in records] == [(2, 1.0)] * 2
    assert "bbox_AP" not in compare_artefacts(*arguments, limit=1)[0]
    with pytest.raises(ExportError, match="absent"):
        compare_artefacts(*arguments, str(tmp_path / "absent.json"))


def test_a_keras_model_gets_the_canvas_of_its_partner(monkeypatch):
    """Whichever of the two it is; one reference for each canvas."""
    canvases = {"a.tflite": (192, 192), "b.tflite": (192, 256), "c.tflite": (192, 192), "d": None}

    def load(path, canvas=None):
        path = pathlib.Path(path)
        return types.SimpleNamespace(canvas=canvas if path.suffix == ".keras" else canvases[path.name])

    monkeypatch.setattr(comparison, "load", load)
    monkeypatch.setattr(comparison, "load_on_canvas", load)
    programs = comparison._load_all("m.keras", list(canvases))
    names = ["m.keras on 192 x 192", "m.keras on 192 x 256", "m.keras"]
    assert [program.name for program in programs[:3]] == names
    assert [program.against.name for program in programs[3:]] == [names[0], names[1], names[0], names[2]]
    programs = comparison._load_all("a.tflite", ["m.keras", "d"])
    assert [program.name for program in programs] == ["a.tflite on 192 x 192", "m.keras on 192 x 192", "d"]


def test_programs_take_turns(tmp_path, monkeypatch):
    """Each image is timed by all programs before the next one; the first round is no timing."""
    calls = []

    def program(name):
        predict = lambda images: calls.append(name) or [{}]  # noqa: E731
        runner = types.SimpleNamespace(predict=predict, config=ModelConfig(), canvas=None)
        return comparison.Program(pathlib.Path(name), runner)

    write_images(tmp_path / "images", BOXES)
    monkeypatch.setattr(comparison, "find_in_image", lambda runner, *_: runner.predict([]) and [])
    programs = [program("a"), program("b")]
    comparison._run_all(programs, comparison.image_files.find_images(str(tmp_path / "images")))
    assert calls == ["a", "b"] * (3 + 12)
    assert [len(item.seconds) for item in programs] == [12, 12]


def test_memory_is_that_of_another_process(tmp_path):
    ballast = np.ones(2**27)  # 1 GB here
    write_images(tmp_path / "images", BOXES[:1])
    write_saved_model(tmp_path / "a")
    memory = measure_memory(tmp_path / "a", None, [tmp_path / "images" / "1.png"])
    if memory is None:
        pytest.skip("this system does not say how much memory a process had")
    assert 0 < memory["above_start_mb"] < memory["peak_mb"] < ballast.nbytes / 2**20
