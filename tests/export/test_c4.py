"""Exports of a model without a pyramid, whose C5 runs on RoIs: every exporter compares it with the Keras model.

SavedModel is in `test_every_preset`.
"""

import pytest
from export_writers import WRITERS, two_images
from tiny import c4_config, finding_model
from trained import trained_model

from mask_rcnn_tf.export import runners, tflite
from mask_rcnn_tf.export.check_images import drawn_scenes


@pytest.fixture(scope="module")
def model():
    config = c4_config()
    config.keypoint_head.enabled = False
    config.class_names, config.category_ids = ("ball", "box", "star"), (1, 7, 90)
    return finding_model(config=config)


def on_c4(config):
    """The small model without its pyramid, C5 on RoIs."""
    config.backbone.out_levels, config.fpn.enabled, config.roi.body = ("C4",), False, "C5"
    config.rpn.levels = config.roi.levels = ("C4",)
    config.anchors.sizes, config.preprocess.size_divisor = ((12.0, 20.0, 32.0, 48.0, 64.0),), 1
    config.box_head.num_fcs, config.box_head.average, config.box_head.pool_size = 0, True, 14
    config.mask_head.num_convs = 0


@pytest.mark.slow  # a model is trained for a minute: rounding does not leave random weights alone
def test_int8(tmp_path):
    """C5, which runs on RoIs, is in int8 too."""
    model = trained_model(tmp_path / "scenes", change=on_c4)
    scenes = drawn_scenes(model.config, 8)
    tflite(model, tmp_path / "int8.tflite", scenes, quantization="int8", calibration=scenes)
    assert sum(len(found["detection_boxes"]) for found in runners.load(tmp_path / "int8.tflite").predict(scenes))


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "model"])
def test_exports(model, tmp_path, name):
    images = two_images()
    WRITERS[name](model, tmp_path / name, images)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        found = runners.load(tmp_path / name).predict(images[:1])[0]
        assert len(found["detection_boxes"]) and found["detection_masks"].shape[1:] == (14, 14)
