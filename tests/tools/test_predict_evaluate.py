"""tools/evaluate.py and tools/predict.py, with a stand-in for the model that finds dark rectangles."""

import importlib.util
import json
import pathlib
import signal
import sys
import types
from functools import partial

import keras
import numpy as np
import pytest
from absl import flags
from PIL import Image
from reading_pages import Page

import mask_rcnn_tf
from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.config import BackboneConfig, ModelConfig
from mask_rcnn_tf.detections import Detections
from mask_rcnn_tf.evaluation import files, image_files

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
SCENES = {"a.png": (10, 20, 40, 60), "b.jpg": (30, 30, 60, 70), "c.png": (5, 8, 50, 90)}  # y1, x1, y2, x2


@pytest.fixture
def run(monkeypatch):
    """Runs a tool in this process: `run("predict", model=..., input=...)`. Its flags are removed afterwards."""
    known = set(flags.FLAGS)
    monkeypatch.setitem(sys.modules, "starting", types.ModuleType("starting"))  # Ctrl-C stays the tests'

    def run_tool(name, *paths, **arguments):
        spec = importlib.util.spec_from_file_location(f"tool_{name}", TOOLS / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        try:
            spec.loader.exec_module(module)
            given = [f"--{key}={value}" for key, value in arguments.items()]
            module.main(flags.FLAGS([name, *given, *map(str, paths)]))
        finally:
            for flag in set(flags.FLAGS) - known:
                delattr(flags.FLAGS, flag)

    return run_tool


@pytest.fixture
def folder(tmp_path):
    """Three images with a dark rectangle each, and their COCO file; file a.png has category 5, the others 8."""
    images, annotations = [], []
    for number, (name, (y1, x1, y2, x2)) in enumerate(SCENES.items(), start=100):
        image = np.full((64, 96, 3), 255, np.uint8)
        image[y1:y2, x1:x2] = 0
        (tmp_path / "images").mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / "images" / name, quality=95)
        images.append({"id": number, "file_name": name, "height": 64, "width": 96})
        corners = [x1, y1, x2, y1, x2, y2, x1, y2]
        box = [x1, y1, x2 - x1, y2 - y1]
        annotations.append({"id": number, "image_id": number, "category_id": 5 if name == "a.png" else 8, "bbox": box})
        annotations[-1] |= {"area": box[2] * box[3], "iscrowd": 0, "segmentation": [corners]}
    categories = [{"id": 5, "name": "cat"}, {"id": 8, "name": "dog"}]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return tmp_path


def find_dark(model, images):
    """Detections as `mask_rcnn_tf.predict_images` gives them; the class is 1 where a box begins at row 10."""
    assert model.config.num_classes == 3
    (image,) = images
    dark = image.mean(-1) < 128
    rows, columns = np.flatnonzero(dark.any(1)), np.flatnonzero(dark.any(0))
    box = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
    arrays = {
        "detection_boxes": np.array([box, [0, 0, 9, 9]], np.float32),
        "detection_scores": np.array([0.9, 0.1], np.float32),
        "detection_classes": np.array([1 if rows[0] == 10 else 2, 3], np.int32),
        "detection_masks": np.ones((2, 28, 28), np.float32),
    }
    return [Detections(arrays, image.shape[:2], model.config)]


@pytest.fixture
def model(monkeypatch):
    config = ModelConfig(num_classes=3, category_ids=(5, 8, 77), class_names=("cat", "dog", "cow"))
    monkeypatch.setattr(files, "load_model", lambda path: types.SimpleNamespace(config=config))
    monkeypatch.setattr(mask_rcnn_tf, "make_predictor", lambda model, augmentation: partial(find_dark, model))
    return config


def test_evaluate(run, folder, model, capsys):
    paths = {"annotations": folder / "truth.json", "images": folder / "images", "output": folder / "out" / "m.json"}
    run("evaluate", model="m.keras", results=folder / "r.json", max_dets="1,10,50", **paths)
    metrics = json.loads((folder / "out" / "m.json").read_text())
    for kind in ("bbox", "segm"):
        assert metrics[kind]["AP"] == pytest.approx(1.0)
        assert metrics[kind]["AR50"] == pytest.approx(1.0)
    assert metrics["per_category"]["segm"] == {"cat": pytest.approx(1.0), "dog": pytest.approx(1.0)}
    results = json.loads((folder / "r.json").read_text())
    # Category 77 is the model's only: left out.
    assert [(r["image_id"], r["category_id"], r["file_name"]) for r in results] == [
        (100, 5, "a.png"),
        (101, 8, "b.jpg"),
        (102, 8, "c.png"),
    ]
    assert "segm      AP 100.0" in capsys.readouterr().out


