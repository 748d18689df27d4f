"""Every nth pixel and its gradient, in both forms, against NumPy's slices, to the bit."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.thinning import every_nth_pooled, every_nth_sliced

SHAPES = [(2, 9, 12, 4), (1, 1, 1, 3), (1, 32, 20, 64), (0, 5, 6, 8)]


@pytest.mark.parametrize("jit", [None, False, True])
@pytest.mark.parametrize("thin", [every_nth_pooled, every_nth_sliced])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize("stride", [2, 3])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_values_and_gradient(shape, stride, dtype, thin, jit):
    rng = np.random.default_rng(stride)
    inputs = tf.cast(rng.normal(size=shape), dtype)
    upstream = tf.cast(rng.normal(size=inputs[:, ::stride, ::stride].shape), dtype)

    def both(inputs, upstream):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = thin(inputs, stride)
        return outputs, tape.gradient(outputs, inputs, upstream)

    call = both if jit is None else tf.function(both, autograph=False, jit_compile=jit)
    outputs, gradient = (value.numpy() for value in call(inputs, upstream))
    expected = np.zeros(shape, gradient.dtype)
    expected[:, ::stride, ::stride] = upstream
    np.testing.assert_array_equal(outputs, inputs.numpy()[:, ::stride, ::stride])
    np.testing.assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
def test_what_is_not_finite_stays_where_it_is(dtype):
    inputs = np.ones((1, 4, 4, 8), np.float32)
    inputs[0, 0, 0], inputs[0, 0, 1], inputs[0, 2, 2] = np.nan, np.nan, -np.inf
    outputs = tf.cast(every_nth_pooled(tf.cast(inputs, dtype), 2), tf.float32)
    np.testing.assert_array_equal(outputs, inputs[:, ::2, ::2])
