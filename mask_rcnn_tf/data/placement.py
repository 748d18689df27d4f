"""Where an image lies on its canvas: how it was resized, cropped and mirrored, for pixels, boxes, points and masks."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops

Pairs = Sequence[tuple[int, int]]


class Placement(NamedTuple):
    """One image's.

    Attributes:
      original: int32 [2], (h, w) of the image.
      resized: int32 [2], (h, w) after resizing.
      shape: int32 [2], (h, w) of what of it is on the canvas, from the upper left corner.
      offset: int32 [2], (y, x) of the window of `shape` in the resized image; None: all of it is on the canvas.
      flip_horizontal, flip_vertical: bool [], of the window.
    """

    original: tf.Tensor
    resized: tf.Tensor
    shape: tf.Tensor
    offset: tf.Tensor | None
    flip_horizontal: tf.Tensor
    flip_vertical: tf.Tensor

    def window(self, boxes: tf.Tensor) -> tf.Tensor:
        """Boxes float32 [g, 4] of the image, resized and cut to the window, in its pixels before it is mirrored."""
        boxes = image_ops.scale_boxes(boxes, self.original, self.resized)
        # rounding may carry a side past the border
        boxes = box_ops.clip_boxes(boxes[tf.newaxis], self.resized[tf.newaxis])[0]
        if self.offset is None:
            return boxes
        boxes -= tf.cast(tf.tile(self.offset, [2]), tf.float32)
        return box_ops.clip_boxes(boxes[tf.newaxis], self.shape[tf.newaxis])[0]

    def from_window(self, boxes: tf.Tensor) -> tf.Tensor:
        """The inverse of `window` for boxes float32 [g, 4] that lie in it."""
        if self.offset is not None:
            boxes += tf.cast(tf.tile(self.offset, [2]), tf.float32)
        return image_ops.scale_boxes(boxes, self.resized, self.original)

    def mirrored_boxes(self, boxes: tf.Tensor) -> tf.Tensor:
        """Boxes float32 [g, 4] of the window, where the flips put them."""
        height, width = tf.unstack(tf.cast(self.shape, tf.float32))
        y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
        boxes = tf.where(self.flip_horizontal, tf.stack([y1, width - x2, y2, width - x1], axis=-1), boxes)
        y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
        return tf.where(self.flip_vertical, tf.stack([height - y2, x1, height - y1, x2], axis=-1), boxes)

    def mirrored(self, values: tf.Tensor, rows: int, columns: int) -> tf.Tensor:
        """Pixels or masks with the axes `rows` and `columns` reversed as the flips say."""
        values = tf.cond(self.flip_horizontal, lambda: tf.reverse(values, [columns]), lambda: values)
        return tf.cond(self.flip_vertical, lambda: tf.reverse(values, [rows]), lambda: values)

    def cut(self, values: tf.Tensor, rows: int = 0) -> tf.Tensor:
        """The window of a resized image, whose axes `rows` and `rows + 1` are height and width."""
        if self.offset is None:
            return values
        begin, size = [0] * values.shape.rank, [-1] * values.shape.rank
        begin[rows : rows + 2], size[rows : rows + 2] = tf.unstack(self.offset), tf.unstack(self.shape)
        return tf.slice(values, begin, size)

    def points(self, keypoints: tf.Tensor) -> tf.Tensor:
        """Keypoints float32 [g, J, 3] (x, y, v), moved; those outside the window have v = 0."""
        scale = tf.cast(self.resized, tf.float32) / tf.cast(self.original, tf.float32)
        height, width = tf.unstack(tf.cast(self.shape, tf.float32))
        x, y, visibility = tf.unstack(keypoints * tf.stack([scale[1], scale[0], 1.0]), axis=-1)
        if self.offset is not None:
            top, left = tf.unstack(tf.cast(self.offset, tf.float32))
            x, y = x - left, y - top
            visibility = tf.where((x >= 0) & (x <= width) & (y >= 0) & (y <= height), visibility, 0.0)
        x = tf.where(self.flip_horizontal, width - x, x)
        y = tf.where(self.flip_vertical, height - y, y)
        return tf.stack([x, y, visibility], axis=-1)

    def exchanged(self, keypoints: tf.Tensor, pairs: Pairs, vertical_pairs: Pairs) -> tf.Tensor:
        """Keypoints [g, J, 3] in the order that the flips give them: a mirrored person's left eye is a right eye.

        Whichever axis the mirror stands on; two mirrors are a rotation, and pairs that both exchange stay.
        """
        for mirrored, exchange in ((self.flip_horizontal, pairs), (self.flip_vertical, vertical_pairs)):
            order = list(range(keypoints.shape[1]))
            for first, second in exchange:
                order[first], order[second] = second, first
            keypoints = tf.where(mirrored, tf.gather(keypoints, order, axis=1), keypoints)
        return keypoints

    def nearest(self, axis: int) -> tf.Tensor:
        """Rows (0) or columns (1) of the image that the window's pixels are nearest to, int32, before it is mirrored.

        Those below the centres of the pixels; ascending.
        """
        ratio = tf.cast(self.original[axis], tf.float64) / tf.cast(self.resized[axis], tf.float64)
        first = 0 if self.offset is None else self.offset[axis]
        centres = tf.cast(first + tf.range(self.shape[axis]), tf.float64) + 0.5
        return tf.minimum(tf.cast(tf.floor(centres * ratio), tf.int32), self.original[axis] - 1)


def jittered_shape(image_shape: tf.Tensor, scale: tf.Tensor, canvas: tuple[int, int]) -> tf.Tensor:
    """Size of an image that is as large as fits a canvas, times a scale.

    Args:
      image_shape: int32 [2], (h, w).
      scale: float32 [].
      canvas: (H, W).

    Returns:
      int32 [2], at least 1.

    Source: `detectron2/data/transforms/augmentation_impl.py`, ResizeScale; Ghiasi et al., arXiv:2012.07177.
    """
    shape = tf.cast(image_shape, tf.float64)
    target = tf.constant(canvas, tf.float64) * tf.cast(scale, tf.float64)
    return tf.cast(tf.maximum(tf.round(shape * tf.reduce_min(target / shape)), 1.0), tf.int32)


def random_window(resized: tf.Tensor, place: tf.Tensor, canvas: tuple[int, int]) -> tuple[tf.Tensor, tf.Tensor]:
    """The part of a resized image that a canvas shows.

    Args:
      resized: int32 [2], (h, w).
      place: float32 [2], from 0 to 1: where between its first and its last place the window lies.
      canvas: (H, W).

    Returns:
      offset int32 [2] and shape int32 [2].

    Source: `detectron2/data/transforms/augmentation_impl.py`, FixedSizeCrop.
    """
    shape = tf.minimum(resized, tf.constant(canvas, tf.int32))
    return tf.cast(tf.round(tf.cast(resized - shape, tf.float32) * place), tf.int32), shape