def test_augmentation_reaches_the_model(run, folder, model, monkeypatch):
    given = []
    make = mask_rcnn_tf.make_predictor
    monkeypatch.setattr(
        mask_rcnn_tf, "make_predictor", lambda model, augmentation: given.append(augmentation) or make(model, None)
    )
    paths = {"annotations": folder / "truth.json", "images": folder / "images", "output": folder / "m.json"}
    run("evaluate", model="m", short_sides="480,640", max_side=1000, flip=False, **paths)
    run("predict", model="m", input=folder / "images", output=folder / "out", short_sides="96")
    run("predict", model="m", input=folder / "images", output=folder / "out")
    expected = [((480, 640), 1000, False), ((96,), 0, True), ((), 0, True)]
    assert [(one.short_sides, one.max_side, one.flip) for one in given] == expected
    with pytest.raises(SystemExit, match="evaluate: short_sides is 480,x; allowed: numbers such as 640,800."):
        run("evaluate", model="m", short_sides="480,x", **paths)
    with pytest.raises(SystemExit, match="config.eval.augmentation.short_sides is .*; allowed: "):
        run("evaluate", model="m", short_sides="0", **paths)


def test_evaluate_goes_on_after_bad_images(run, folder, model):
    (folder / "images" / "a.png").write_bytes(b"no image")
    (folder / "images" / "b.jpg").unlink()
    Image.fromarray(np.full((96, 64, 3), 255, np.uint8)).save(folder / "images" / "c.png")
    paths = {"annotations": folder / "truth.json", "images": folder / "images", "output": folder / "out" / "m.json"}
    with pytest.raises(SystemExit) as error:
        run("evaluate", model="m", report=folder / "out" / "r.html", **paths)
    page = Page((folder / "out" / "r.html").read_text())
    assert "Note: the score is partial: 3 images cannot be read" in " ".join(page.texts[""].split())
    assert page.texts["worst"].count("No picture: ") == 3 and "../images" in page.texts["files"]
    message = str(error.value)
    assert "a.png: does not decode as an image." in message
    assert "b.jpg: there is no such file." in message
    assert "c.png: has 96 x 64 pixels (h x w), the annotations say 64 x 96; swapped sides mean an EXIF" in message
    first = "evaluate: the score is partial: 3 images cannot be read, their objects count as not found\n"
    assert message.startswith(first) and message.count("\n") == 3
    metrics = json.loads((folder / "out" / "m.json").read_text())
    assert metrics["bbox"]["AP"] == 0 and page.figures["metrics"] == metrics


def test_evaluate_needs_known_categories(run, folder, model):
    truth = json.loads((folder / "truth.json").read_text())
    truth["categories"] += [{"id": 6, "name": "owl"}, {"id": 90, "name": "emu"}]
    (folder / "truth.json").write_text(json.dumps(truth))
    with pytest.raises(SystemExit, match="has categories 6, 90, which the model does not know; its .*ids: 5, 8, 77"):
        run(
            "evaluate", model="m", annotations=folder / "truth.json", images=folder / "images", output=folder / "m.json"
        )


def test_categories_are_matched_by_name(run, folder, model, caplog):
    """Ids changed places, and the annotations with them: the same score."""
    truth = json.loads((folder / "truth.json").read_text())
    truth["categories"] = [{"id": 8, "name": "cat"}, {"id": 5, "name": "dog"}]
    for row in truth["annotations"]:
        row["category_id"] = 13 - row["category_id"]
    (folder / "truth.json").write_text(json.dumps(truth))
    run("evaluate", model="m", annotations=folder / "truth.json", images=folder / "images", output=folder / "m.json")
    assert json.loads((folder / "m.json").read_text())["bbox"]["AP"] == pytest.approx(1.0)
    assert "categories are matched by name" in caplog.text


def test_annotations_without_masks(run, folder, model, capsys):
    truth = json.loads((folder / "truth.json").read_text())
    truth["annotations"] = [dict(item, segmentation=[]) for item in truth["annotations"]]
    (folder / "truth.json").write_text(json.dumps(truth))
    run("evaluate", model="m", annotations=folder / "truth.json", images=folder / "images", output=folder / "m.json")
    assert set(json.loads((folder / "m.json").read_text())) == {"bbox", "per_category"}
    assert "Masks are not scored" in capsys.readouterr().out


