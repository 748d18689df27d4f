"""From an image to the network's input, and boxes back to the image.

Functions that take an image also take a batch of images of one size.
"""

from collections.abc import Sequence

import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops


def resized_shape(image_shape: tf.Tensor, short_side: float, max_side: float, rounding: str) -> tf.Tensor:
    """Computes the size an image is resized to: a short side of short_side, unless the long side exceeds max_side.

    Args:
      image_shape: int [2], (height, width) in original pixels.
      short_side: pixels, a number or a scalar tensor.
      max_side: pixels, a number or a scalar tensor.
      rounding: "nearest" is int(x + 0.5) (Detectron2); "floor" cuts off after a float32 scale (torchvision).

    Returns:
      int32 [2], (height, width).

    Raises:
      ValueError: for an unknown rounding.

    Source: detectron2/data/transforms/augmentation_impl.py `ResizeShortestEdge.get_output_shape`;
      torchvision/models/detection/transform.py `_resize_image_and_masks`.
    """
    if rounding not in ("nearest", "floor"):
        raise ValueError(f'resized_shape: rounding is {rounding!r}; allowed: "nearest", "floor".')
    precision = tf.float64 if rounding == "nearest" else tf.float32
    shape = tf.cast(image_shape, precision)
    short_side, max_side = tf.cast(short_side, precision), tf.cast(max_side, precision)
    short, long = tf.reduce_min(shape), tf.reduce_max(shape)
    if rounding == "floor":
        scale = tf.cast(tf.minimum(short_side / short, max_side / long), tf.float64)
        return tf.cast(tf.floor(tf.cast(shape, tf.float64) * scale), tf.int32)
    # The short side is exactly short_side, not its product with the quotient: the order decides the last pixel.
    sides = tf.where(shape > short, short_side / short * shape, short_side)
    longest = tf.reduce_max(sides)
    sides = tf.where(longest > max_side, sides * (max_side / longest), sides)
    return tf.cast(tf.floor(sides + 0.5), tf.int32)


def resize(image: tf.Tensor, shape: tf.Tensor, antialias: bool, round_resized: bool) -> tf.Tensor:
    """Resizes bilinearly, pixel centres at half coordinates.

    Args:
      image: uint8 or float [h, w, C] or [B, h, w, C].
      shape: int32 [2], (height, width) in pixels.
      antialias: widen the kernel when shrinking, as PIL does; torchvision's tensors are resized without.
      round_resized: round to whole levels 0..255, as resizing uint8 images does.

    Returns:
      float32 [height, width, C] or [B, height, width, C], levels as they came.

    Source: PIL.Image.resize(BILINEAR), which Detectron2 uses; torch.nn.functional.interpolate, which torchvision uses.
    """
    resized = tf.image.resize(tf.cast(image, tf.float32), shape, "bilinear", antialias=antialias)
    return tf.clip_by_value(tf.floor(resized + 0.5), 0.0, 255.0) if round_resized else resized


def normalize(
    image: tf.Tensor, channel_order: str, pixel_scale: float, mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """Brings RGB levels to what the backbone's weights expect: (level * pixel_scale - mean) / std.

    Args:
      image: float32 [..., 3], RGB, levels 0..255.
      channel_order: "RGB" or "BGR", of the result, mean and std.
      pixel_scale: factor of the levels.
      mean: of the three channels, after the scaling.
      std: of the three channels, after the scaling.

    Returns:
      float32 [..., 3].

    Raises:
      ValueError: for an unknown channel order.

    Source: detectron2/modeling/meta_arch/rcnn.py `preprocess_image`; torchvision `GeneralizedRCNNTransform.normalize`.
    """
    if channel_order not in ("RGB", "BGR"):
        raise ValueError(f'normalize: channel_order is {channel_order!r}; allowed: "RGB", "BGR".')
    if channel_order == "BGR":
        image = tf.reverse(image, [-1])
    return (image * pixel_scale - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)


def canvas_shape(shape: tf.Tensor, divisor: int) -> tf.Tensor:
    """Rounds a size up to the smallest canvas whose sides are multiples of divisor.

    Args:
      shape: int32 [2], (height, width) in pixels.
      divisor: pixels.

    Returns:
      int32 [2].
    """
    return (tf.cast(shape, tf.int32) + divisor - 1) // divisor * divisor


def pad_to(image: tf.Tensor, height: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
    """Pads with zeros below and to the right.

    Args:
      image: any dtype [h, w, C] or [B, h, w, C].
      height: int32 scalar or number, pixels, at least h.
      width: int32 scalar or number, pixels, at least w.

    Returns:
      The dtype of image, [height, width, C] or [B, height, width, C].
    """
    shape = tf.shape(image)
    paddings = [[0, 0]] * (image.shape.rank - 3) + [[0, height - shape[-3]], [0, width - shape[-2]], [0, 0]]
    padded = tf.pad(image, paddings)
    known = [side if isinstance(side, int) else None for side in (height, width)]
    return tf.ensure_shape(padded, [*image.shape[:-3], *known, image.shape[-1]])


def scale_boxes(boxes: tf.Tensor, from_shape: tf.Tensor, to_shape: tf.Tensor) -> tf.Tensor:
    """Moves boxes from one resolution of an image to another, by each axis's own ratio.

    Args:
      boxes: float32 [..., D, 4], pixels of from_shape.
      from_shape: int [..., 2], (height, width).
      to_shape: int [..., 2], (height, width).

    Returns:
      float32 [..., D, 4], pixels of to_shape.

    Source: torchvision/models/detection/transform.py `resize_boxes`.
    """
    ratio = tf.cast(to_shape, tf.float32) / tf.cast(from_shape, tf.float32)
    return boxes * tf.concat([ratio, ratio], axis=-1)[..., tf.newaxis, :]


def boxes_to_original(boxes: tf.Tensor, image_shape: tf.Tensor, original_shape: tf.Tensor) -> tf.Tensor:
    """Moves detections from network pixels to original pixels and clips them to the image.

    Args:
      boxes: float32 [B, D, 4], pixels of the network input.
      image_shape: int32 [B, 2], valid (height, width) of the network input.
      original_shape: int32 [B, 2], (height, width) before resizing.

    Returns:
      float32 [B, D, 4], original pixels.

    Source: detectron2/modeling/postprocessing.py `detector_postprocess`.
    """
    return box_ops.clip_boxes(scale_boxes(boxes, image_shape, original_shape), original_shape)


def resize_masks_nearest(masks: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Resizes masks by torch's legacy nearest rule: pixel i comes from floor(i * in / out), in float32.

    Args:
      masks: any dtype [g, h, w].
      shape: int32 [2], (height, width) in pixels.

    Returns:
      The dtype of masks, [g, height, width].

    Source: torch.nn.functional.interpolate(mode="nearest"), used by torchvision `_resize_image_and_masks`.
    """
    for axis in (1, 2):
        source, target = tf.shape(masks)[axis], tf.cast(shape, tf.int32)[axis - 1]
        ratio = tf.cast(source, tf.float32) / tf.cast(target, tf.float32)
        index = tf.cast(tf.floor(tf.range(target, dtype=tf.float32) * ratio), tf.int32)
        masks = tf.gather(masks, tf.minimum(index, source - 1), axis=axis)
    return masks
