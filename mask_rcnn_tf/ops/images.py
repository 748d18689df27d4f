"""From an image to the network's input, and boxes back to the image.

Functions that take an image also take a batch of images of one size.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import resize_axis


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
      Levels [height, width, C] or [B, height, width, C], float32, with round_resized uint8.

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
        image = form.rounded(image, shape[axis + 3], axis, antialias)
    return image


EQUATIONS = {-2: "...xc,yx->...yc", -3: "...xwc,yx->...ywc"}  # a matrix [target, source] applied to an axis
HALF = 1 << (resize_axis.WEIGHT_BITS - 1)  # of a level in PIL's fixed point


class ResizeForm(NamedTuple):
    """The same resize in the operators that a runtime has.

    Attributes:
      smooth: from a float32 image, the shape and whether to antialias to the float32 result.
      rounded: one pass of PIL's resize: from uint8 image, target side, axis and whether to antialias to uint8.
    """

    smooth: Callable[..., tf.Tensor]
    rounded: Callable[..., tf.Tensor]


def _smooth_native(image, shape, antialias):
    return tf.image.resize(image, shape, "bilinear", antialias=antialias)


def _smooth_onnx(image, shape, antialias):
    smooth_axis = _widened_axis if antialias else _lerp_axis
    for axis in EQUATIONS:
        image = smooth_axis(image, shape[axis + 3], axis)
    return image


def _smooth_matrix(image, shape, antialias):
    for axis, equation in EQUATIONS.items():
        weights = resize_axis.matrix(tf.shape(image)[axis], shape[axis + 3], antialias)
        image = tf.einsum(equation, image, tf.cast(weights, tf.float32))
    return image


def _rounded_onnx(image, target, axis, antialias):
    index, weights = resize_axis.taps(tf.shape(image)[axis], target, antialias)
    total = _add_taps(tf.cast(image, tf.int32), axis, index, resize_axis.fixed_point(weights))
    return _levels((total + HALF) // (2 * HALF))  # ONNX shifts unsigned numbers only


def _rounded_matrix(image, target, axis, antialias):
    # Two float32 products of half the bits each are exact, TF32 included; one of 30 bits would not be.
    weights = resize_axis.fixed_point(resize_axis.matrix(tf.shape(image)[axis], target, antialias))
    half = resize_axis.WEIGHT_BITS // 2
    high = tf.bitwise.right_shift(weights, half)
    parts = tf.cast(tf.concat([high, weights - tf.bitwise.left_shift(high, half)], 0), tf.float32)
    sums = tf.cast(tf.einsum(EQUATIONS[axis], tf.cast(image, tf.float32), parts), tf.int32)
    high, low = tf.split(sums, 2, axis)
    return _levels(tf.bitwise.right_shift(tf.bitwise.left_shift(high, half) + low + HALF, resize_axis.WEIGHT_BITS))


def _levels(whole):
    return tf.cast(tf.clip_by_value(whole, 0, 255), tf.uint8)


NATIVE_RESIZE = ResizeForm(_smooth_native, resize_axis.rounded)
ONNX_RESIZE = ResizeForm(_smooth_onnx, _rounded_onnx)
MATRIX_RESIZE = ResizeForm(_smooth_matrix, _rounded_matrix)  # XLA and TFLite have no antialiased resize


def _widened_axis(image, target, axis):
    index, weights = resize_axis.taps(tf.shape(image)[axis], target, True)
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
    image = ordered(image, channel_order)
    return (image * pixel_scale - tf.constant(mean, tf.float32)) / tf.constant(std, tf.float32)


def ordered(image: tf.Tensor, channel_order: str) -> tf.Tensor:
    """RGB levels [..., C] of any dtype in the order "RGB" or "BGR"; `ValueError` for another one."""
    if channel_order not in ("RGB", "BGR"):
        raise ValueError(f'normalize: channel_order is {channel_order!r}; allowed: "RGB", "BGR".')
    return tf.reverse(image, [-1]) if channel_order == "BGR" else image


def normalize_rows(image: tf.Tensor, pixel_scale: float, mean: Sequence[float], std: Sequence[float]) -> tf.Tensor:
    """`normalize` of levels that are in the order of channels, bit for bit, in a third of the time on a CPU.

    TensorFlow is slower with numbers of three channels than with those of whole rows (measured).

    Args:
      image: any dtype [h, w, C], levels.
      pixel_scale, mean, std: as of `normalize`.

    Returns:
      float32 [h, w, C].
    """
    shape = tf.shape(image)
    rows = tf.cast(tf.reshape(image, [shape[0], -1]), tf.float32)
    mean, deviation = (tf.tile(tf.constant(numbers, tf.float32), shape[1:2]) for numbers in (mean, std))
    rows = (rows if pixel_scale == 1 else rows * pixel_scale) - mean
    rows = rows if all(number == 1 for number in std) else rows / deviation
    return tf.ensure_shape(tf.reshape(rows, shape), image.shape)


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
    source, target = tf.shape(masks)[1:], tf.cast(shape, tf.int32)
    ratio = tf.cast(source, tf.float32) / tf.cast(target, tf.float32)
    for axis in (1, 0):  # columns as rows first: whole ones are copied, where pixels would be one by one
        index = tf.cast(tf.floor(tf.range(target[axis], dtype=tf.float32) * ratio[axis]), tf.int32)
        masks = tf.gather(tf.transpose(masks, [0, 2, 1]), tf.minimum(index, source[axis] - 1), axis=1)
    return masks
