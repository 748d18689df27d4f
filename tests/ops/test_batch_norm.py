"""Batch norm in training against float64 in NumPy: outputs, moments and gradients."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.batch_norm import batch_norm

EPSILON = 1e-3


def in_float64(inputs, gamma, beta, upstream):
    """Outputs, mean, variance, and the gradients of inputs, gamma and beta; Ioffe and Szegedy, section 3."""
    inputs, upstream = inputs.astype(np.float64), upstream.astype(np.float64)
    axes = (0, 1, 2)
    mean, variance = inputs.mean(axes), inputs.var(axes)
    scale = 1 / np.sqrt(variance + EPSILON)
    normal = (inputs - mean) * scale
    share = upstream - upstream.mean(axes) - normal * (upstream * normal).mean(axes)
    gradients = gamma * scale * share, (upstream * normal).sum(axes), upstream.sum(axes)
    return normal * gamma + beta, mean, variance, *gradients


def run(inputs, gamma, beta, upstream):
    with tf.GradientTape() as tape:
        tape.watch([inputs, gamma, beta])
        outputs, mean, variance = batch_norm(inputs, gamma, beta, EPSILON)
    gradients = tape.gradient(outputs, [inputs, gamma, beta], tf.cast(upstream, outputs.dtype))
    return outputs, mean, variance, *gradients


@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
@pytest.mark.parametrize("shape", [(2, 5, 7, 3), (3, 1, 1, 4), (2, 60, 45, 16)])
def test_against_float64(shape, compiled):
    random = np.random.default_rng(0)
    inputs, upstream = random.normal(3.0, 2.0, shape), random.normal(0.3, 1.0, shape)
    gamma, beta = random.normal(1.0, 0.3, shape[-1]), random.normal(0.0, 0.3, shape[-1])
    given = [value.astype(np.float32) for value in (inputs, gamma, beta, upstream)]
    call = run if compiled is None else tf.function(run, jit_compile=compiled, autograph=False)
    found = call(*map(tf.constant, given))
    for name, ours, expected in zip("y m v dx dg db".split(), found, in_float64(*given), strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4 * np.abs(expected).max(), err_msg=name)


def test_bfloat16():
    """Moments and sums are float32; what is rounded is what comes and what goes."""
    random = np.random.default_rng(0)
    inputs = tf.cast(random.normal(3.0, 2.0, (2, 60, 45, 16)), tf.bfloat16)
    upstream = tf.cast(random.normal(0.3, 1.0, inputs.shape), tf.bfloat16)
    gamma, beta = tf.ones([16]), tf.zeros([16])
    found = run(inputs, gamma, beta, upstream)
    expected = in_float64(*(tf.cast(value, tf.float32).numpy() for value in (inputs, gamma, beta, upstream)))
    for name, ours, wanted in zip("y m v dx dg db".split(), found, expected, strict=True):
        is_wide = ours.dtype == tf.float32
        assert is_wide == (name not in ("y", "dx"))
        bound = 1e-4 if is_wide else 2.0**-8
        np.testing.assert_allclose(tf.cast(ours, tf.float32), wanted, rtol=bound, atol=bound * np.abs(wanted).max())


def test_no_sum_of_a_channel_is_one_long_one():
    """A float32 sum over 500,000 numbers, one after the other, is more than 1e-4 off."""
    inputs = np.random.default_rng(0).normal(0.0, 2.0, (2, 500, 500, 4)).astype(np.float32)
    _, _, variance, *_ = run(tf.constant(inputs), tf.ones([4]), tf.zeros([4]), tf.ones(inputs.shape))
    np.testing.assert_allclose(variance, inputs.astype(np.float64).var((0, 1, 2)), rtol=5e-6)
