"""From an image to the network's input, and boxes back to the image.

Functions that take an image also take a batch of images of one size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops


def resized_shape(image_shape: tf.Tensor, short_side: float, max_side: float, rounding: str) -> tf.Tensor:
    """Computes the size an image is resized to: a short side of short_side, unless the long side exceeds max_side.

    Args:
      image_shape: int [2], (height, width) in original pixels.
      short_side: pixels, a number or a scalar tensor.
      max_side: pixels, a number or a scalar tensor.
      rounding: "nearest" is int(x + 0.5) (Detectron2); "floor" cuts off (torchvision). Both in float64.

    Returns:
      int32 [2], (height, width), at least 1 (the references fail on an image of 20000 x 1).

    Raises:
      ValueError: for an unknown rounding.

    Source: detectron2/data/transforms/augmentation_impl.py `ResizeShortestEdge.get_output_shape`;
      torchvision/models/detection/transform.py `_resize_image_and_masks`.
    """
    if rounding not in ("nearest", "floor"):
        raise ValueError(f'resized_shape: rounding is {rounding!r}; allowed: "nearest", "floor".')
    shape, short_side, max_side = (tf.cast(value, tf.float64) for value in (image_shape, short_side, max_side))
    short, long = tf.reduce_min(shape), tf.reduce_max(shape)
    if rounding == "floor":
        sides = tf.floor(shape * tf.minimum(short_side / short, max_side / long))
        return tf.cast(tf.maximum(sides, 1.0), tf.int32)
    # The short side is exactly short_side, not its product with the quotient: the order decides the last pixel.
    sides = tf.where(shape > short, short_side / short * shape, short_side)
    longest = tf.reduce_max(sides)
    sides = tf.where(longest > max_side, sides * (max_side / longest), sides)
    return tf.cast(tf.maximum(tf.floor(sides + 0.5), 1.0), tf.int32)


def resize(
    image: tf.Tensor, shape: tf.Tensor, antialias: bool, round_resized: bool, form: "ResizeForm | None" = None
) -> tf.Tensor:
    """Resizes bilinearly, pixel centres at half coordinates.

    Args:
      image: uint8, or without round_resized any type, [h, w, C] or [B, h, w, C].
      shape: int32 [2], (height, width) in pixels.
      antialias: widen the kernel when shrinking, as PIL does; torchvision's tensors are resized without.
      round_resized: round to whole levels after each axis, bit for bit as PIL does with uint8 images.
      form: in which operators; None is `NATIVE_RESIZE`.

    Returns:
      float32 [height, width, C] or [B, height, width, C], levels 0..255.

    Raises:
      ValueError: round_resized with an image that is not uint8.

    Source: PIL.Image.resize(BILINEAR), which Detectron2 uses (`src/libImaging/Resample.c`; since version 13 PIL takes
      the axes in the other order where an image is squeezed, which no resize that keeps the aspect does);
      torch.nn.functional.interpolate, which torchvision uses.
    """
    form = form or NATIVE_RESIZE
    if not round_resized:
        return form.smooth(tf.cast(image, tf.float32), shape, antialias)
    if image.dtype != tf.uint8:
        raise ValueError(f"image is {image.dtype}; allowed with round_resized: uint8.")
    for axis in (-2, -3):  # PIL resizes along x first, then along y
        total = form.axis_sums(image, shape[axis + 3], axis, antialias) + (1 << (WEIGHT_BITS - 1))
        image = tf.cast(tf.clip_by_value(form.shift(total), 0, 255), tf.uint8)
    return tf.cast(image, tf.float32)


EQUATIONS = {-2: "...xc,yx->...yc", -3: "...xwc,yx->...ywc"}  # a matrix [target, source] applied to an axis
WEIGHT_BITS = 22  # PIL's fixed point: 32 bits less 8 of a level and 2 of overshoot


class ResizeForm(NamedTuple):
    """The same resize in the operators that a runtime has.

    Attributes:
      smooth: from a float32 image, the shape and whether to antialias to the float32 result.
      axis_sums: one pass of PIL's resize: from uint8 image, target side, axis and whether to antialias to the int32
        sums of level * weight, in fixed point of `WEIGHT_BITS`.
      shift: from sums that are not negative to their whole levels.
    """

    smooth: Callable[..., tf.Tensor]
    axis_sums: Callable[..., tf.Tensor]
    shift: Callable[[tf.Tensor], tf.Tensor]


def _smooth_native(image, shape, antialias):
    return tf.image.resize(image, shape, "bilinear", antialias=antialias)


def _smooth_onnx(image, shape, antialias):
    resize_axis = _widened_axis if antialias else _lerp_axis
    for axis in EQUATIONS:
        image = resize_axis(image, shape[axis + 3], axis)
    return image


def _smooth_matrix(image, shape, antialias):
    for axis, equation in EQUATIONS.items():
        weights = _resize_weights(tf.shape(image)[axis], shape[axis + 3], antialias)
        image = tf.einsum(equation, image, tf.cast(weights, tf.float32))
    return image


def _tap_sums(image, target, axis, antialias):
    index, weights = _resize_taps(tf.shape(image)[axis], target, antialias)
    return _add_taps(tf.cast(image, tf.int32), axis, index, _fixed_point(weights))


def _matrix_sums(image, target, axis, antialias):
    # Two float32 products of half the bits each are exact, TF32 included; one of 30 bits would not be.
    weights = _fixed_point(_resize_weights(tf.shape(image)[axis], target, antialias))
    half = WEIGHT_BITS // 2
    high = tf.bitwise.right_shift(weights, half)
    parts = tf.cast(tf.concat([high, weights - tf.bitwise.left_shift(high, half)], 0), tf.float32)
    sums = tf.cast(tf.einsum(EQUATIONS[axis], tf.cast(image, tf.float32), parts), tf.int32)
    high, low = tf.split(sums, 2, axis)
    return tf.bitwise.left_shift(high, half) + low


def _shift_right(total):
    return tf.bitwise.right_shift(total, WEIGHT_BITS)


def _divide(total):  # ONNX shifts unsigned numbers only
    return total // (1 << WEIGHT_BITS)


NATIVE_RESIZE = ResizeForm(_smooth_native, _tap_sums, _shift_right)
ONNX_RESIZE = ResizeForm(_smooth_onnx, _tap_sums, _divide)
MATRIX_RESIZE = ResizeForm(_smooth_matrix, _matrix_sums, _shift_right)  # XLA and TFLite have no antialiased resize


def _widened_axis(image, target, axis):
    index, weights = _resize_taps(tf.shape(image)[axis], target, True)
    return _add_taps(image, axis, index, tf.cast(weights, tf.float32))


def _lerp_axis(image, target, axis):
    """One axis of `tf.image.resize`, in its own float32 arithmetic: better positions would give another image.

    Source: tensorflow/core/kernels/image/resize_bilinear_op.cc, image_resizer_state.h.
    """
    source = tf.shape(image)[axis]
    step = tf.cast(source, tf.float32) / tf.cast(target, tf.float32)
    position = (tf.cast(tf.range(target), tf.float32) + 0.5) * step - 0.5
    below = tf.floor(position)
    low, high = tf.cast(below, tf.int32), tf.cast(tf.math.ceil(position), tf.int32)
    first = tf.gather(image, tf.maximum(low, 0), axis=axis)
    second = tf.gather(image, tf.minimum(high, source - 1), axis=axis)
    return first + (second - first) * tf.reshape(position - below, [-1] + [1] * (-axis - 1))


def _add_taps(image, axis, index, weights):
    """Weighted sums of the pixels `index` [target, taps] along an axis."""
    columns = [1] * (-axis - 1)

    def add_tap(tap, total):
        weight = tf.reshape(weights[:, tap], [-1, *columns])
        return tap + 1, total + tf.gather(image, index[:, tap], axis=axis) * weight

    first = add_tap(0, 0)[1]
    return tf.while_loop(lambda tap, _: tap < tf.shape(index)[1], add_tap, [1, first])[1]


def _resize_taps(source, target, antialias):
    """The pixels that each output pixel is made of: int32 [target, taps] indices and their float64 weights."""
    centres, width = _resize_triangles(source, target, antialias)
    first = tf.maximum(tf.cast(centres - width + 0.5, tf.int32), 0)
    taps = tf.range(2 * tf.cast(tf.math.ceil(width), tf.int32) + 1)
    index = first[:, None] + taps
    weights = tf.maximum(1.0 - tf.abs((tf.cast(index, tf.float64) + 0.5 - centres[:, None]) / width), 0.0)
    weights = tf.where(index < source, weights, 0.0)
    return tf.minimum(index, source - 1), weights / tf.reduce_sum(weights, 1, keepdims=True)


def _resize_weights(source, target, antialias):
    """The float64 [target, source] matrix of a bilinear resize: triangles, as wide as the step when antialiased."""
    centres, width = _resize_triangles(source, target, antialias)
    pixels = tf.range(source, dtype=tf.float64) + 0.5
    weights = tf.maximum(1.0 - tf.abs(centres[:, None] - pixels) / width, 0.0)
    return weights / tf.reduce_sum(weights, 1, keepdims=True)


def _resize_triangles(source, target, antialias):
    """Centres, float64 [target], and half width, float64 [], of a bilinear resize's triangles in source pixels."""
    step = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    width = tf.maximum(step, 1.0) if antialias else tf.constant(1.0, tf.float64)
    return (tf.range(target, dtype=tf.float64) + 0.5) * step, width


