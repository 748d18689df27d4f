"""Blur against sums in float64, noise against its distribution, JPEG against Pillow's."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.ops import degradations


def smooth_image(height=40, width=50):
    y, x = np.mgrid[:height, :width]
    return np.stack([120 + 90 * np.sin(x / 5), 120 + 90 * np.cos(y / 7), (x * y) % 256], -1).astype(np.float32)


def blurred(image, sigma, radius):
    weights = np.exp(-0.5 * (np.arange(-radius, radius + 1) / sigma) ** 2)
    weights /= weights.sum()
    for axis in (0, 1):
        wide = np.pad(image.astype(np.float64), [(radius, radius) if a == axis else (0, 0) for a in range(3)], "edge")
        image = np.apply_along_axis(lambda line: np.convolve(line, weights, "valid"), axis, wide)
    return image


@pytest.mark.parametrize(("sigma", "size"), [(0.3, (40, 50)), (1.7, (40, 50)), (2.0, (2, 1))])
def test_blur(sigma, size):
    image = smooth_image(*size)
    found = degradations.blur(tf.constant(image), tf.constant(sigma), 6).numpy()
    np.testing.assert_allclose(found, blurred(image, np.float32(sigma), 6), atol=1e-3)
    assert found.shape == image.shape


def test_a_small_blur_changes_nothing():
    image = smooth_image()
    np.testing.assert_array_equal(degradations.blur(tf.constant(image), tf.constant(0.05), 3), image)


def test_noise():
    image, seed = np.full((100, 100, 3), 120, np.float32), tf.constant([3, 4], tf.int64)
    drawn = degradations.noise(tf.constant(image), tf.constant(8.0), seed).numpy()
    added = (drawn - image) / 8
    assert abs(added.mean()) < 4 / np.sqrt(added.size) and abs(added.std() - 1) < 4 / np.sqrt(2 * added.size)
    assert 0.30 < np.mean(np.abs(added) > 1) < 0.335 and np.abs(np.corrcoef(added.reshape(-1, 3).T)[0, 1]) < 0.04
    np.testing.assert_array_equal(degradations.noise(tf.constant(image), tf.constant(8.0), seed), drawn)
    assert (degradations.noise(tf.constant(image), tf.constant(8.0), seed + 1).numpy() != drawn).mean() > 0.99
    for level in (0, 255):
        bounded = degradations.noise(tf.fill([50, 50, 3], float(level)), tf.constant(60.0), seed).numpy()
        assert bounded.min() >= 0 and bounded.max() <= 255 and 0.4 < np.mean(bounded == level) < 0.6


@pytest.mark.parametrize("quality", [5, 40, 90])
def test_jpeg(quality):
    image = smooth_image() + np.float32(0.3)
    file = io.BytesIO()
    Image.fromarray(np.rint(image).clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    expected = np.asarray(Image.open(file)).astype(np.float32)
    found = degradations.jpeg(tf.constant(image), tf.constant(quality)).numpy()
    np.testing.assert_array_equal(found, expected)
    assert np.abs(found - image).mean() > 0.5
