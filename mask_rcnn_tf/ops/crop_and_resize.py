"""`tf.image.crop_and_resize` with a gradient that loses nothing on a CPU.

TensorFlow's own adds to the image from several threads at once, without a lock: where boxes overlap, sums are lost.
With two threads half of all gradients were off by up to 1.6 % of their norm (TensorFlow 2.21, measured; tensorflow
issue 42033). On a GPU the additions are atomic, and TensorFlow's own is used.
"""

import tensorflow as tf

from mask_rcnn_tf.ops.devices import has_gpu
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
    if image.dtype != tf.float32 or has_gpu():
        return tf.image.crop_and_resize(image, boxes, box_indices, crop_size)
    side = tf.get_static_value(crop_size)
    if side is not None:  # known sides stay known
        return with_gradient(_cropped, image, boxes, box_indices, crop_size=tuple(side.tolist()))
    return with_gradient(_cropped, image, boxes, box_indices, crop_size)


def _cropped(image, boxes, box_indices, crop_size):
    shape = sizes(image)  # here, not in the gradient, which would keep the image for it

    def gradient(upstream):
        return image_gradient(upstream, boxes, box_indices, tf.convert_to_tensor(crop_size), shape)

    return tf.image.crop_and_resize(image, boxes, box_indices, crop_size), gradient


def mean_of_crops(
    image: tf.Tensor,
    boxes: tf.Tensor,
    box_indices: tf.Tensor,
    inside: tuple[tf.Tensor, tf.Tensor],
    *,
    output_size: tuple[int, int],
    grid: tuple[int, int],
) -> tf.Tensor:
    """Means of the samples of `crop_and_resize`, a grid of them at a time; differentiable in a float32 image.

    In one piece, so that training keeps the means alone: the samples, as many times larger as a grid has, are neither
    kept for the gradient nor made again by it.

    Args:
      image: see `crop_and_resize`.
      boxes: see `crop_and_resize`.
      box_indices: see `crop_and_resize`.
      inside: bool [n, rows * grid rows] and [n, columns * grid columns]; a sample whose row or column is not inside
        counts as 0.
      output_size: (rows, columns) of means.
      grid: (rows, columns) of samples of a mean.

    Returns:
      float32 [n, *output_size, C].
    """
    if image.dtype != tf.float32 or has_gpu():
        return _mean(image, boxes, box_indices, *inside, output_size, grid)
    arguments = image, boxes, box_indices, *inside
    return with_gradient(_mean_with_gradient, *arguments, output_size=tuple(output_size), grid=tuple(grid))


def _mean(image, boxes, box_indices, inside_rows, inside_columns, output_size, grid):
    counts = [size * samples for size, samples in zip(output_size, grid, strict=True)]
    samples = tf.image.crop_and_resize(image, boxes, box_indices, counts)
    samples = zero_outside(samples, (inside_rows, inside_columns))
    return tf.nn.avg_pool2d(samples, grid, grid, "VALID")  # many times faster on CPUs than one mean over two axes


def zero_outside(samples: tf.Tensor, inside: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
    """Samples [n, h, w, C], 0 where bool [n, h] or [n, w] does not hold; free where all do, as with clipped boxes."""
    rows, columns = inside
    return tf.cond(
        tf.reduce_all(rows) & tf.reduce_all(columns),
        lambda: samples,
        lambda: tf.where((rows[:, :, tf.newaxis] & columns[:, tf.newaxis])[..., tf.newaxis], samples, 0.0),
    )


def _mean_with_gradient(image, boxes, box_indices, inside_rows, inside_columns, output_size, grid):
    shape = sizes(image)

    def gradient(upstream):
        size = tf.constant(output_size)
        return image_gradient(
            upstream, boxes, box_indices, size, shape, grid=grid, inside=(inside_rows, inside_columns)
        )

    return _mean(image, boxes, box_indices, inside_rows, inside_columns, output_size, grid), gradient


def image_gradient(
    upstream: tf.Tensor,
    boxes: tf.Tensor,
    box_indices: tf.Tensor,
    size: tf.Tensor,
    shape: list[int | tf.Tensor],
    *,
    grid: tuple[int, int] = (1, 1),
    inside: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tf.Tensor:
    """The gradient of an image of `shape` (of `shapes.sizes`), given that of its means, float32 [n, *size, C].

    Each mean is the sum of four pixels a sample, weighed: the gradient is the product of upstream and a sparse matrix.
    It is built row by row, a mean each, and transposed: with a row a pixel every sum is one thread's, in the order of
    the means. TensorFlow's product of a `SparseTensor` has one thread, and takes it twice as long.
    """
    (top, left, bottom, right), counts = tf.unstack(boxes, axis=1), tf.unstack(size)
    y, weight_y = _taps(top, bottom, counts[0], grid[0], shape[1], inside and inside[0])
    x, weight_x = _taps(left, right, counts[1], grid[1], shape[2], inside and inside[1])
    height, width = tf.cast(shape[1], tf.int64), tf.cast(shape[2], tf.int64)
    rows = tf.cast(box_indices, tf.int64)[:, tf.newaxis, tf.newaxis] * height + y
    pixels = rows[:, :, tf.newaxis, :, tf.newaxis] * width + x[:, tf.newaxis, :, tf.newaxis, :]
    weights = weight_y[:, :, tf.newaxis, :, tf.newaxis] * weight_x[:, tf.newaxis, :, tf.newaxis, :]
    upstream = tf.reshape(upstream, [-1, shape[3]])
    means = tf.shape(upstream, tf.int64)[0]
    places = tf.stack([tf.repeat(tf.range(means), 4 * grid[0] * grid[1]), tf.reshape(pixels, [-1])], axis=1)
    matrix = tf.raw_ops.SparseTensorToCSRSparseMatrix(
        indices=places,
        values=tf.reshape(weights, [-1]),
        dense_shape=tf.stack([means, tf.cast(shape[0], tf.int64) * height * width]),
    )
    by_pixel = tf.raw_ops.SparseMatrixTranspose(input=matrix, type=tf.float32)
    return tf.reshape(tf.raw_ops.SparseMatrixMatMul(a=by_pixel, b=upstream), shape)


def _taps(first, last, count, grid: int, length, inside) -> tuple[tf.Tensor, tf.Tensor]:
    """Of each mean along an axis the pixels, int64 [n, count, 2 * grid], and their weights; 0 outside the image."""
    span, number = tf.cast(length - 1, tf.float32), tf.cast(count * grid, tf.float32)
    step = (last - first) * span / tf.maximum(number - 1.0, 1.0)
    start = tf.where(count * grid > 1, first * span, 0.5 * (first + last) * span)
    at = start[:, tf.newaxis] + tf.range(number) * step[:, tf.newaxis]
    low = tf.clip_by_value(tf.floor(at), 0.0, span)
    weights = tf.stack([1.0 - (at - low), at - low], axis=-1) / grid
    counts = (at >= 0.0) & (at <= span)
    counts = counts if inside is None else counts & inside
    pixel = tf.cast(low, tf.int64)
    pixels = tf.stack([pixel, tf.minimum(pixel + 1, tf.cast(length, tf.int64) - 1)], axis=-1)
    shape = tf.stack([tf.shape(first)[0], count, 2 * grid])
    return tf.reshape(pixels, shape), tf.reshape(tf.where(counts[..., tf.newaxis], weights, 0.0), shape)
