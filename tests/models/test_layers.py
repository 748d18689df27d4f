"""Layers against torchvision where padding, sizes and layouts bite, and norms against their definitions."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.models.backbones.fpn import FeaturePyramid
from mask_rcnn_tf.models.backbones.resnet import ResidualBlock
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.heads.mask import MaskHead
from mask_rcnn_tf.models.norms import FrozenBatchNorm, RowBatchNorm
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.weights.projects.torch_layouts import conv_norm


def nhwc(array):
    return tf.constant(np.transpose(array, (0, 2, 3, 1)))


def load(entries, golden, prefix):
    for entry in entries:
        (source,) = entry.sources
        entry.variable.assign(entry.to_ours(golden[f"{prefix}/weights/{source.name}"]))


@pytest.mark.parametrize("size", ["even", "odd"])
def test_pyramid(golden, size):
    golden = golden("unit_layers")
    features = {f"C{i}": nhwc(golden[f"fpn/{size}/in/C{i}"]) for i in range(2, 6)}
    pyramid = FeaturePyramid({name: (2 ** int(name[1]), feature.shape[-1]) for name, feature in features.items()}, 5)
    pyramid.build({name: tuple(feature.shape) for name, feature in features.items()})
    for i, (lateral, output) in enumerate(zip(pyramid.laterals, pyramid.outputs_, strict=True)):
        load(conv_norm(f"inner_blocks.{i}.0", None, lateral), golden, "fpn")
        load(conv_norm(f"layer_blocks.{i}.0", None, output), golden, "fpn")
    for name, level in pyramid(features).items():
        np.testing.assert_allclose(level, nhwc(golden[f"fpn/{size}/out/{name}"]), atol=2e-6)


def test_bottleneck(golden):
    golden = golden("unit_layers")
    block = ResidualBlock(4, 2, project=True, stride_in_1x1=False, norm="frozen_batch_norm")
    block.build((None, None, None, 8))
    for i, conv in enumerate(block.convs, start=1):
        load(conv_norm(f"conv{i}", f"bn{i}", conv), golden, "bottleneck")
    load(conv_norm("downsample.0", "downsample.1", block.shortcut), golden, "bottleneck")
    ours = block(nhwc(golden["bottleneck/in/x"]))
    np.testing.assert_allclose(ours, nhwc(golden["bottleneck/out/y"]), atol=2e-6)


def test_stem(golden):
    golden = golden("unit_layers")
    stem = ConvNorm(8, 7, 2, norm="frozen_batch_norm", relu=True)
    stem.build((None, None, None, 3))
    load(conv_norm("conv1", "bn1", stem), golden, "stem")
    ours = stem(nhwc(golden["stem/in/x"]))
    ours = tf.nn.max_pool2d(tf.pad(ours, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
    np.testing.assert_allclose(ours, nhwc(golden["stem/out/y"]), rtol=2e-6, atol=2e-6)


def test_mask_predictor(golden):
    golden = golden("unit_layers")
    head = MaskHead(2, num_convs=0, channels=5)
    head.build((None, 7, 7, 6))
    weight = golden["mask_predictor/weights/conv5_mask.weight"]
    head.deconv.kernel.assign(weight.transpose(0, 2, 3, 1).reshape(1, 1, 6, 20))
    head.deconv.bias.assign(golden["mask_predictor/weights/conv5_mask.bias"])
    head.kernel.assign(golden["mask_predictor/weights/mask_fcn_logits.weight"][1:, :, 0, 0])
    head.bias.assign(golden["mask_predictor/weights/mask_fcn_logits.bias"][1:])
    for class_id in (1, 2):
        ours = head(nhwc(golden["mask_predictor/in/x"]), tf.constant([class_id, class_id]))
        np.testing.assert_allclose(ours, golden["mask_predictor/out/y"][:, class_id], atol=2e-6)


@pytest.mark.parametrize("stride_in_1x1", [True, False])
@pytest.mark.parametrize("bottleneck", [True, False])
def test_block_shapes_are_what_they_say(stride_in_1x1, bottleneck):
    block = ResidualBlock(6, 2, bottleneck, project=True, stride_in_1x1=stride_in_1x1)
    block.build((None, None, None, 3))
    assert tuple(block(tf.zeros([1, 13, 17, 3])).shape) == block.compute_output_shape((1, 13, 17, 3))


@pytest.mark.parametrize("norm", ["frozen_batch_norm", "batch_norm"])
def test_folded_norm_equals_convolution_then_norm(norm):
    random = np.random.default_rng(0)
    layer = ConvNorm(5, 3, 2, norm=norm, norm_epsilon=1e-3)
    layer.build((None, None, None, 4))
    for weight in layer.norm.weights:
        weight.assign(random.uniform(0.5, 1.5, weight.shape))
    inputs = random.normal(size=(2, 9, 11, 4)).astype(np.float32)
    padded = tf.pad(inputs, [[0, 0], [1, 1], [1, 1], [0, 0]])
    plain = tf.nn.conv2d(padded, tf.convert_to_tensor(layer.kernel), 2, "VALID").numpy().astype(np.float64)
    gamma, beta, mean, variance = (
        getattr(layer.norm, name).numpy() for name in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    expected = (plain - mean) / np.sqrt(variance + 1e-3) * gamma + beta
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-5)


def test_strided_1x1_equals_the_strided_convolution():
    layer = ConvNorm(6, 1, 2)
    layer.build((None, None, None, 4))
    inputs = tf.random.stateless_normal([2, 9, 12, 4], [1, 2])
    expected = tf.nn.conv2d(inputs, tf.convert_to_tensor(layer.kernel), 2, "VALID")
    np.testing.assert_allclose(layer(inputs), expected, atol=1e-6)


def test_frozen_norm_survives_model_trainable():
    norm = FrozenBatchNorm()
    norm.build((None, 3))
    norm.trainable = False
    norm.trainable = True
    # `trainable` turns a layer's variables on and off; statistics that came with the weights must not train.
    assert not norm.trainable_variables


def rows_norm(**options):
    norm = RowBatchNorm(momentum=0.8, epsilon=1e-3, **options)
    norm.build((None, None, None, 3))
    norm.gamma.assign([1.0, 2.0, 0.5])
    norm.beta.assign([0.1, 0.0, -0.2])
    return norm


def test_batch_norm_leaves_padded_rows_out():
    random = np.random.default_rng(0)
    inputs = random.normal(3.0, 2.0, (6, 4, 5, 3)).astype(np.float32)
    valid = np.array([True, False, True, True, False, True])
    ours, reference = rows_norm(), rows_norm()
    outputs = ours(inputs, training=True, valid=tf.constant(valid)).numpy()
    np.testing.assert_allclose(outputs[valid], reference(inputs[valid], training=True), atol=1e-5)
    for a, b in zip(ours.weights, reference.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5)
    chosen = inputs[valid].astype(np.float64)
    expected = (chosen - chosen.mean((0, 1, 2))) / np.sqrt(chosen.var((0, 1, 2)) + 1e-3) * [1, 2, 0.5] + [0.1, 0, -0.2]
    np.testing.assert_allclose(outputs[valid], expected, atol=1e-4)


def test_batch_norm_without_any_valid_row_keeps_its_statistics():
    norm = rows_norm()
    norm.moving_mean.assign([1.0, 2.0, 3.0])
    outputs = norm(tf.ones([2, 3, 3, 3]), training=True, valid=tf.constant([False, False]))
    np.testing.assert_array_equal(norm.moving_mean, [1.0, 2.0, 3.0])
    np.testing.assert_array_equal(norm.moving_variance, np.ones(3))
    assert np.isfinite(outputs).all()


@pytest.mark.parametrize("static", [False, True])
def test_roi_rows_there_and_back(static):
    valid = tf.constant([[True, True, False], [False, False, False], [True, False, True]])
    padded = tf.reshape(tf.range(18.0), [3, 3, 2])
    rows = RoiRows(valid, static)
    flat = rows.flatten(padded)
    assert flat.shape[0] == (9 if static else 4)
    np.testing.assert_array_equal(tf.boolean_mask(rows.batch_indices, rows.counted), [0, 0, 2, 2])
    np.testing.assert_array_equal(tf.boolean_mask(rows.restore(flat), valid), tf.boolean_mask(padded, valid))


def test_roi_rows_without_a_valid_one_stand_in_uncounted():
    rows = RoiRows(tf.zeros([2, 3], tf.bool), False)
    flat = rows.flatten(tf.ones([2, 3, 4]))
    assert flat.shape[0] == 1 and not rows.counted.numpy().any()
    np.testing.assert_array_equal(rows.restore(flat), np.zeros([2, 3, 4]))


def test_layers_are_saved_by_keras(tmp_path):
    inputs = keras.Input((16, 16, 3))
    model = keras.Model(
        inputs, ResidualBlock(4, 2, True, project=True, norm="group_norm")(ConvNorm(8, 3, 2, relu=True)(inputs))
    )
    model.save(tmp_path / "layers.keras")
    loaded = keras.models.load_model(tmp_path / "layers.keras")
    image = np.random.default_rng(0).normal(size=(1, 16, 16, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(image, verbose=0), loaded.predict(image, verbose=0))
