"""Exports of a cascade, whose box heads are three networks: every exporter compares its detections with the model's."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_config, finding_model

from mask_rcnn_tf.export import onnx, runners, saved_model, stablehlo, tflite

CANVAS = (96, 128)


@pytest.fixture(scope="module")
def model():
    config = finding_config()
    config.box_head.class_agnostic, config.box_head.cascade_ious = True, (0.6, 0.7)
    return finding_model(config=config)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in ((72, 96, 3), (120, 90, 3))]


WRITERS = {
    "model": lambda model, path, images: saved_model(model, path, images),
    "model.onnx": lambda model, path, images: onnx(model, path, images),
    "canvas.onnx": lambda model, path, images: onnx(model, path, images, canvas=CANVAS),
    "model.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128)),
    "heads.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128), heads_only=True),
    "program": lambda model, path, images: stablehlo(model, path, images, CANVAS, 1),
}
NETWORKS = {"network", "box_head_1", "box_head_2", "box_head_3", "mask_head"}


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name != "model")) for name in WRITERS])
def test_exports(model, images, tmp_path, name):
    WRITERS[name](model, tmp_path / name, images)
    if name == "heads.tflite":
        assert set(tf.lite.Interpreter(str(tmp_path / name)).get_signature_list()) == NETWORKS
    elif name != "program":  # the program runs where jax is
        assert len(runners.load(tmp_path / name).predict(images[:1])[0]["detection_boxes"])
