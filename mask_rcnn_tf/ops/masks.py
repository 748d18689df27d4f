"""Masks between their frames: the image, the ground-truth box, the RoI, and the predicted M x M grid.

All resampling is separable: a matrix of weights for each axis, and two matrix products.
"""

import numpy as np
import tensorflow as tf

from mask_rcnn_client import paste_bitmap as paste_bitmap  # as clients without TensorFlow paste
from mask_rcnn_client import paste_mask as paste_mask
from mask_rcnn_tf.ops.shapes import sizes

# Half-width in pixels of the tent that resamples bitmaps when enlarging: a little wider than bilinear rounds off the
# staircase of the outline, which brought targets closest to the rasterised polygon (measured: 1 to 2 pixels).
_TENT_WIDTH = 1.25


def tight_box(bitmap: tf.Tensor) -> tf.Tensor:
    """The box around the pixels of a bitmap.

    Args:
      bitmap: bool or a number [h, w], not 0 where there is a pixel.

    Returns:
      float32 [4], whole pixels; zeros where there are none.
    """
    bitmap = tf.cast(bitmap, tf.bool)
    (top, bottom), (left, right) = _bounds(bitmap, 1), _bounds(bitmap, 0)
    return tf.cast(tf.stack([top, left, bottom, right]), tf.float32)


def _bounds(bitmap, across):
    """The first place with a pixel, and the one after the last; (0, 0) where there are none."""
    found = tf.reduce_any(bitmap, across)
    places = tf.range(tf.shape(found)[0])
    last = tf.reduce_max(tf.where(found, places + 1, 0))
    return tf.minimum(tf.reduce_min(tf.where(found, places, tf.shape(found)[0])), last), last


def mask_to_box_frame(mask: tf.Tensor, box: tf.Tensor, size: int) -> tf.Tensor:
    """Resamples a bitmap into the frame of a box.

    Args:
      mask: uint8 or bool [h, w], 0 and 1, pixels of the image.
      box: float32 [4], pixels of the same image; may be fractional and need not be the mask's own.
      size: side of the result.

    Returns:
      uint8 [size, size], coverage 0..255 of each cell.
    """
    box = tf.cast(box, tf.float32)
    shape = tf.shape(mask)
    cell = tf.maximum(box[2:] - box[:2], 1e-6) / size
    width = tf.maximum(cell, _TENT_WIDTH)
    reach = width - 0.5 * cell  # beyond the box's sides
    corner = tf.clip_by_value(tf.cast(tf.floor(box[:2] - reach), tf.int32), 0, shape)
    end = tf.clip_by_value(tf.cast(tf.math.ceil(box[2:] + reach), tf.int32), corner, shape)
    inside = tf.cast(mask[corner[0] : end[0], corner[1] : end[1]], tf.float32)
    rows, columns = (
        _tent_weights(
            box[axis] + (tf.range(size, dtype=tf.float32) + 0.5) * cell[axis],
            tf.range(corner[axis], end[axis]),
            width[axis],
        )
        for axis in (0, 1)
    )
    coverage = rows @ tf.matmul(inside, columns, transpose_b=True)
    return tf.cast(tf.clip_by_value(tf.floor(coverage * 255.0 + 0.5), 0.0, 255.0), tf.uint8)


def _tent_weights(centres, pixels, width) -> tf.Tensor:
    """Weights [cells, pixels] of whole pixels around cell centres, a sum of 1 each, so that edges of images stay 1."""
    distance = tf.abs(centres[:, tf.newaxis] - (tf.cast(pixels, tf.float32) + 0.5))
    weights = tf.maximum(1.0 - distance / width, 0.0)
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=1, keepdims=True))


def box_frame_targets(gt_masks: tf.Tensor, gt_boxes: tf.Tensor, rois: tf.Tensor, size: int) -> tf.Tensor:
    """Binary mask targets of RoIs from masks in the frame of their ground-truth boxes.

    Args:
      gt_masks: uint8 [n, mh, mw], coverage 0..255 in the frame of the ground-truth box of each RoI.
      gt_boxes: float32 [n, 4], that box, pixels of the network input.
      rois: float32 [n, 4], pixels of the network input.
      size: M, side of the targets.

    Returns:
      float32 [n, size, size], 1 where the mask covers at least half of the cell, else 0; 0 outside the box.

    Source: detectron2/structures/masks.py `rasterize_polygons_within_box`, which this reproduces but for pixels on
      the outline.
    """
    gt_boxes, rois = (tf.stop_gradient(tf.cast(boxes, tf.float32)) for boxes in (gt_boxes, rois))
    masks = tf.cast(gt_masks, tf.float32) / 255.0
    _, height, width = sizes(masks)
    roi, gt_box = (tf.split(boxes, 4, 1) for boxes in (rois, gt_boxes))
    rows, columns = (_frame_weights(roi[i::2], gt_box[i::2], size, cells) for i, cells in enumerate((height, width)))
    soft = tf.matmul(tf.matmul(rows, masks), columns, transpose_b=True)
    return tf.cast(soft >= 0.5, tf.float32)


