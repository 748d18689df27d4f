"""Values and gradients of `wide_conv2d` against float64, above and below the size from which it multiplies matrices."""

import numpy as np
import pytest
import tensorflow as tf
from convolving import gradients, operations

from mask_rcnn_tf.ops import wide_conv
from mask_rcnn_tf.ops.wide_conv import is_wide, wide_conv2d


@pytest.mark.parametrize("known", [None, True, False], ids=["eager", "known sizes", "unknown sizes"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("size", [(2, 9, 7, 6, 5), (3, 64, 65, 4, 3), (1, 1, 1, 2, 2)], ids=str)
def test_values_and_gradients(size, dtype, known):
    *shape, channels, count = size
    rng = np.random.default_rng(channels)
    inputs = tf.cast(rng.normal(size=(*shape, channels)), dtype)
    kernel = tf.cast(rng.normal(size=(3, 3, channels, count)), dtype)
    weights = tf.cast(rng.normal(size=(*shape, count)), dtype)
    exact = gradients(
        lambda *given: tf.nn.conv2d(*given, 1, "SAME"),
        *(tf.cast(value, tf.float64) for value in (inputs, kernel, weights)),
    )
    if known is None:
        found = gradients(wide_conv2d, inputs, kernel, weights)
    else:
        shapes = [value.shape if known else [None] * 3 + [value.shape[3]] for value in (inputs, weights)]
        specs = (tf.TensorSpec(shapes[0], dtype), tf.TensorSpec(kernel.shape, dtype), tf.TensorSpec(shapes[1], dtype))
        traced = tf.function(lambda *given: gradients(wide_conv2d, *given), autograph=False, input_signature=specs)
        found = traced(inputs, kernel, weights)
    relative = 2e-5 if dtype == "float32" else 2.0**-7
    for one, right in zip(found, exact, strict=True):
        assert one.dtype == dtype
        np.testing.assert_allclose(tf.cast(one, tf.float64), right, rtol=0, atol=relative * np.abs(right).max())


def test_a_batch_may_be_empty():
    arguments = tf.ones((0, 64, 64, 4)), tf.ones((3, 3, 4, 4)), tf.ones((0, 64, 64, 4))
    outputs, to_inputs, to_kernel = gradients(wide_conv2d, *arguments)
    assert outputs.shape == to_inputs.shape == (0, 64, 64, 4) and not to_kernel.numpy().any()


def test_which_form_a_graph_has():
    """Nine products where a map is known to be large, the convolution's gradient where it is small, else both."""

    def found(height, width):
        specs = [
            tf.TensorSpec([2, height, width, 4]),
            tf.TensorSpec([3, 3, 4, 5]),
            tf.TensorSpec([2, height, width, 5]),
        ]
        names = operations(tf.function(lambda *given: gradients(wide_conv2d, *given), autograph=False), *specs)
        return names.count("MatMul"), "Conv2DBackpropFilter" in names

    assert found(64, 64) == (9, False)
    assert found(63, 65) == (0, True)
    assert found(None, 64) == (9, True)
    assert wide_conv.PIXELS == 64 * 64


@pytest.mark.parametrize(
    "shape, wide", [((3, 3, 256, 256), True), ((3, 3, 255, 256), False), ((1, 1, 256, 256), False)]
)
def test_which_kernels_are_wide(shape, wide):
    assert is_wide(tf.zeros(shape)) is wide
