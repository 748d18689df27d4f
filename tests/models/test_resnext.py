"""Grouped convolutions against their definition in float64 NumPy, and the blocks of ResNeXts."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.backbones.resnet import ResidualBlock, ResNet
from mask_rcnn_tf.models.conv_norm import ConvNorm

GROUPS, INPUTS, OUTPUTS = 4, 12, 20


def taps(height, width, stride):
    """(dy, dx, rows, columns) of each tap of a 3x3 convolution: where in a map padded by 1 the outputs look."""
    rows, columns = (stride * np.arange(-(-side // stride)) for side in (height, width))
    return [(dy, dx, rows + dy, columns + dx) for dy in range(3) for dx in range(3)]


def grouped(inputs, kernel, stride):
    """[n, h, w, in] * [3, 3, in / groups, out]: output o sees the channels of group o // (out / groups) alone."""
    padded = np.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)])
    outputs = 0
    for dy, dx, rows, columns in taps(*inputs.shape[1:3], stride):
        seen = padded[:, rows[:, None], columns].reshape(len(inputs), len(rows), len(columns), GROUPS, -1)
        part = kernel[dy, dx].reshape(-1, GROUPS, OUTPUTS // GROUPS)
        outputs = outputs + np.einsum("nhwgc,cgo->nhwgo", seen, part)
    return outputs.reshape(*outputs.shape[:3], OUTPUTS)


def grouped_gradients(inputs, kernel, stride, upstream):
    """Gradients of `grouped` for inputs and kernel."""
    padded = np.pad(inputs, [(0, 0), (1, 1), (1, 1), (0, 0)])
    d_padded, d_kernel = np.zeros_like(padded), np.zeros_like(kernel)
    upstream = upstream.reshape(*upstream.shape[:3], GROUPS, -1)
    for dy, dx, rows, columns in taps(*inputs.shape[1:3], stride):
        seen = padded[:, rows[:, None], columns].reshape(*upstream.shape[:4], -1)
        part = kernel[dy, dx].reshape(-1, GROUPS, OUTPUTS // GROUPS)
        spread = np.einsum("nhwgo,cgo->nhwgc", upstream, part)
        d_padded[:, rows[:, None], columns] += spread.reshape(*spread.shape[:3], INPUTS)
        d_kernel[dy, dx] = np.einsum("nhwgc,nhwgo->cgo", seen, upstream).reshape(-1, OUTPUTS)
    return d_padded[:, 1:-1, 1:-1], d_kernel


def layer_and_inputs(stride, shape, norm="none"):
    random = np.random.default_rng(stride)
    layer = ConvNorm(OUTPUTS, 3, stride, norm=norm, groups=GROUPS)
    layer.build((None, None, None, INPUTS))
    layer.kernel.assign(random.normal(size=(3, 3, INPUTS // GROUPS, OUTPUTS)))
    return layer, random.normal(size=(2, *shape, INPUTS)).astype(np.float32), random


@pytest.mark.parametrize("shape", [(6, 8), (7, 9)])
@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_convolution(stride, shape):
    layer, inputs, random = layer_and_inputs(stride, shape)
    kernel = layer.kernel.numpy().astype(np.float64)
    upstream = random.normal(size=layer.compute_output_shape(inputs.shape))
    with tf.GradientTape() as tape:
        watched = tf.constant(inputs)
        tape.watch(watched)
        outputs = layer(watched)
        total = tf.reduce_sum(outputs * tf.constant(upstream, tf.float32))
    gradients = tape.gradient(total, [watched, layer.kernel.value])
    np.testing.assert_allclose(outputs, grouped(inputs.astype(np.float64), kernel, stride), atol=2e-5)
    expected = grouped_gradients(inputs.astype(np.float64), kernel, stride, upstream)
    for ours, theirs in zip(gradients, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=5e-5)


@pytest.mark.parametrize("stride", [1, 2])
def test_grouped_convolution_with_a_folded_norm(stride):
    layer, inputs, random = layer_and_inputs(stride, (7, 8), "frozen_batch_norm")
    for weight in layer.norm.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    gamma, beta, mean, variance = (
        getattr(layer.norm, name).numpy().astype(np.float64)
        for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    plain = grouped(inputs.astype(np.float64), layer.kernel.numpy().astype(np.float64), stride)
    np.testing.assert_allclose(layer(inputs), (plain - mean) / np.sqrt(variance + 1e-5) * gamma + beta, atol=5e-5)


def test_dimensions_of_a_32x8d_block():
    block = ResidualBlock(64, project=True, stride_in_1x1=False, groups=32, width_per_group=8)
    block.build((None, None, None, 64))
    assert [tuple(conv.kernel.shape) for conv in block.convs] == [(1, 1, 64, 256), (3, 3, 8, 256), (1, 1, 256, 256)]


def test_a_resnext_is_saved_by_keras(tmp_path):
    backbone = ResNet(
        stage_blocks=(1,) * 4, stage_channels=(8, 16, 24, 32), stem_channels=8, groups=2, width_per_group=32
    )
    inputs = keras.Input((64, 64, 3))
    model = keras.Model(inputs, backbone(inputs))
    model.save(tmp_path / "resnext.keras")
    loaded = keras.models.load_model(tmp_path / "resnext.keras")
    image = np.random.default_rng(0).normal(size=(1, 64, 64, 3)).astype(np.float32)
    for level, feature in model.predict(image, verbose=0).items():
        np.testing.assert_array_equal(feature, loaded.predict(image, verbose=0)[level])
    assert tuple(loaded.layers[-1].blocks[1].convs[1].kernel.shape) == (3, 3, 8, 16)


def test_basic_blocks_have_no_groups():
    config = mrcnn.load_config("mask_rcnn_small").model
    config.backbone.groups = 2
    with pytest.raises(ValueError, match=r"model\.backbone\.groups is 2; allowed: 1, with width_per_group 64"):
        mrcnn.MaskRCNN(config)
