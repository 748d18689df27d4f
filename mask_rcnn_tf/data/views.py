"""What part of an image training sees, and how it is turned: one map for pixels, boxes, masks and points."""

import math
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.ops import boxes as box_ops

VIEW_SEED = (0, 2**43)  # added to the seed of the other draws


class View(NamedTuple):
    """A crop of an image, turned about its middle.

    Attributes:
      offset: int32 [2], (y, x) of the crop in the image.
      cropped: int32 [2], (h, w) of the crop.
      quarters: int32 [], right angles by which it is turned, 0 to 3, anticlockwise.
      angle: float32 [], radians by which it is turned further, within the sides that it has then; None: by none.
    """

    offset: tf.Tensor
    cropped: tf.Tensor
    quarters: tf.Tensor
    angle: tf.Tensor | None

    @property
    def shape(self) -> tf.Tensor:
        """Size int32 [2] (h, w) of the view."""
        return turned_shape(self.cropped, self.quarters)

    @property
    def is_exact(self) -> tf.Tensor:
        """Whether each pixel of the view is one of the image, bool []."""
        return tf.constant(True) if self.angle is None else tf.equal(self.angle, 0.0)

    def points(self, points: tf.Tensor) -> tf.Tensor:
        """Points float32 [..., 2] (y, x) of the image, in the view."""
        cos, sin = self._cos_sin()
        y, x = tf.unstack(points - self._middle_in_image(), axis=-1)
        return tf.stack([cos * y - sin * x, sin * y + cos * x], axis=-1) + _middle(self.shape)

    def sources(self, points: tf.Tensor) -> tf.Tensor:
        """Points float32 [..., 2] (y, x) of the view, in the image: the inverse of `points`."""
        cos, sin = self._cos_sin()
        y, x = tf.unstack(points - _middle(self.shape), axis=-1)
        return tf.stack([cos * y + sin * x, cos * x - sin * y], axis=-1) + self._middle_in_image()

    def boxes(self, boxes: tf.Tensor) -> tf.Tensor:
        """The boxes float32 [g, 4] around the corners of boxes of the image, in the view, not cut."""
        y1, x1, y2, x2 = tf.unstack(boxes, axis=-1)
        corners = [tf.stack(corner, axis=-1) for corner in ((y1, x1), (y1, x2), (y2, x1), (y2, x2))]
        moved = self.points(tf.stack(corners, axis=-2))
        return tf.concat([tf.reduce_min(moved, axis=-2), tf.reduce_max(moved, axis=-2)], axis=-1)

    def clipped(self, boxes: tf.Tensor) -> tf.Tensor:
        """`boxes`, cut to the view."""
        return box_ops.clip_boxes(self.boxes(boxes)[tf.newaxis], self.shape[tf.newaxis])[0]

    def pixels(self, image: tf.Tensor, outside: tf.Tensor) -> tf.Tensor:
        """The view of an image uint8 or uint16 [h, w, C], bilinear between its pixels.

        Beyond the image lie pixels of the colour `outside`, float32 [C], levels.
        """

        def straight():
            crop = tf.slice(image, [*tf.unstack(self.offset), 0], [*tf.unstack(self.cropped), -1])
            return tf.image.rot90(crop, self.quarters)

        if self.angle is None:
            return straight()
        return tf.cond(self.is_exact, straight, lambda: self._sampled(image, outside))

    def bitmap(self, bitmap: tf.Tensor, column: tf.Tensor, box: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """A mask in the view: of each pixel the one of the image that its centre lies in.

        Args:
          bitmap: uint8 [h, w'] in {0, 1}, columns of the image from `column` on, at least one.
          column: int32 [].
          box: float32 [4] around the mask, pixels of the image.

        Returns:
          uint8 [ph, pw], the part of the view that holds the mask, and its corner int32 [2] (y, x).
        """
        low, high = tf.split(self.boxes(box[tf.newaxis])[0], 2)
        corner = tf.clip_by_value(tf.cast(tf.floor(low), tf.int32), 0, self.shape)
        end = tf.clip_by_value(tf.cast(tf.math.ceil(high), tf.int32), corner, self.shape)
        centres = [tf.cast(tf.range(corner[axis], end[axis]), tf.float32) + 0.5 for axis in (0, 1)]
        places = self.sources(tf.stack(tf.meshgrid(*centres, indexing="ij"), axis=-1))
        rows, columns = tf.unstack(tf.cast(tf.floor(places), tf.int32), axis=-1)
        columns -= column
        height, width = tf.unstack(tf.shape(bitmap))
        inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
        found = tf.gather(tf.reshape(bitmap, [-1]), tf.where(inside, rows * width + columns, 0))
        return tf.where(inside, found, tf.zeros_like(found)), corner

    def _sampled(self, image, outside):
        """Any angle. The operator's coordinates are x, y from the centre of the first pixel."""
        cos, sin = self._cos_sin()
        origin = self.sources(tf.constant([0.5, 0.5])) - 0.5
        transform = tf.stack([cos, -sin, origin[1], sin, cos, origin[0], 0.0, 0.0])
        sampled = tf.raw_ops.ImageProjectiveTransformV3(
            images=tf.cast(image, tf.float32)[tf.newaxis] - outside,
            transforms=transform[tf.newaxis],
            output_shape=self.shape,
            fill_value=0.0,
            interpolation="BILINEAR",
            fill_mode="CONSTANT",
        )[0]
        return tf.cast(tf.floor(tf.clip_by_value(sampled + outside, 0.0, image.dtype.max) + 0.5), image.dtype)

    def _cos_sin(self):
        """Of the whole angle; exact where it is right."""
        cos, sin = (
            tf.gather(tf.constant(values), self.quarters) for values in ((1.0, 0.0, -1.0, 0.0), (0.0, 1.0, 0.0, -1.0))
        )
        if self.angle is None:
            return cos, sin
        by_cos, by_sin = tf.cos(self.angle), tf.sin(self.angle)
        return cos * by_cos - sin * by_sin, sin * by_cos + cos * by_sin

    def _middle_in_image(self):
        return tf.cast(self.offset, tf.float32) + _middle(self.cropped)


def _middle(shape):
    return tf.cast(shape, tf.float32) / 2.0


def turned_shape(shape: tf.Tensor, quarters: tf.Tensor) -> tf.Tensor:
    """Size int32 [2] (h, w) of an image that is turned by right angles."""
    return tf.where(quarters % 2 == 1, shape[::-1], shape)


def view_draws(config: Config, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws the view of one image in one epoch.

    Args:
      config: `data.right_angles`, `data.rotation` and `data.crop` are read.
      seed: int64 [2], of `transforms.draw_seed`.

    Returns:
      {} where all are off, else `crop` float32 [4] (shares of height and width; place of the window, down and right,
      from 0 to below 1), `quarters` int32 [] and, with `data.rotation`, `angle` float32 [], radians.
    """
    data = config.data
    if not (data.right_angles or cuts_objects(config)):
        return {}
    drawn = tf.random.stateless_uniform([6], seed + VIEW_SEED, alg="philox")
    quarters = tf.cast(drawn[4] * 4.0, tf.int32) if data.right_angles else tf.constant(0)
    found = {"crop": tf.concat([data.crop + drawn[:2] * (1.0 - data.crop), drawn[2:4]], 0), "quarters": quarters}
    if data.rotation:
        turned = drawn[5] < 0.5
        angle = (4.0 * drawn[5] - 1.0) * math.radians(data.rotation)
        found["angle"] = tf.where(turned, angle, 0.0)
    return found


def cuts_objects(config: Config) -> bool:
    """Whether views may show parts of objects, or turn them by any angle: their masks are then made anew."""
    return config.data.crop < 1 or config.data.rotation > 0


def view_of(image_shape: tf.Tensor, draws: dict[str, tf.Tensor]) -> View:
    """The view that was drawn of an image.

    Args:
      image_shape: int32 [2], (h, w), pixels.
      draws: of `view_draws`, not empty.

    Source of the crop: `detectron2/data/transforms/augmentation_impl.py`, RandomCrop, "relative_range".
    """
    shares, places = tf.split(draws["crop"], 2)
    sides = tf.cast(image_shape, tf.float32)
    cropped = tf.clip_by_value(tf.cast(sides * shares + 0.5, tf.int32), 1, image_shape)
    margins = image_shape - cropped
    offset = tf.minimum(tf.cast(places * tf.cast(margins + 1, tf.float32), tf.int32), margins)
    return View(offset, cropped, draws["quarters"], draws.get("angle"))


def viewed_shape(image_shape: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """Size int32 [2] (h, w) of what is seen of an image; `draws` of `transforms.augment_draws`."""
    return view_of(image_shape, draws).shape if "crop" in draws else image_shape
