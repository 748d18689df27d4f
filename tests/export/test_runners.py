"""Artefacts of every format behind one `predict`."""

from concurrent import futures

import numpy as np
import pytest
import tensorflow as tf
from dark_boxes import dark_config, write_images, write_saved_model
from pycocotools import mask as coco_mask
from tiny import tiny_config, tiny_model

from mask_rcnn_tf import predict_images
from mask_rcnn_tf.coco.results import to_results
from mask_rcnn_tf.export import runners
from mask_rcnn_tf.export.canvas import place_on_canvas
from mask_rcnn_tf.export.check_images import drawn_scenes, read_folder
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.keras_model import KerasRunner
from mask_rcnn_tf.export.runners.outputs import to_detections


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    model.config.class_names, model.config.category_ids = ("a", "b", "c"), (7, 3, 90)
    return model


@pytest.fixture(scope="module")
def images(model):
    return drawn_scenes(model.config, 2)[1:]  # landscape; every size takes seconds to trace


def assert_same(found, expected):
    assert len(found) == len(expected)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.keys() == theirs.keys() and len(theirs["detection_scores"])
        assert ours["detection_classes"].tolist() == theirs["detection_classes"].tolist()
        for name in ("detection_boxes", "detection_scores", "detection_masks"):
            np.testing.assert_allclose(ours[name], theirs[name], rtol=0, atol=5e-3 if "boxes" in name else 1e-4)


def test_keras_model_and_file(model, images, tmp_path):
    expected = predict_images(model, images)
    assert_same(KerasRunner(model).predict(images), expected)
    model.save(tmp_path / "model.keras")
    loaded = runners.load(tmp_path / "model.keras")
    assert loaded.config.class_names == ("a", "b", "c") and loaded.canvas is None
    assert_same(loaded.predict(images), expected)


def test_keras_model_on_a_canvas(model, images):
    """The canvas that preprocessing itself would give changes nothing; the runner's classes are 1..C again."""
    shape = model.preprocess(tf.constant(images[0][None]))[0].shape[1:3]
    assert_same(KerasRunner(model, tuple(shape)).predict(images), predict_images(model, images))


def test_canvas_must_fit(model):
    with pytest.raises(ExportError, match="multiples of 32"):
        KerasRunner(model, (100, 128))


def test_threads_get_the_results_of_one(model):
    """Keras's `predict`, traced while four threads ask for it."""
    images = drawn_scenes(model.config, 2)[1:] * 8
    for index, image in enumerate(images):
        images[index] = np.roll(image, 5 * index, axis=1)
    runner = KerasRunner(tiny_model())
    with futures.ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda image: runner.predict([image])[0], images))
    for ours, image in zip(found, images, strict=True):
        for name, value in runner.predict([image])[0].items():
            np.testing.assert_array_equal(ours[name], value)


@pytest.mark.parametrize("bitmaps", [False, True])
def test_saved_model(tmp_path, bitmaps):
    """Pasted masks reach the COCO results as they are."""
    write_images(tmp_path / "images", [(10, 20, 40, 60)])
    write_saved_model(tmp_path / "1", bitmaps=bitmaps)
    runner = runners.load(tmp_path / "1")
    assert runner.canvas is None and runner.config == dark_config()
    images = read_folder(tmp_path / "images")
    (found,) = runner.predict(images)
    np.testing.assert_array_equal(found["detection_boxes"], [[10, 20, 40, 60]])
    assert found["detection_classes"].tolist() == [3] and found["detection_scores"].tolist() == [np.float32(0.9)]
    assert found["detection_bitmaps" if bitmaps else "detection_masks"].shape == (
        1,
        *((64, 96) if bitmaps else (28, 28)),
    )
    (result,) = to_results(found, 1, (64, 96), (7, 3, 90))
    np.testing.assert_array_equal(coco_mask.decode(result["segmentation"]), images[0][:, :, 0] == 0)


def test_unknown_category_id(model):
    outputs = {"num_detections": np.array([1]), "detection_classes": np.full([1, 10], 8)}
    with pytest.raises(ExportError, match=r"detection_classes has \[8\]; .* \[7, 3, 90\]"):
        to_detections(model.config, outputs)


def test_what_is_no_artefact(tmp_path):
    with pytest.raises(ExportError, match="there is nothing"):
        runners.load(tmp_path / "absent.keras")
    for name in ("folder", "model.txt", "broken.keras"):
        (tmp_path / name).mkdir() if name == "folder" else (tmp_path / name).write_text("x")
        with pytest.raises(ExportError, match=name):
            runners.load(tmp_path / name)
    (tmp_path / "foreign" / "assets").mkdir(parents=True)
    (tmp_path / "foreign" / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(ExportError, match="no assets/config.json"):
        runners.load(tmp_path / "foreign")
    (tmp_path / "foreign" / "assets" / "config.json").write_text("{}")
    with pytest.raises(ExportError, match="does not load"):
        runners.load(tmp_path / "foreign")


def test_drawn_scenes():
    config = tiny_config()
    scenes = drawn_scenes(config, 5)
    shapes = [scene.shape for scene in scenes]
    assert all(scene.dtype == np.uint8 and scene.std() > 10 for scene in scenes)
    assert any(h > w for h, w, _ in shapes) and any(w > h for h, w, _ in shapes)
    assert shapes[0] == shapes[4] == (96, 96, 3) and (scenes[0] != scenes[4]).any()
    for scene, again in zip(scenes, drawn_scenes(config, 5), strict=True):
        np.testing.assert_array_equal(scene, again)
    placed, shape = place_on_canvas(config, scenes[3], (128, 128))
    assert shape.max() == 128  # the longest one is bounded by max_side
    assert placed.any()


def test_read_folder(tmp_path):
    images = [np.full([4, 5, 3], value, np.uint8) for value in (10, 20, 30)]
    for i, image in enumerate(images):
        (tmp_path / f"{i}.png").write_bytes(tf.io.encode_png(image).numpy())
    np.testing.assert_array_equal(read_folder(tmp_path), images)
    np.testing.assert_array_equal(read_folder(tmp_path, limit=2), images[:2])
    (tmp_path / "3.png").write_bytes(b"no image")
    with pytest.raises(ExportError, match="3.png: does not decode"):
        read_folder(tmp_path)
    with pytest.raises(ExportError, match="no image files"):
        read_folder(tmp_path / "absent")
