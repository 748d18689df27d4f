"""Soft mask targets on the canvas of the image, as torchvision's: RoIAlign of the ground-truth bitmap."""

import tensorflow as tf

from mask_rcnn_tf.ops import roi_align
from mask_rcnn_tf.ops.roi_regions import RoiAlignOptions

TOGETHER = 16  # RoIs whose masks are aligned at a time where shapes are constant


def canvas_targets_native(
    gt_masks: tf.Tensor,
    image_shape: tf.Tensor,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    gt_indices: tf.Tensor,
    size: int,
) -> tf.Tensor:
    """Soft mask targets of RoIs from bitmaps of the whole canvas: unaligned RoIAlign with an adaptive grid.

    A sample beyond the last row or column of the image takes its value, as in the reference, whose masks end there:
    the zeros of the canvas beyond the image are not read.

    Args:
      gt_masks: uint8 [B, G, H, W], 0 and 255, pixels of the network input.
      image_shape: int32 [B, 2], valid (h, w) of each image on the canvas.
      rois: float32 [n, 4], pixels of the network input, within the image.
      batch_indices: int32 [n], image of each RoI.
      gt_indices: int32 [n], ground truth of each RoI in its image.
      size: M, side of the targets.

    Returns:
      float32 [n, size, size], 0..1.

    Source: torchvision/models/detection/roi_heads.py `project_masks_on_boxes`.
    """
    masks = gt_masks
    for axis in (2, 3):  # samples lie within one pixel of the image: one row and one column more are enough
        masks = _continue_beyond(masks, image_shape[:, axis - 2], axis)
    masks, images = _flat_masks(masks, batch_indices, gt_indices)
    levels = tf.zeros_like(images)
    canvas = roi_align.prepare([masks[..., tf.newaxis]])
    options = RoiAlignOptions((1,), sampling_ratio=0, aligned=False)
    targets = roi_align.pool(canvas, rois, images, levels, (size, size), options)[..., 0] / 255.0
    limits = tf.cast(tf.gather(image_shape, batch_indices), tf.float32)
    rows, columns = (_cells_within(rois, limits, axis, size) for axis in (0, 1))
    return tf.where(rows[:, :, tf.newaxis] & columns[:, tf.newaxis], targets, 0.0)


def canvas_targets_xla(
    gt_masks: tf.Tensor,
    image_shape: tf.Tensor,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    gt_indices: tf.Tensor,
    size: int,
) -> tf.Tensor:
    """`canvas_targets_native` in static shapes, exact whatever the size of the RoI."""
    masks, images = _flat_masks(gt_masks, batch_indices, gt_indices)
    limits = tf.cast(tf.gather(image_shape, batch_indices), tf.float32)
    return _matrix_align(masks, rois, images, limits, size) / 255.0


def _flat_masks(gt_masks, batch_indices, gt_indices):
    """Masks [B * G, H, W], and the index of each RoI's."""
    shape = tf.shape(gt_masks)
    masks = tf.reshape(gt_masks, [shape[0] * shape[1], shape[2], shape[3]])
    return masks, batch_indices * shape[1] + gt_indices


def _continue_beyond(masks, lengths, axis):
    """[B, G, H, W] with the line at `lengths` [B] along an axis equal to the one before it."""
    before = tf.gather(masks, tf.maximum(tf.range(tf.shape(masks)[axis]) - 1, 0), axis=axis)
    shape = [-1, 1, 1, 1]
    shape[axis] = masks.shape[axis] or tf.shape(masks)[axis]
    line = tf.range(tf.shape(masks)[axis])[tf.newaxis] == lengths[:, tf.newaxis]
    return tf.where(tf.reshape(line, shape), before, masks)


def _cells_within(rois, limits, axis: int, size: int) -> tf.Tensor:
    """bool [n, size]: cells that have a sample in the image. RoIs below a pixel grow to it; then a cell is a sample."""
    start, limit = rois[:, axis, tf.newaxis], limits[:, axis, tf.newaxis]
    side = tf.maximum(rois[:, axis + 2, tf.newaxis] - start, 1.0)
    return start + (tf.range(size, dtype=tf.float32) + 0.5) * side / size <= limit


def _matrix_align(masks, rois, images, limits, size: int) -> tf.Tensor:
    """Adaptive RoIAlign of one-channel images in static shapes."""
    rois = tf.stop_gradient(tf.cast(rois, tf.float32))
    rows = _align_weights(rois, limits, 0, size, masks.shape[1])
    columns = _align_weights(rois, limits, 1, size, masks.shape[2])

    # A few RoIs at a time, to keep memory flat. `masks[image]` would be a slice, whose start XLA takes for a constant:
    # it would compile again for each batch.
    count = tf.shape(rois)[0]
    groups = -(-count // TOGETHER)

    def grouped(values):
        rest = [[0, groups * TOGETHER - count]] + [[0, 0]] * (values.shape.rank - 1)
        return tf.reshape(tf.pad(values, rest), tf.concat([[groups, TOGETHER], tf.shape(values)[1:]], 0))

    def pool(inputs):
        images, row_weights, column_weights = inputs
        return row_weights @ tf.matmul(tf.cast(tf.gather(masks, images), tf.float32), column_weights, transpose_b=True)

    pooled = tf.map_fn(pool, [grouped(v) for v in (images, rows, columns)], fn_output_signature=tf.float32)
    return tf.reshape(pooled, [-1, size, size])[:count]


def _align_weights(rois, limits, axis: int, size: int, pixels: int) -> tf.Tensor:
    """Weights [n, size, pixels] of unaligned adaptive RoIAlign along an axis, of which `limits` [n, 2] are valid."""
    start, limit = rois[:, axis, tf.newaxis], limits[:, axis, tf.newaxis]
    side = tf.maximum(rois[:, axis + 2, tf.newaxis] - start, 1.0)
    grid = tf.math.ceil(side / size)
    bin_starts = start + tf.range(size, dtype=tf.float32) * side / size
    total = tf.zeros([tf.shape(rois)[0], size, pixels])
    most = -(-pixels // size)  # RoIs lie within the canvas
    for index in range(most):
        position = bin_starts + (index + 0.5) * side / size / grid
        counts = (position >= -1.0) & (position <= limit) & (index < grid)
        position = tf.clip_by_value(position, 0.0, limit - 1.0)
        tent = tf.maximum(1.0 - tf.abs(position[..., tf.newaxis] - tf.range(pixels, dtype=tf.float32)), 0.0)
        total += tf.where(counts[..., tf.newaxis], tent, 0.0)
    return total / grid[..., tf.newaxis]