def _fixed_point(weights):
    return tf.cast(weights * (1 << WEIGHT_BITS) + 0.5, tf.int32)


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


def denormalize(
    image: tf.Tensor, channel_order: str, pixel_scale: float, mean: Sequence[float], std: Sequence[float]
) -> tf.Tensor:
    """The inverse of `normalize`, whose arguments it has: float32 [..., 3], RGB, levels 0..255."""
    levels = (image * tf.constant(std, tf.float32) + tf.constant(mean, tf.float32)) / pixel_scale
    return tf.reverse(levels, [-1]) if channel_order == "BGR" else levels


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


def outputs_to_original(
    outputs: Mapping[str, tf.Tensor], image_shape: tf.Tensor, original_shape: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Moves what a model found, by the names of its outputs, from network pixels to original pixels.

    Args:
      outputs: of `MaskRCNN.detect`; `detection_boxes`, `proposals` [B, n, 4] and `detection_keypoints` [B, n, J, 3]
        (x, y, score) are moved, the others are not in pixels.
      image_shape: int32 [B, 2], valid (height, width) of the network input.
      original_shape: int32 [B, 2], (height, width) before resizing.
    """
    moved = dict(outputs)
    for name in ("detection_boxes", "proposals"):
        if name in outputs:
            moved[name] = boxes_to_original(outputs[name], image_shape, original_shape)
    if "detection_keypoints" in outputs:
        ratio = tf.cast(original_shape, tf.float32) / tf.cast(image_shape, tf.float32)
        ratio = tf.concat([ratio[:, ::-1], tf.ones_like(ratio[:, :1])], -1)
        moved["detection_keypoints"] = outputs["detection_keypoints"] * ratio[:, tf.newaxis, tf.newaxis]
    return moved


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
