"""Every preset, at a width that a test can afford: trains a step, predicts, saves, loads and exports the same model."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import enliven, tiny_batch, with_keypoints

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export import saved_model
from mask_rcnn_tf.export.errors import ExportError

NAMES = sorted(path.stem for path in (pathlib.Path(__file__).parents[1] / "configs").glob("*.py"))
NAMES.remove("__init__")
# One of each; the others differ in numbers. Masks on a pyramid are what every other test is about (tiny.py).
FAMILIES = ("mask_rcnn_r50_c4", "keypoint_rcnn_r50_fpn", "cascade_mask_rcnn_r50_fpn")


def narrow(name):
    """The preset's model with its parts, kinds and conventions, and few channels."""
    config = mrcnn.load_config(name).model
    config.num_classes, config.class_names, config.category_ids = 3, ("a", "b", "c"), ()
    config.preprocess.short_side, config.preprocess.max_side, config.dtype = 64, 128, "float32"
    if config.preprocess.pixel_scale == 1.0 and not config.backbone.keras_application:
        config.preprocess.std = (58.0,) * 3  # levels of 255 through random weights decode to boxes without area
    backbone, groups = config.backbone, config.backbone.groups
    backbone.stage_blocks, backbone.stage_channels, backbone.stem_channels = (1,) * 4, (32, 32, 32, 32), 32
    if backbone.non_local_after:
        backbone.stage_blocks, backbone.non_local_after = (1, 1, 2, 1), ("c4_0",)
    backbone.groups = min(groups, 4)
    backbone.width_per_group = 64 if groups == 1 else 8
    if "norm" in backbone.norm and backbone.norm.startswith("frozen"):
        backbone.norm = "batch_norm"  # a frozen norm over random weights does not train
    config.fpn.channels = config.rpn.channels = config.mask_head.channels = config.box_head.conv_channels = 32
    config.box_head.fc_channels = config.mask_head.fc_channels = 32
    keypoints = config.keypoint_head
    keypoints.num_convs, keypoints.channels, keypoints.pool_size = min(keypoints.num_convs, 2), 16, 7
    config.rpn.pre_nms_top_n_train = config.rpn.pre_nms_top_n_test = 50
    config.rpn.post_nms_top_n_train = config.rpn.post_nms_top_n_test = 20
    config.roi.samples, config.detection.max_detections, config.detection.score_threshold = 16, 5, 0.0
    if not config.has_classes:
        config.num_classes, config.class_names = 1, ("object",)
    return config


def labelled(config):
    batch = dict(tiny_batch(size=64 if config.masks_on_canvas else 96))
    side = batch["image"].shape[1]
    if config.masks_on_canvas:
        batch["gt_masks"] = tf.fill([2, 5, side, side], tf.constant(255, tf.uint8))
    if not config.rpn.enabled:
        proposals = tf.tile(batch["gt_boxes"] + 3.0, [1, 4, 1])
        batch |= {"proposals": proposals, "num_proposals": tf.fill([2], proposals.shape[1])}
    return with_keypoints(batch, config.keypoint_head.num_keypoints) if config.has_keypoints else batch


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name in FAMILIES else [pytest.mark.slow]) for name in NAMES]
)
def test_preset(name, tmp_path):
    config = narrow(name)
    keras.utils.set_random_seed(5)
    model = enliven(mrcnn.MaskRCNN(config))
    with tf.GradientTape() as tape:
        losses = model.compute_losses(labelled(config), tf.zeros([], tf.int64), True)
        total = tf.add_n(list(losses.values()))
    gradients = tape.gradient(total, model.trainable_variables)
    wanted = {"rpn_objectness", "rpn_box"} if config.rpn.enabled else set()
    wanted |= {loss for head in model.roi_heads for loss in head.loss_names}
    assert set(losses) == wanted and all(np.isfinite(loss) for loss in losses.values())
    named = dict(zip([variable.path for variable in model.trainable_variables], gradients, strict=True))
    assert not [path for path, gradient in named.items() if gradient is None]
    assert all(np.isfinite(tf.convert_to_tensor(gradient)).all() for gradient in gradients)
    images = [np.random.default_rng(0).integers(0, 256, (64, 80, 3)).astype(np.uint8)]
    given = () if config.rpn.enabled else ([np.float32([[5, 5, 40, 50], [10, 20, 60, 70]])],)
    (before,) = mrcnn.make_predictor(model)(images, *given)
    assert len(before["detection_boxes"])
    assert ("detection_masks" in before, "detection_keypoints" in before) == (config.has_masks, config.has_keypoints)
    model.save(tmp_path / "model.keras")
    (after,) = mrcnn.make_predictor(mrcnn.load_model(tmp_path / "model.keras"))(images, *given)
    for key, value in before.items():
        np.testing.assert_allclose(after[key], value, atol=1e-5, err_msg=key)
    if config.rpn.enabled:
        saved_model(model, tmp_path / "saved", images)  # compares what it wrote with the model
    else:
        with pytest.raises(ExportError, match="model has no RPN"):
            saved_model(model, tmp_path / "saved", images)
