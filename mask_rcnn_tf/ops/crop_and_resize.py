"""`tf.image.crop_and_resize` with a gradient that loses nothing on a CPU.

TensorFlow's own adds to the image from several threads at once, without a lock: where boxes overlap, sums are lost.
With two threads half of all gradients were off by up to 1.6 % of their norm (TensorFlow 2.21, measured; tensorflow
issue 42033). On a GPU the additions are atomic, and TensorFlow's own is used.
"""

import tensorflow as tf

from mask_rcnn_tf.ops.gradients import with_gradient
from mask_rcnn_tf.ops.shapes import sizes


def crop_and_resize(image: tf.Tensor, boxes: tf.Tensor, box_indices: tf.Tensor, crop_size: tf.Tensor) -> tf.Tensor:
    """As `tf.image.crop_and_resize`, bilinear; differentiable in a float32 image, not in the boxes.

    Args:
      image: float32 or uint8 [B, H, W, C].
      boxes: float32 [n, 4], (y1, x1, y2, x2), normalised as TensorFlow's.
      box_indices: int32 [n], the image of each.
      crop_size: int32 [2].

    Returns:
      float32 [n, *crop_size, C].

    Source: `tensorflow/core/kernels/image/crop_and_resize_op.cc`.
    """
    if image.dtype != tf.float32 or tf.config.get_visible_devices("GPU"):
        return tf.image.crop_and_resize(image, boxes, box_indices, crop_size)
    side = tf.get_static_value(crop_size)
    if side is not None:  # known sides stay known
        return with_gradient(_cropped, image, boxes, box_indices, crop_size=tuple(side.tolist()))
    return with_gradient(_cropped, image, boxes, box_indices, crop_size)


def _cropped(image, boxes, box_indices, crop_size):
    def gradient(upstream):
        return image_gradient(upstream, boxes, box_indices, tf.convert_to_tensor(crop_size), sizes(image))

    return tf.image.crop_and_resize(image, boxes, box_indices, crop_size), gradient


def image_gradient(
    upstream: tf.Tensor, boxes: tf.Tensor, box_indices: tf.Tensor, crop_size: tf.Tensor, shape: list[int | tf.Tensor]
) -> tf.Tensor:
    """The gradient of an image of `shape` (of `shapes.sizes`), given that of its crops, float32 [n, *crop_size, C].

    Each sample is the sum of four pixels, weighed: the gradient is the product of upstream and a sparse matrix. It is
    built row by row, a sample each, and transposed: with a row a pixel every sum is one thread's, in the order of the
    samples. TensorFlow's product of a `SparseTensor` has one thread, and takes it twice as long.
    """
    (top, left, bottom, right), (rows, columns) = tf.unstack(boxes, axis=1), tf.unstack(crop_size)
    y, weight_y = _taps(top, bottom, rows, shape[1])
    x, weight_x = _taps(left, right, columns, shape[2])
    height, width = tf.cast(shape[1], tf.int64), tf.cast(shape[2], tf.int64)
    rows = tf.cast(box_indices, tf.int64)[:, tf.newaxis, tf.newaxis] * height + y
    pixels = rows[:, :, tf.newaxis, :, tf.newaxis] * width + x[:, tf.newaxis, :, tf.newaxis, :]
    weights = weight_y[:, :, tf.newaxis, :, tf.newaxis] * weight_x[:, tf.newaxis, :, tf.newaxis, :]
    upstream = tf.reshape(upstream, [-1, shape[3]])
    samples = tf.shape(upstream, tf.int64)[0]
    places = tf.stack([tf.repeat(tf.range(samples), 4), tf.reshape(pixels, [-1])], axis=1)
    size = tf.stack([samples, tf.cast(shape[0], tf.int64) * height * width])
    by_sample = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=places, values=tf.reshape(weights, [-1]), dense_shape=size
    )
    by_pixel = tf.raw_ops.SparseMatrixTranspose(input=by_sample, type=tf.float32)
    return tf.reshape(tf.raw_ops.SparseMatrixMatMul(a=by_pixel, b=upstream), shape)


def _taps(first, last, count, length):
    """Of each sample along an axis the two pixels, int64 [n, count, 2], and their weights; 0 outside the image."""
    span, number = tf.cast(length - 1, tf.float32), tf.cast(count, tf.float32)
    step = (last - first) * span / tf.maximum(number - 1.0, 1.0)
    start = tf.where(count > 1, first * span, 0.5 * (first + last) * span)
    at = start[:, tf.newaxis] + tf.range(number) * step[:, tf.newaxis]
    low = tf.clip_by_value(tf.floor(at), 0.0, span)
    weights = tf.stack([1.0 - (at - low), at - low], axis=-1)
    pixel = tf.cast(low, tf.int64)
    pixels = tf.stack([pixel, tf.minimum(pixel + 1, tf.cast(length, tf.int64) - 1)], axis=-1)
    return pixels, tf.where(((at >= 0.0) & (at <= span))[..., tf.newaxis], weights, 0.0)
