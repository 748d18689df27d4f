"""Models without a pyramid: RPN and RoIs on one level, C5 on pooled RoIs, shared by the heads."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import c4_config, enliven, finding_model, tiny_batch, tiny_config, with_keypoints

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import steps
from mask_rcnn_tf.models.backbones.resnet import ResNet
from mask_rcnn_tf.models.conv_norm import ConvNorm


@pytest.fixture(scope="module")
def model():
    return finding_model(config=c4_config())


def losses(model, batch):
    return {name: float(value) for name, value in model.compute_losses(batch, tf.zeros([], tf.int64), True).items()}


def test_the_body_runs_once_in_training_for_all_heads(model, monkeypatch):
    """And gives what running it on each head's RoIs gives, in kernels of constant shapes too."""
    batch, calls, call = with_keypoints(tiny_batch(), 2), [], type(model.roi_body).call

    def counted(self, pooled, **options):
        calls.append(int(tf.shape(pooled)[0]))
        return call(self, pooled, **options)

    monkeypatch.setattr(type(model.roi_body), "call", counted)
    once = losses(model, batch)
    assert len(calls) == 1
    assert losses(model.with_kernels("xla"), batch) == pytest.approx(once, rel=1e-5)
    apart = lambda self, valid, size: self(self._sampled["rois"][:, : valid.shape[1]], valid, size)  # noqa: E731
    monkeypatch.setattr("mask_rcnn_tf.models.pooler.Pool.sampled", apart)
    calls.clear()
    for block in model.roi_body.blocks:
        block.trainable = False  # statistics of fewer rows are others
    frozen = losses(model, batch)
    assert len(calls) == 3
    monkeypatch.undo()
    assert losses(model, batch) == pytest.approx(frozen, rel=1e-5)


def test_steps_and_networks_of_inference(model):
    names = [step.name for step in model.steps()]
    assert [name for name in names if name.endswith("_body")] == [f"{x}_head_body" for x in ("box", "mask", "keypoint")]
    networks = steps.networks(model.steps())
    assert networks["box_head"].inputs == ("box_pooled",) and networks["mask_head"].inputs == (
        "mask_pooled",
        "mask_classes",
    )
    image = tf.constant(np.random.default_rng(0).normal(size=(1, 70, 90, 3)), tf.float32)
    trace = model.trace(image, tf.constant([[70, 90]]))
    assert trace["C4"].shape[1:3] == (5, 6) and trace["box_pooled"].shape[1:] == (14, 14, 16)
    found = networks["box_head"].run({"box_pooled": trace["box_pooled"]})
    assert set(found) == {"class_logits", "box_deltas"}
    np.testing.assert_allclose(found["class_logits"], trace["class_logits"], rtol=1e-4, atol=1e-4)
    maps = model.roi_body(trace["mask_pooled"])
    assert maps.shape[1:] == (7, 7, 24) and trace["detection_masks"].shape[2:] == (14, 14)
    logits = model.mask_head(maps, trace["mask_classes"])
    np.testing.assert_allclose(logits, trace["mask_logits"], rtol=1e-4, atol=1e-4)
    delegated = steps.networks(model.steps(), delegated=True)["mask_head"]
    assert delegated.run({"mask_pooled": trace["mask_pooled"]})["mask_logits"].shape[1:] == (14, 14, 3)


def test_it_is_saved_with_its_body(model, tmp_path):
    model.save(tmp_path / "c4.keras")
    images = [np.random.default_rng(1).integers(0, 256, (70, 90, 3)).astype(np.uint8)]
    (before,), (after,) = (mrcnn.predict_images(m, images) for m in (model, mrcnn.load_model(tmp_path / "c4.keras")))
    assert len(before["detection_boxes"]) == 10
    for name, value in before.items():
        np.testing.assert_allclose(after[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("dilation", [1, 2])
def test_levels_of_c5(dilation):
    config = tiny_config()
    config.fpn.enabled, config.backbone.out_levels, config.backbone.c5_dilation = False, ("C5",), dilation
    config.rpn.levels = config.roi.levels = ("C5",)
    config.anchors.sizes = ((16.0, 32.0),)
    model = enliven(mrcnn.MaskRCNN(config))
    stride = 32 // dilation
    assert model.stages.spec == {"C5": (stride, 24)}
    assert model.extract_features(tf.zeros([1, 96, 128, 3]))["C5"].shape == (1, 96 // stride, 128 // stride, 24)
    assert all(np.isfinite(value) for value in losses(model, tiny_batch()).values())


def test_dilation_is_a_kernel_with_holes():
    """Beside the same convolution with zeros between the cells of its kernel; and a block has it in its 3x3 alone."""
    values = np.random.default_rng(0).normal(size=(2, 9, 8, 4)).astype(np.float32)
    layer = ConvNorm(6, 3, dilation=2, groups=2)
    layer.build((None, None, None, 4))
    holes = np.zeros((5, 5, 2, 6), np.float32)
    holes[::2, ::2] = layer.kernel
    wide = ConvNorm(6, 5, groups=2)
    wide.build((None, None, None, 4))
    wide.kernel.assign(holes)
    np.testing.assert_allclose(layer(values), wide(values), rtol=1e-5, atol=1e-5)
    with tf.GradientTape(persistent=True) as tape:
        ours, theirs = tf.reduce_sum(layer(values, training=True) ** 2), tf.reduce_sum(wide(values) ** 2)
    kernels = tape.gradient(ours, layer.kernel), tape.gradient(theirs, wide.kernel)[::2, ::2]
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)
    np.testing.assert_allclose(*kernels, rtol=1e-4, atol=1e-4)
    blocks = ResNet(stage_blocks=(1, 1, 1, 2), stage_channels=(8,) * 4, c5_dilation=2).blocks
    assert [conv.dilation for block in blocks for conv in block.convs] == [1] * 9 + [1, 2, 1] * 2
    assert [block.stride for block in blocks] == [1, 2, 2, 1, 1]
