"""RoIAlign by ONNX's operator, one a level: for exports alone."""

from collections.abc import Callable, Sequence

import tensorflow as tf

from mask_rcnn_tf.ops import onnx_operators, roi_align, roi_gather
from mask_rcnn_tf.ops.roi_regions import RoiAlignOptions

OUTSIDE = -1e4  # network pixels: more than one cell of every level away from it
CHANNELS_LAST = [0, 2, 3, 1]  # once, at the end: a Gather, or a Where, between two of these keeps both in the file


def prepare(features: Sequence[tf.Tensor]) -> list[tf.Tensor]:
    """Levels [B, Hl, Wl, C], finest first, in float32."""
    return [tf.cast(level, tf.float32) for level in features]


def pool_apart(
    levels: list[tf.Tensor],
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: tuple[int, int],
    options: RoiAlignOptions,
) -> tf.Tensor:
    """Each level pools its own RoIs: the least work, in shapes that depend on the data. See `roi_align.pool`."""
    if not _has_operator(options):
        return roi_gather.pool(roi_gather.prepare(levels), rois, batch_indices, level_indices, output_size, options)
    pool = _level_operators(levels, output_size, options)
    rows = [tf.where(level_indices == index)[:, 0] for index in range(len(levels))]
    parts = [pool(index, tf.gather(rois, of), tf.gather(batch_indices, of)) for index, of in enumerate(rows)]
    order = tf.concat(rows, 0)
    places = tf.scatter_nd(order[:, tf.newaxis], tf.range(tf.shape(rois)[0]), tf.shape(order, tf.int64))
    return tf.transpose(tf.gather(tf.concat(parts, 0), places), CHANNELS_LAST)


def pool_all(
    levels: list[tf.Tensor],
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: tuple[int, int],
    options: RoiAlignOptions,
) -> tf.Tensor:
    """Each level pools all RoIs, those of the others far outside of it, where all is 0: shapes stay constant."""
    if not _has_operator(options):
        return roi_gather.pool(roi_gather.prepare(levels), rois, batch_indices, level_indices, output_size, options)
    pool = _level_operators(levels, output_size, options)
    parts = []
    for index in range(len(levels)):
        own = (level_indices == index)[:, tf.newaxis]
        parts.append(pool(index, tf.where(own, rois, OUTSIDE), batch_indices))
    return tf.transpose(tf.add_n(parts), CHANNELS_LAST)


def _has_operator(options):
    """Whether ONNX's RoiAlign computes it: no rounded RoIs, and its "max" is of weighted corners, not of samples."""
    return not options.quantized and options.reduction == "average"


def _level_operators(levels, output_size, options) -> Callable[[int, tf.Tensor, tf.Tensor], tf.Tensor]:
    """A function from (level index, rois, batch_indices) to what is pooled from that level, [n, C, rows, columns]."""

    def pool(index, rois, batch_indices):
        stride = options.strides[index]
        alone = options._replace(strides=(stride,))

        def compute(level, rois, images):
            return roi_align.pool(roi_align.prepare([level]), rois, images, tf.zeros_like(images), output_size, alone)

        return onnx_operators.roi_align(levels[index], rois, batch_indices, output_size, alone, compute)

    return pool
