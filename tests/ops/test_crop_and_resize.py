"""The gradient of crop_and_resize against float64 sums in NumPy, many times: TensorFlow's own loses some of them."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.crop_and_resize import crop_and_resize


def in_float64(upstream, boxes, images, shape):
    """Each sample's share of its pixels, one by one."""
    total = np.zeros(shape)
    counts, spans = upstream.shape[1:3], np.array(shape[1:3]) - 1
    for crop, box, image in zip(upstream.astype(np.float64), boxes.astype(np.float64), images, strict=True):
        at = []
        for axis in (0, 1):
            first, last = box[axis] * spans[axis], box[axis + 2] * spans[axis]
            at.append(np.linspace(first, last, counts[axis]) if counts[axis] > 1 else [(first + last) / 2])
        for i, y in enumerate(at[0]):
            for j, x in enumerate(at[1]):
                if 0 <= y <= spans[0] and 0 <= x <= spans[1]:
                    for row, weight_y in ((int(y), 1 - y % 1), (int(y) + 1, y % 1)):
                        for column, weight_x in ((int(x), 1 - x % 1), (int(x) + 1, x % 1)):
                            if weight_y * weight_x:
                                total[image, row, column] += weight_y * weight_x * crop[i, j]
    return total


@pytest.mark.parametrize(("size", "channels"), [((14, 14), 32), ((3, 1), 5)])
def test_nothing_is_lost(size, channels):
    random, shape = np.random.default_rng(0), (2, 33, 26, channels)
    corners = random.uniform(-0.1, 0.9, (60, 2))
    boxes = np.concatenate([corners, corners + random.uniform(0.0, 0.3, (60, 2))], 1).astype(np.float32)
    boxes[:2] = (0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 1.0, 1.0)  # without area; the whole image
    indices = random.integers(0, 2, 60).astype(np.int32)
    image = tf.constant(random.normal(size=shape), tf.float32)
    upstream = random.normal(size=(60, *size, channels)).astype(np.float32)

    @tf.function(autograph=False)
    def gradient(image):
        with tf.GradientTape() as tape:
            tape.watch(image)
            crops = crop_and_resize(image, tf.constant(boxes), tf.constant(indices), tf.constant(size))
        return crops, tape.gradient(crops, image, upstream)

    crops, first = gradient(image)
    np.testing.assert_array_equal(crops, tf.image.crop_and_resize(image, boxes, indices, size))
    expected = in_float64(upstream, boxes, indices, shape)
    np.testing.assert_allclose(first, expected, atol=1e-5 * np.abs(expected).max())
    for _ in range(20):
        np.testing.assert_array_equal(gradient(image)[1], first)


def test_no_boxes():
    image = tf.ones([1, 4, 5, 8])
    with tf.GradientTape() as tape:
        tape.watch(image)
        crops = crop_and_resize(image, tf.zeros([0, 4]), tf.zeros([0], tf.int32), tf.constant([2, 2]))
    np.testing.assert_array_equal(tape.gradient(crops, image), tf.zeros([1, 4, 5, 8]))
