"""Layers against torchvision where padding, sizes and layouts bite, and norms against their definitions."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from convolving import operations
from tiny import tiny_config

from mask_rcnn_tf.models.backbones.fpn import FeaturePyramid, upsample_by_resize, upsample_nearest
from mask_rcnn_tf.models.backbones.resnet import ResidualBlock
from mask_rcnn_tf.models.conv_norm import ConvNorm, convolve_together
from mask_rcnn_tf.models.heads.box import BoxHead
from mask_rcnn_tf.models.heads.mask import MaskHead
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.norms import FrozenBatchNorm, RowBatchNorm
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.ops import conv_forms
from mask_rcnn_tf.ops.kernels import KERNELS
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


@pytest.mark.parametrize("shape", [(6, 10), (5, 10), (6, 9), (5, 9)])
@pytest.mark.parametrize("traced", [False, True])
def test_doubling_repeats_and_cuts(shape, traced):
    level = tf.random.stateless_normal([2, 3, 5, 4], [1, 2])
    repeated = level.numpy().repeat(2, 1).repeat(2, 2)[:, : shape[0], : shape[1]]
    for upsample in (upsample_nearest, upsample_by_resize):
        run = upsample
        if traced:  # of unknown sizes
            run = tf.function(
                lambda level, shape, upsample=upsample: upsample(level, tf.unstack(shape)), autograph=False
            )
            run = run.get_concrete_function(tf.TensorSpec([None, None, None, 4]), tf.TensorSpec([2], tf.int32))
        np.testing.assert_array_equal(run(level, tf.constant(shape) if traced else shape), repeated)


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


@pytest.mark.parametrize("options", [{}, {"num_convs": 1, "conv_channels": 6}, {"num_fcs": 0}, {"average": True}])
def test_box_head_with_channels_first_is_the_same(options):
    head = BoxHead(3, fc_channels=16, pool_size=5, **options)
    head.build((None, 5, 5, 4))
    pooled = tf.random.stateless_normal([7, 5, 5, 4], [1, 2])
    before = head(pooled)
    head.put_channels_first()
    head.put_channels_first()  # once
    for found, expected in zip(head(pooled), before, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"class_agnostic": True}, {"num_convs": 1}])
def test_mask_head_with_channels_first_is_the_same(options):
    head = MaskHead(3, channels=6, pool_size=5, **{"num_convs": 0, **options})
    head.build((None, 5, 5, 4))
    pooled, classes = tf.random.stateless_normal([7, 5, 5, 4], [1, 2]), tf.constant([1, 2, 3, 3, 0, 1, 2])
    before = head(pooled, classes)
    assert np.std(before) > 0
    head.put_channels_first()
    np.testing.assert_allclose(head(pooled, classes), before, atol=1e-6)


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


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_strided_1x1_is_the_product_of_every_other_pixel(dtype):
    layer = ConvNorm(6, 1, 2, dtype=dtype)
    layer.build((None, None, None, 4))
    inputs = tf.cast(tf.random.stateless_normal([2, 9, 12, 4], [1, 2]), layer.compute_dtype)
    upstream = tf.cast(tf.random.stateless_normal([2, 5, 6, 6], [1, 3]), inputs.dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    gradient = tape.gradient(outputs, inputs, upstream)
    kernel = tf.cast(tf.cast(layer.kernel, inputs.dtype), tf.float64)[0, 0].numpy()
    given, share = (tf.cast(value, tf.float64).numpy() for value in (inputs, upstream))
    expected = np.zeros_like(given)
    expected[:, ::2, ::2] = share @ kernel.T
    bound = 1e-5 if dtype == "float32" else 2.0**-7
    np.testing.assert_allclose(tf.cast(outputs, tf.float64), given[:, ::2, ::2] @ kernel, rtol=bound, atol=bound)
    np.testing.assert_allclose(tf.cast(gradient, tf.float64), expected, rtol=bound, atol=bound)


@pytest.mark.parametrize(
    "training, trainable, form, products",
    [
        (True, True, conv_forms.NATIVE, 9),
        (False, True, conv_forms.NATIVE, 0),
        (True, False, conv_forms.NATIVE, 0),
        (True, True, conv_forms.COMPILED, 0),
    ],
)
def test_a_wide_convolution_trains_by_products_of_matrices(training, trainable, form, products):
    layer = ConvNorm(256, 3)
    layer.build((None, None, None, 256))
    layer.form, layer.trainable = form, trainable

    def gradient(inputs):
        with tf.GradientTape() as tape:
            tape.watch((inputs, layer.kernel.value))
            outputs = layer(inputs, training=training)
        return tape.gradient(outputs, (inputs, layer.kernel.value))

    names = operations(tf.function(gradient, autograph=False), tf.TensorSpec([1, 64, 64, 256]))
    assert names.count("MatMul") == products


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_predictors_of_one_map_are_one_convolution(dtype):
    """Of the same results and gradients as two, in float32 whatever the dtype of the map."""
    random, layers = np.random.default_rng(0), [ConvNorm(filters, 1, dtype="float32") for filters in (3, 12)]
    for layer in layers:
        layer.build((None, None, None, 16))
        layer.bias.assign(random.normal(size=layer.filters))
    kernels = [layer.kernel.value for layer in layers]
    inputs = tf.cast(random.normal(size=(2, 9, 7, 16)), "bfloat16" if dtype == "mixed_bfloat16" else dtype)
    shares = [tf.constant(random.normal(size=(2, 9, 7, layer.filters)), tf.float32) for layer in layers]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = convolve_together(layers, inputs)
    to_inputs, *to_kernels = tape.gradient(outputs, (inputs, *kernels), shares)
    given = tf.cast(inputs, tf.float64).numpy()
    expected = np.zeros_like(given)
    for layer, output, to_kernel, share in zip(layers, outputs, to_kernels, shares, strict=True):
        kernel, share = layer.kernel.numpy()[0, 0].astype(np.float64), share.numpy()
        assert output.dtype == tf.float32
        np.testing.assert_allclose(output, given @ kernel + layer.bias.numpy(), rtol=1e-5, atol=1e-5)
        np.testing.assert_allclose(to_kernel[0, 0], np.einsum("bhwi,bhwo->io", given, share), rtol=1e-5, atol=1e-4)
        expected += share @ kernel.T
    bound = 1e-5 if dtype == "float32" else 2.0**-8
    np.testing.assert_allclose(tf.cast(to_inputs, tf.float64), expected, rtol=bound, atol=1e-5)


@pytest.mark.parametrize(
    "form, convolutions",
    [(conv_forms.NATIVE, 1), (conv_forms.COMPILED, 2), (conv_forms.STRIDED, 2), (conv_forms.WHOLE, 2)],
)
def test_predictors_are_apart_where_results_are_quantized_as_a_whole(form, convolutions):
    layers = [ConvNorm(filters, 1) for filters in (3, 12)]
    for layer in layers:
        layer.build((None, None, None, 16))
        layer.form = form
    convolve = tf.function(lambda inputs: convolve_together(layers, inputs), autograph=False)
    assert operations(convolve, tf.TensorSpec([1, 4, 4, 16])).count("Conv2D") == convolutions


@pytest.mark.parametrize("kernels", KERNELS)
def test_all_convolutions_of_a_model_have_the_form_of_its_kernels(kernels):
    model = MaskRCNN(tiny_config(kernels=kernels))
    forms = {layer.form for _, layer in sublayers(model) if isinstance(layer, ConvNorm)}
    assert forms == {KERNELS[kernels].convolution}


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


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_batch_norm_is_keras_s(dtype):
    """Outputs, gradients and running statistics over some steps, beside the class that it extends."""
    random, layers = np.random.default_rng(0), []
    for kind in (RowBatchNorm, keras.layers.BatchNormalization):
        layers.append(kind(momentum=0.8, epsilon=1e-3, dtype=dtype))
        layers[-1].build((None, None, None, 3))
    bound = {"atol": 1e-5} if dtype == "float32" else {"atol": 2.0**-6}  # of outputs up to 4
    for _ in range(3):
        inputs = tf.cast(random.normal(3.0, 2.0, (6, 4, 5, 3)), layers[0].compute_dtype)
        upstream, found = tf.cast(random.normal(size=inputs.shape), inputs.dtype), []
        for layer in layers:
            with tf.GradientTape() as tape:
                tape.watch(inputs)
                outputs = layer(inputs, training=True)
            assert outputs.dtype == inputs.dtype
            weights = [layer.gamma.value, layer.beta.value]
            found.append([outputs, *tape.gradient(outputs, [inputs, *weights], upstream), *layer.weights])
        for ours, reference in zip(*found, strict=True):
            np.testing.assert_allclose(tf.cast(ours, "float32"), tf.cast(reference, "float32"), rtol=1e-5, **bound)


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