def _frame_weights(roi, gt_box, size: int, cells) -> tf.Tensor:
    """Bilinear weights [n, size, cells] of mask cells along an axis, the mean of two points in each cell of the RoI.

    Both boxes are (start, end) along the axis, float32 [n, 1].
    """
    length = tf.cast(cells, tf.float32)
    (start, end), (gt_start, gt_end) = roi, gt_box
    points = start + (np.arange(2 * size, dtype=np.float32) + 0.5) / 2 / size * (end - start)
    relative = (points - gt_start) / tf.maximum(gt_end - gt_start, 1e-6)
    inside = tf.cast((relative >= 0.0) & (relative <= 1.0), tf.float32)
    position = tf.clip_by_value(relative * length - 0.5, 0.0, length - 1.0)
    tent = tf.maximum(1.0 - tf.abs(position[..., tf.newaxis] - tf.range(length)), 0.0) * inside[..., tf.newaxis]
    return tf.reduce_mean(tf.reshape(tent, [-1, size, 2, cells]), 2)


def paste_masks(
    masks: tf.Tensor, boxes: tf.Tensor, image_shape: tf.Tensor, canvas_shape: tf.Tensor, threshold: float, paste: str
) -> tf.Tensor:
    """Pastes the masks of a batch into whole bitmaps, the graph's form of `paste_mask`.

    Args:
      masks: float32 [B, D, M, M], probabilities.
      boxes: float32 [B, D, 4], pixels of the image.
      image_shape: int32 [B, 2], (height, width) of each image.
      canvas_shape: int32 [2], (height, width) of the bitmaps; images lie in their upper left corner.
      threshold: probability from which on a pixel belongs to a mask.
      paste: as in `paste_mask`; "continuous" compares with >=, "integer" with >.

    Returns:
      uint8 [B, D, height, width], 0 and 1.

    Raises:
      ValueError: for an unknown paste.
    """
    if paste not in ("continuous", "integer"):
        raise ValueError(f'paste_masks: paste is {paste!r}; allowed: "continuous", "integer".')
    leading, side = tf.shape(masks)[:2], masks.shape[-1]
    detections = leading[0] * leading[1]
    limits = tf.reshape(tf.repeat(image_shape, leading[1], axis=0), [-1, 2])
    flat, boxes = tf.reshape(masks, [detections, side, side]), tf.reshape(boxes, [-1, 4])
    if paste == "integer":
        flat = tf.pad(flat, [[0, 0], [1, 1], [1, 1]])
    place = _continuous_rows if paste == "continuous" else _integer_rows
    axes = [place(boxes[:, axis::2], limits[:, axis], canvas_shape[axis], flat.shape[-1]) for axis in (0, 1)]

    def paste_one(inputs):
        mask, (row_weights, row_inside), (column_weights, column_inside) = inputs
        image = row_weights @ tf.matmul(mask, column_weights, transpose_b=True)
        above = image >= threshold if paste == "continuous" else image > threshold
        return tf.cast(above & row_inside[:, None] & column_inside, tf.uint8)

    pasted = tf.map_fn(paste_one, (flat, *axes), fn_output_signature=tf.uint8)
    return tf.reshape(pasted, tf.concat([leading, canvas_shape], 0))


def _continuous_rows(intervals, pixels, length, side):
    """`_continuous_paste` of n boxes: weights [n, length, side], and which pixels are in the window [n, length]."""
    start, end, limit = intervals[:, :1], intervals[:, 1:], tf.cast(pixels, tf.float32)[:, None]
    centres = tf.range(tf.cast(length, tf.float32)) + 0.5
    position = (centres - start) / tf.maximum(end - start, 1e-6) * side - 0.5
    inside = (centres > tf.floor(start)) & (centres < tf.math.ceil(end)) & (centres < limit) & (end > start)
    return _tents(position, side), inside


def _integer_rows(intervals, pixels, length, side):
    """`_integer_paste` of n boxes: weights [n, length, side], and which pixels are in the window [n, length]."""
    start, end = intervals[:, :1], intervals[:, 1:]
    half = (end - start) * 0.5 * (side / (side - 2))
    centre = (end + start) * 0.5
    first, last = tf.cast(centre - half, tf.int32), tf.cast(centre + half, tf.int32)
    index = tf.range(length)[None]
    inside = (index >= first) & (index <= last) & (index < pixels[:, None])
    scale = side / tf.maximum(last - first + 1, 1)
    position = (tf.cast(index - first, tf.float32) + 0.5) * tf.cast(scale, tf.float32) - 0.5
    return _tents(tf.clip_by_value(position, 0.0, side - 1.0), side), inside


def _tents(position, side):
    return tf.maximum(1.0 - tf.abs(position[..., None] - tf.range(side, dtype=tf.float32)), 0.0)
