"""Changes of colour against torchvision's definitions, written out in float64, hue against Python's colorsys."""

import colorsys

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops import colours

FACTORS = (0.0, 0.4, 1.0, 1.7)


@pytest.fixture(scope="module")
def image():
    """Random colours, with black, white, greys and pure colours among them."""
    levels = np.random.default_rng(0).integers(0, 256, (20, 30, 3)).astype(np.float32)
    levels[0, :6] = [[0, 0, 0], [255, 255, 255], [90, 90, 90], [255, 0, 0], [0, 255, 0], [10, 10, 200]]
    return levels


def grey(levels):
    return (levels.astype(np.float64) @ np.array([0.2989, 0.587, 0.114]))[..., None]


def blended(levels, other, factor):
    return np.clip(factor * levels.astype(np.float64) + (1 - factor) * other, 0, 255)


@pytest.mark.parametrize("factor", FACTORS)
def test_factors(image, factor):
    expected = {
        colours.brightness: blended(image, 0, factor),
        colours.contrast: blended(image, grey(image).mean(), factor),
        colours.saturation: blended(image, grey(image), factor),
    }
    for change, wanted in expected.items():
        changed = change(tf.constant(image), tf.constant(factor)).numpy()
        np.testing.assert_allclose(changed, wanted, atol=1e-3, err_msg=change.__name__)
        assert changed.min() >= 0 and changed.max() <= 255
        if factor == 1:
            np.testing.assert_array_equal(changed, image)


@pytest.mark.parametrize("turn", [-0.5, -0.11, 0.0, 0.3, 0.5])
def test_hue(image, turn):
    expected = np.zeros(image.shape)
    for place in np.ndindex(image.shape[:2]):
        hue, saturation, value = colorsys.rgb_to_hsv(*(image[place].astype(np.float64) / 255))
        expected[place] = np.array(colorsys.hsv_to_rgb((hue + turn) % 1.0, saturation, value)) * 255
    np.testing.assert_allclose(colours.hue(tf.constant(image), tf.constant(turn)), expected, atol=1e-3)
    if turn == 0.5:  # cyan of red
        np.testing.assert_allclose(colours.hue(tf.constant(image), tf.constant(turn))[0, 3], [0, 255, 255], atol=1e-3)


def test_grey(image):
    np.testing.assert_allclose(colours.grey(tf.constant(image)), np.repeat(grey(image), 3, -1), atol=1e-3)


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.2])
def test_gamma(image, exponent):
    changed = colours.gamma(tf.constant(image), tf.constant(exponent)).numpy()
    np.testing.assert_allclose(changed, 255 * (image.astype(np.float64) / 255) ** exponent, atol=1e-3)
    np.testing.assert_allclose(changed[0, :2], image[0, :2], atol=1e-4)  # black and white stay