@pytest.mark.parametrize("source", ["images", "images/*.png", "images/b.jpg"])
def test_predict(run, folder, model, source):
    run("predict", model="m", input=folder / source, output=folder / "out")
    names = [name for name in SCENES if pathlib.PurePath(f"images/{name}").match(source) or source == "images"]
    results = json.loads((folder / "out" / "results.json").read_text())
    assert [(r["image_id"], r["file_name"]) for r in results[::2]] == list(enumerate(names, start=1))
    assert {r["category_id"] for r in results} <= {5, 8, 77}
    assert all(isinstance(r["segmentation"]["counts"], str) for r in results)
    pictures = sorted(path.name for path in (folder / "out").glob("*.jpg"))
    assert pictures == [f"{i:04d}_{name.split('.')[0]}.jpg" for i, name in enumerate(names, start=1)]
    picture = np.array(Image.open(folder / "out" / pictures[0]))
    assert picture.shape == (7 * 64, 7 * 96, 3)
    assert (picture[:50, :50] > 240).all()  # the detection at score 0.1 is not drawn


@pytest.mark.parametrize(
    "flags, expected",
    [
        ({"classes": "dog"}, [8, 8]),
        ({"classes": "cat,77"}, [5, 77, 77, 77]),
        ({"min_score": 0.5}, [5, 8, 8]),
        ({"classes": "dog,cow", "min_score": 0.1}, [77, 8, 77, 8, 77]),
        ({"classes": "dog,cow", "min_score": 0.11}, [8, 8]),
    ],
)
def test_predict_what_is_wanted(run, folder, model, capsys, flags, expected):
    """Classes by names and category ids; in pictures and in results."""
    run("predict", model="m", input=folder / "images", output=folder / "out", **flags)
    results = json.loads((folder / "out" / "results.json").read_text())
    assert [r["category_id"] for r in results] == expected
    assert f"{len(expected)} detections on 3 images" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="^predict: classes has 'owl'; allowed: a name or number of 1 cat, 2 dog, 3 c"):
        run("predict", model="m", input=folder / "images", output=folder / "out", classes="cat,owl")


@pytest.mark.parametrize("number, code", [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit)])
def test_a_video_that_is_interrupted(run, folder, model, monkeypatch, capsys, number, code):
    """The frame at work is finished; both files are complete."""
    cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed: pip install mask_rcnn_tf[video]")
    writer = cv2.VideoWriter(str(folder / "clip.mp4"), cv2.VideoWriter_fourcc(*"mp4v"), 25.0, (96, 64))
    for _ in range(9):
        writer.write(np.array(Image.open(folder / "images" / "a.png")))
    writer.release()
    seen = []

    def interrupted(images):
        seen.append(1)
        if len(seen) == 3:
            signal.raise_signal(number)
        return find_dark(types.SimpleNamespace(config=model), images)

    monkeypatch.setattr(mask_rcnn_tf, "make_predictor", lambda model, augmentation: interrupted)
    with pytest.raises(code):
        run("predict_video", model="m", input=folder / "clip.mp4", output=folder / "out.mp4", classes="cat")
    lines = (folder / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["frame"] for line in lines] == [0, 1, 2]
    reader = cv2.VideoCapture(str(folder / "out.mp4"))
    assert reader.get(cv2.CAP_PROP_FRAME_COUNT) == 3 and reader.read()[1].shape == (64, 96, 3)
    assert f"3 detections on 3 frames: {folder}/out.mp4" in capsys.readouterr().out


def test_predict_goes_on_after_bad_images(run, folder, model):
    (folder / "images" / "a.png").write_bytes(b"no image")
    with pytest.raises(SystemExit, match=r"a.png: does not decode as an image.\n1 of 3 images could not be read."):
        run("predict", model="m", input=folder / "images", output=folder / "out")
    results = json.loads((folder / "out" / "results.json").read_text())
    assert {r["file_name"] for r in results} == {"b.jpg", "c.png"}


