"""The programs and commands of docs/results.md run as they are printed."""

import json
import re
import sys
import types

import numpy as np
import pytest
from PIL import Image
from test_data_in_docs import run
from test_readme import ROOT, blocks
from tiny import finding_config, finding_model

import mask_rcnn_tf
from mask_rcnn_tf.evaluation import files
from mask_rcnn_tf.weights import loading

TEXT = (ROOT / "docs" / "results.md").read_text()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Where the page begins: a model that finds discs and squares, two images."""
    folder, config = tmp_path_factory.mktemp("results"), finding_config()
    config.class_names = ("disc", "square", "star")
    finding_model(config=config).save(folder / "shapes.keras")
    random = np.random.default_rng(0)
    for name in ("first.png", "second.jpg"):
        Image.fromarray(random.integers(0, 256, (90, 120, 3), np.uint8)).save(folder / name)
    (folder / "tools").symlink_to(ROOT / "tools")
    return folder


@pytest.fixture(autouse=True)
def eager(monkeypatch):
    """Models run eagerly: tracing takes ten times as long."""

    def load(path, load=loading.load_model):
        model = load(path)
        model.run_eagerly = True
        return model

    monkeypatch.setattr(mask_rcnn_tf, "load_model", load)
    monkeypatch.setattr(files, "load_model", load)


def test_programs(folder, monkeypatch):
    """The two packages are stood in for: `tests/test_detections.py` says what they are given."""
    monkeypatch.chdir(folder)
    make = types.SimpleNamespace
    monkeypatch.setitem(sys.modules, "supervision", make(Detections=make))
    monkeypatch.setitem(sys.modules, "fiftyone", make(Detections=make, Detection=make))
    names = {}
    for program in blocks("python", TEXT):
        exec(compile(program, "docs/results.md", "exec"), names)
    assert len(names["sure"]) > 0 and len(Image.open("first_found.png").getbands()) == 3
    assert len(json.loads((folder / "results.json").read_text())) == len(names["found"]) + len(names["other"])
    assert set(names["chosen"].class_names) <= {"disc", "square"} and len(names["several"]) == 5
    assert len(names["annotated"].xyxy) == len(names["labels"].detections) == len(names["found"])


def test_commands(folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    images, clip = (command for block in blocks("bash", TEXT) for command in block.splitlines())
    run(images, monkeypatch, capsys)
    results = json.loads((folder / "runs" / "chosen" / "results.json").read_text())
    assert results and all(row["score"] >= 0.3 and row["category_id"] in (1, 7) for row in results)
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install mask_rcnn_tf[video]")
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 10.0, (120, 90))
    for _ in range(3):
        writer.write(np.asarray(Image.open(folder / "second.jpg"))[..., ::-1])
    writer.release()
    assert "detections on 2 frames: runs/drawn.mp4, runs/drawn.jsonl" in run(clip, monkeypatch, capsys)
    lines = [json.loads(line) for line in (folder / "runs" / "drawn.jsonl").read_text().splitlines()]
    (printed,) = re.findall(r'^\{"frame".*\}$', TEXT, re.MULTILINE)
    assert [line["frame"] for line in lines] == [0, 2]
    assert [set(line) for line in lines] == [set(re.findall(r'"(\w+)":', printed))] * 2


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / "docs" / target).exists(), target
