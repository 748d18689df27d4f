"""Geometry of boxes `[y1, x1, y2, x2]`: area, clipping, intersection over union, and deltas between two boxes."""

import math
from collections.abc import Sequence

import tensorflow as tf

MAX_LOG_SCALE = math.log(1000.0 / 16.0)  # a decoded side is at most 62.5 times its reference's


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Area of boxes.

    Args:
      boxes: float32 [..., 4], pixels.

    Returns:
      float32 [...], square pixels. A box inverted in one direction has a negative area, as in the reference.

    Source: torchvision/ops/boxes.py `box_area`.
    """
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    return (y2 - y1) * (x2 - x1)


def clip_boxes(boxes: tf.Tensor, image_shape: tf.Tensor) -> tf.Tensor:
    """Moves every corner into its image, whose extent is [0, h] x [0, w].

    Args:
      boxes: float32 [B, ..., 4], pixels.
      image_shape: int32 or float32 [B, 2], valid (h, w) of each image, pixels.

    Returns:
      float32 [B, ..., 4].

    Source: detectron2/structures/boxes.py `Boxes.clip`; torchvision/ops/boxes.py `clip_boxes_to_image`.
    """
    limit = tf.tile(tf.cast(image_shape, boxes.dtype), [1, 2])
    for _ in range(boxes.shape.rank - 2):
        limit = tf.expand_dims(limit, 1)
    return tf.minimum(tf.maximum(boxes, 0.0), limit)


def pairwise_iou(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    """Intersection over union of every box of `a` with every box of `b`.

    Args:
      a: float32 [..., N, 4], pixels.
      b: float32 [..., M, 4], pixels, same frame; leading dimensions broadcast with those of `a`.

    Returns:
      float32 [..., N, M] in [0, 1]. Boxes without area, inverted ones included, meet nothing: 0, never NaN.

    Source: torchvision/ops/boxes.py `box_iou` (which gives NaN for two empty boxes).
    """
    ay1, ax1, ay2, ax2 = (side[..., :, tf.newaxis] for side in tf.unstack(a, axis=-1))
    by1, bx1, by2, bx2 = (side[..., tf.newaxis, :] for side in tf.unstack(b, axis=-1))
    height = tf.maximum(tf.minimum(ay2, by2) - tf.maximum(ay1, by1), 0.0)
    width = tf.maximum(tf.minimum(ax2, bx2) - tf.maximum(ax1, bx1), 0.0)
    intersection = height * width
    # The order of the sum is that of the references and of TensorFlow's NMS: an IoU that equals a threshold must
    # equal it everywhere.
    union = area(a)[..., :, tf.newaxis] + area(b)[..., tf.newaxis, :] - intersection
    return tf.math.divide_no_nan(intersection, union)


def has_area(boxes: tf.Tensor, min_size: float = 0.0) -> tf.Tensor:
    """Whether both sides of a box are above 0 and at least `min_size`.

    Args:
      boxes: float32 [..., 4], pixels.
      min_size: pixels.

    Returns:
      bool [...].

    Source: detectron2/structures/boxes.py `Boxes.nonempty`; torchvision/ops/boxes.py `remove_small_boxes`.
    """
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    shorter = tf.minimum(y2 - y1, x2 - x1)
    return (shorter > 0.0) & (shorter >= min_size)


def encode_deltas(boxes: tf.Tensor, reference: tf.Tensor, weights: Sequence[float]) -> tf.Tensor:
    """Deltas (dy, dx, dh, dw) that lead from `reference` to `boxes`.

    Args:
      boxes: float32 [..., 4], pixels.
      reference: float32 [..., 4], pixels, with area; anchors or RoIs.
      weights: four factors of (dy, dx, dh, dw).

    Returns:
      float32 [..., 4]: centre offsets in units of the reference's sides, logs of the ratios of the sides.

    Source: arXiv:1311.2524 appendix C; detectron2/modeling/box_regression.py `Box2BoxTransform.get_deltas`.
    """
    cy, cx, h, w = _centre_and_sides(boxes)
    ref_cy, ref_cx, ref_h, ref_w = _centre_and_sides(reference)
    wy, wx, wh, ww = weights
    return tf.stack(
        [
            wy * (cy - ref_cy) / ref_h,
            wx * (cx - ref_cx) / ref_w,
            wh * tf.math.log(h / ref_h),
            ww * tf.math.log(w / ref_w),
        ],
        axis=-1,
    )


def decode_deltas(deltas: tf.Tensor, reference: tf.Tensor, weights: Sequence[float]) -> tf.Tensor:
    """Applies deltas to reference boxes; the inverse of `encode_deltas`.

    Args:
      deltas: float32 [..., 4], (dy, dx, dh, dw).
      reference: float32 [..., 4], pixels; broadcast with `deltas`.
      weights: four factors of (dy, dx, dh, dw).

    Returns:
      float32 [..., 4], pixels, not clipped. dh and dw are clamped above at log(1000 / 16), so that exp stays finite.

    Source: detectron2/modeling/box_regression.py `Box2BoxTransform.apply_deltas`.
    """
    ref_cy, ref_cx, ref_h, ref_w = _centre_and_sides(reference)
    dy, dx, dh, dw = tf.unstack(deltas, axis=-1)
    wy, wx, wh, ww = weights
    cy = dy / wy * ref_h + ref_cy
    cx = dx / wx * ref_w + ref_cx
    half_h = 0.5 * tf.exp(tf.minimum(dh / wh, MAX_LOG_SCALE)) * ref_h
    half_w = 0.5 * tf.exp(tf.minimum(dw / ww, MAX_LOG_SCALE)) * ref_w
    return tf.stack([cy - half_h, cx - half_w, cy + half_h, cx + half_w], axis=-1)


def _centre_and_sides(boxes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
    h, w = y2 - y1, x2 - x1
    return y1 + 0.5 * h, x1 + 0.5 * w, h, w