def test_predict_takes_what_the_shell_makes_of_a_pattern(run, folder, model, capsys):
    """Flags follow the paths; what is passed over is named, and a picture that cannot be drawn costs no results."""
    (folder / "images" / "d.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    (folder / "out" / "0002_b.jpg").mkdir(parents=True)  # in the picture's place
    paths = [folder / "images" / name for name in ("a.png", "b.jpg", "d.heic")]
    with pytest.raises(SystemExit, match=r"^[^\n]*b.jpg: no picture: IsADirectoryError[^\n]*$"):
        options = {"model": "m", "input": folder / "images" / "c.png", "output": folder / "out"}
        run("predict", *paths, "--score_threshold=0.9", **options)
    results = json.loads((folder / "out" / "results.json").read_text())
    assert [result["file_name"] for result in results[::2]] == list(SCENES)
    printed = capsys.readouterr().out
    assert "passed over, HEIC (or a video) is not read: convert it to PNG or JPEG: d.heic\n" in printed
    assert f"6 detections on 3 images: {folder / 'out' / 'results.json'}" in printed


def test_predict_leaves_out_images_above_a_limit(run, folder, model):
    with pytest.raises(SystemExit, match=r"a.png: says that it has 64 x 96 pixels [^\n]*at most 0.0 megapixels"):
        run("predict", model="m", input=folder / "images", output=folder / "out", max_megapixels=0.006)


def test_one_line_errors(run, folder, tmp_path):
    (tmp_path / "text.keras").write_text("no model")
    (tmp_path / "text.json").write_text("no json")
    paths = {"annotations": folder / "truth.json", "images": folder / "images", "output": folder / "m.json"}
    with pytest.raises(SystemExit, match="^evaluate: model is 'none.keras'; there is no such file.$"):
        run("evaluate", model="none.keras", **paths)
    with pytest.raises(SystemExit, match="^evaluate: model .*text.keras' does not load: [^\n]*$"):
        run("evaluate", model=tmp_path / "text.keras", **paths)
    with pytest.raises(SystemExit, match="^evaluate: max_dets is 1,x; allowed"):
        run("evaluate", model="none.keras", max_dets="1,x", **paths)
    with pytest.raises(SystemExit, match="^evaluate: keypoint_sigmas is x; allowed: a number a keypoint"):
        run("evaluate", model="none.keras", keypoint_sigmas="x", **paths)
    with pytest.raises(SystemExit, match="^predict: input is .*nowhere'; there are no image files"):
        run("predict", model="none.keras", input=tmp_path / "nowhere", output=tmp_path)
    with pytest.raises(ValueError, match="annotations is 'none.json'; there is no such file"):
        reader.read_annotations("none.json")
    with pytest.raises(ValueError, match="text.json is not JSON"):
        reader.read_annotations(tmp_path / "text.json")


def test_jpeg_pixels_equal_pillow(folder):
    path = folder / "images" / "b.jpg"
    np.testing.assert_array_equal(image_files.read_image(path), np.array(Image.open(path)))


def test_evaluate_a_saved_model(run, folder):
    """The whole way with a real, untrained model: what it finds is scored, in the file's ids and inside its images."""
    config = ModelConfig(num_classes=2, category_ids=(5, 8))
    config.backbone = BackboneConfig(
        block="basic",
        stage_blocks=(1, 1, 1, 1),
        stage_channels=(8, 8, 8, 8),
        stem_channels=8,
        norm="batch_norm",
        frozen_stages=0,
    )
    config.preprocess.short_side = config.preprocess.max_side = 96
    config.fpn.channels = config.rpn.channels = config.box_head.fc_channels = config.mask_head.channels = 8
    config.rpn.pre_nms_top_n_test = config.rpn.post_nms_top_n_test = 20
    config.detection.max_detections = 4
    keras.utils.set_random_seed(1)  # what random weights find depends on them
    mask_rcnn_tf.MaskRCNN(config).save(folder / "m.keras")
    paths = {"annotations": folder / "truth.json", "images": folder / "images", "output": folder / "m.json"}
    run("evaluate", model=folder / "m.keras", results=folder / "r.json", **paths)
    metrics, results = (json.loads((folder / name).read_text()) for name in ("m.json", "r.json"))
    assert set(metrics) == {"bbox", "segm", "per_category"}
    assert (
        results
        and {r["image_id"] for r in results} <= {100, 101, 102}
        and {r["category_id"] for r in results} <= {5, 8}
    )
    for result in results:
        x, y, width, height = result["bbox"]
        assert 0 <= x <= x + width <= 96.001 and 0 <= y <= y + height <= 64.001
        assert result["segmentation"]["size"] == [64, 96]
