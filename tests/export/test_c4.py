"""Exports of a model without a pyramid, whose C5 runs on RoIs: every exporter compares it with the Keras model.

SavedModel is in `test_every_preset`.
"""

import pytest
from tiny import c4_config, finding_model

from mask_rcnn_tf.export import onnx, runners, stablehlo, tflite
from mask_rcnn_tf.export.check_images import drawn_scenes

CANVAS = (96, 128)


@pytest.fixture(scope="module")
def model():
    config = c4_config()
    config.keypoint_head.enabled = False
    config.class_names, config.category_ids = ("ball", "box", "star"), (1, 7, 90)
    model = finding_model(config=config)
    for layer in (model.box_head.classes, model.box_head.deltas):  # scores of 1 everywhere would tie
        layer.kernel.assign(layer.kernel * 0.1)
    return model


@pytest.fixture(scope="module")
def images(model):
    return drawn_scenes(model.config, 2)


WRITERS = {
    "model.onnx": lambda model, path, images: onnx(model, path, images),
    "canvas.onnx": lambda model, path, images: onnx(model, path, images, canvas=CANVAS),
    "model.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128)),
    "heads.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128), heads_only=True),
    "int8.tflite": lambda model, path, images: tflite(model, path, images, canvas=(128, 128), quantization="int8"),
    "program": lambda model, path, images: stablehlo(model, path, images, CANVAS, 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", WRITERS)
def test_exports(model, images, tmp_path, name):
    WRITERS[name](model, tmp_path / name, images)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        found = runners.load(tmp_path / name).predict(images[:1])[0]
        assert len(found["detection_boxes"]) and found["detection_masks"].shape[1:] == (14, 14)
