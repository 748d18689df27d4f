"""Exports of a model without a pyramid, whose C5 runs on RoIs: every exporter compares it with the Keras model.

SavedModel is in `test_every_preset`.
"""

import pytest
from export_writers import WRITERS, two_images
from tiny import c4_config, finding_model

from mask_rcnn_tf.export import runners, tflite


@pytest.fixture(scope="module")
def model():
    config = c4_config()
    config.keypoint_head.enabled = False
    config.class_names, config.category_ids = ("ball", "box", "star"), (1, 7, 90)
    return finding_model(config=config)


@pytest.mark.slow
def test_int8(model, tmp_path):
    """C5, which runs on RoIs, is a network of its own there too."""
    images = two_images()
    tflite(model, tmp_path / "int8.tflite", images, canvas=(128, 128), quantization="int8", calibration=images)
    assert len(runners.load(tmp_path / "int8.tflite").predict(images[:1])[0]["detection_boxes"])


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "model"])
def test_exports(model, tmp_path, name):
    images = two_images()
    WRITERS[name](model, tmp_path / name, images)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        found = runners.load(tmp_path / name).predict(images[:1])[0]
        assert len(found["detection_boxes"]) and found["detection_masks"].shape[1:] == (14, 14)
