"""Exports of a model without a pyramid, whose C5 runs on RoIs: every exporter compares it with the Keras model.

SavedModel is in `test_every_preset`.
"""

import numpy as np
import pytest
from tiny import c4_config, finding_model

from mask_rcnn_tf.export import onnx, runners, stablehlo, tflite

CANVAS = (96, 128)


@pytest.fixture(scope="module")
def model():
    config = c4_config()
    config.keypoint_head.enabled = False
    config.class_names, config.category_ids = ("ball", "box", "star"), (1, 7, 90)
    return finding_model(config=config)


@pytest.fixture(scope="module")
def images():
    random = np.random.default_rng(0)
    return [random.integers(0, 256, shape).astype(np.uint8) for shape in ((72, 96, 3), (120, 90, 3))]


WRITERS = {
    "model.onnx": lambda model, path, images: onnx(model, path, images),
    "canvas.onnx": lambda model, path, images: onnx(model, path, images, canvas=CANVAS),
    "model.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128)),
    "heads.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128), heads_only=True),
    "program": lambda model, path, images: stablehlo(model, path, images, CANVAS, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_exports(model, images, tmp_path, name):
    WRITERS[name](model, tmp_path / name, images)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        found = runners.load(tmp_path / name).predict(images[:1])[0]
        assert len(found["detection_boxes"]) and found["detection_masks"].shape[1:] == (14, 14)
