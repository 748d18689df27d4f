"""Values and gradients of `scaled_conv2d` against float64, and against TensorFlow's own of the same product."""

import re

import numpy as np
import pytest
import tensorflow as tf
from convolving import gradients

from mask_rcnn_tf.ops.scaled_conv import scaled_conv2d

CASES = [(3, 1, "SAME"), (1, 1, "SAME"), (3, 2, "VALID"), (7, 2, "VALID")]


@pytest.mark.parametrize("jit", [None, False, True])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("side, stride, padding", CASES)
def test_values_and_gradients(side, stride, padding, dtype, jit):
    rng = np.random.default_rng(side)
    inputs = tf.cast(rng.normal(size=(2, 13, 10, 6)), dtype)
    kernel, scale = (tf.constant(rng.normal(size=size), tf.float32) for size in ((side, side, 6, 5), (5,)))

    def exact(inputs, kernel):
        return tf.nn.conv2d(inputs, kernel * tf.cast(scale, tf.float64), stride, padding)

    def ours(inputs, kernel, weights):
        convolve = lambda *given: scaled_conv2d(*given, scale, stride=stride, padding=padding)  # noqa: E731
        return gradients(convolve, inputs, kernel, weights)

    known = [tf.cast(value, tf.float64) for value in (inputs, kernel)]
    weights = tf.cast(rng.normal(size=exact(*known).shape), dtype)
    run = ours if jit is None else tf.function(ours, jit_compile=jit, autograph=False)
    found, expected = run(inputs, kernel, weights), gradients(exact, *known, weights)
    assert [value.dtype for value in found] == [inputs.dtype, inputs.dtype, tf.float32]
    for value, right in zip(found, expected, strict=True):
        tolerance = 1e-5 if dtype == "float32" else 0.02
        value = tf.cast(value, tf.float64)
        np.testing.assert_allclose(value, right, rtol=0, atol=tolerance * np.abs(right).max())


def test_sizes_may_be_unknown():
    signature = [tf.TensorSpec((None, None, None, 4)), tf.TensorSpec((3, 3, 4, 4)), tf.TensorSpec((None,) * 4)]
    convolve = lambda *given: scaled_conv2d(*given, tf.fill([4], 2.0), stride=1, padding="SAME")  # noqa: E731
    run = tf.function(lambda *given: gradients(convolve, *given), input_signature=signature, autograph=False)
    for rows in (0, 2):
        outputs, to_inputs, to_kernel = run(tf.ones((rows, 5, 7, 4)), tf.ones((3, 3, 4, 4)), tf.ones((rows, 5, 7, 4)))
        assert outputs.shape == to_inputs.shape == (rows, 5, 7, 4)
        assert float(tf.reduce_max(to_kernel)) == rows * 5 * 7 * 2


def test_a_weight_is_no_constant_of_a_compiled_program():
    """XLA wants the shapes of a gradient as constants. Those must not come by way of a weight's values: a program would
    hold the weights, and be compiled again when they change."""
    kernel = tf.Variable(np.random.default_rng(0).normal(size=(3, 3, 6, 5)), dtype=tf.float32)

    def step(inputs):
        convolve = lambda *given: scaled_conv2d(*given, tf.fill([5], 2.0), stride=1, padding="SAME")  # noqa: E731
        outputs, to_inputs, to_kernel = gradients(convolve, inputs, tf.identity(kernel), tf.ones((2, 8, 8, 5)))
        kernel.assign_sub(to_kernel)
        return outputs, to_inputs

    function = tf.function(step, jit_compile=True, autograph=False)
    program = function.experimental_get_compiler_ir(tf.ones((2, 8, 8, 6)))(stage="hlo")
    assert re.search(r"f32\[3,3,6,5\]\S* parameter", program) and not re.search(r"f32\[3,3,6,5\]\S* constant", program)
