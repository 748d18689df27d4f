"""RoIPool: the highest whole pixel of each bin, with the gradient to that pixel alone; one form for all TensorFlow."""

import tensorflow as tf

from mask_rcnn_tf.ops.gradients import with_gradient
from mask_rcnn_tf.ops.roi_gather import FlatPyramid
from mask_rcnn_tf.ops.roi_regions import quantize


def pool(
    pyramid: FlatPyramid,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: tuple[int, int],
    strides: tuple[float, ...],
) -> tf.Tensor:
    """Pools every RoI from its level into a grid of bins; a bin that lies outside of the level is 0.

    Differentiable in the features: the first of equal pixels gets the gradient. RoIs get none.

    Args:
      pyramid: of `roi_gather.prepare`.
      rois: float32 [n, 4], pixels of the network input.
      batch_indices: int32 [n], the image of each RoI.
      level_indices: int32 [n], the level of each RoI; 0 is the finest.
      output_size: bins, (rows, columns).
      strides: of the levels, pixels.

    Returns:
      float32 [n, rows, columns, C].

    Source: Girshick, "Fast R-CNN" (2015), section 2.1; torchvision/csrc/ops/cpu/roi_pool_kernel.cpp.
    """
    scales = tf.constant([1.0 / stride for stride in strides], tf.float32)
    scale = tf.gather(scales, level_indices)[:, tf.newaxis]
    start, size = quantize(tf.stop_gradient(tf.cast(rois, tf.float32)), scale)
    shapes = tf.gather(pyramid.shapes, level_indices)
    rows = _bins(start[:, 0], size[:, 0], output_size[0], shapes[:, 1])
    columns = _bins(start[:, 1], size[:, 1], output_size[1], shapes[:, 2])
    offsets = tf.cumsum(tf.reduce_prod(pyramid.shapes, 1), exclusive=True)
    first = tf.gather(offsets, level_indices) + batch_indices * shapes[:, 1] * shapes[:, 2]
    return with_gradient(_highest, pyramid.pixels, first, shapes[:, 2], *rows, *columns)


def _bins(start, size, bins, limit):
    """First pixel and pixel after the last of each bin along an axis, int32 [n, bins] each."""
    step = size[:, tf.newaxis] / bins
    index = tf.range(bins, dtype=tf.float32)
    edges = (tf.floor(index * step), tf.math.ceil((index + 1.0) * step))
    limit = tf.cast(limit, tf.float32)[:, tf.newaxis]
    return tuple(tf.cast(tf.clip_by_value(edge + start[:, tf.newaxis], 0.0, limit), tf.int32) for edge in edges)


def _highest(pixels, first, width, top, bottom, left, right):
    """The highest of pixels [P, C] in each bin; the gradient of a loop would store each of its rounds."""
    height, breadth = (tf.reduce_max(end - begin) for begin, end in ((top, bottom), (left, right)))
    is_empty = ((bottom <= top)[:, :, tf.newaxis] | (right <= left)[:, tf.newaxis, :])[..., tf.newaxis]

    def look(index, best, place):
        # Beyond a bin's end its last pixel is looked at again: a maximum does not mind.
        y = tf.maximum(tf.minimum(top + index // breadth, bottom - 1), 0)
        x = tf.maximum(tf.minimum(left + index % breadth, right - 1), 0)
        at = (first[:, tf.newaxis] + y * width[:, tf.newaxis])[:, :, tf.newaxis] + x[:, tf.newaxis, :]
        values = tf.cast(tf.gather(pixels, at), tf.float32)
        higher = values > best
        return index + 1, tf.where(higher, values, best), tf.where(higher, at[..., tf.newaxis], place)

    shape = [tf.shape(top)[0], top.shape[1], left.shape[1], pixels.shape[1]]
    begin = (0, tf.fill(shape, -float("inf")), tf.zeros(shape, tf.int32))
    _, best, place = tf.while_loop(lambda index, *_: index < height * breadth, look, begin)
    best = tf.where(is_empty, 0.0, best)

    def gradient(upstream):
        upstream = tf.where(is_empty, 0.0, upstream)
        channels = tf.broadcast_to(tf.range(pixels.shape[1]), tf.shape(place))
        at = tf.reshape(place * pixels.shape[1] + channels, [-1])
        flat = tf.math.unsorted_segment_sum(tf.reshape(upstream, [-1]), at, tf.size(pixels))
        return tf.cast(tf.reshape(flat, tf.shape(pixels)), pixels.dtype)

    return best, gradient
