"""What an exported graph computes: from images, image files or a canvas to detections in original pixels.

Every function takes a `MaskRCNN` first and answers with the same outputs, {name: tensor}:
  num_detections     int32 [B], rows that are not padding
  detection_boxes    float32 [B, D, 4], [y1, x1, y2, x2] in pixels of the original image, best score first
  detection_scores   float32 [B, D]
  detection_classes  int32 [B, D], category ids of the training file
  detection_masks    float32 [B, D, M, M], probabilities in the frame of the box (where the model has a mask head)
  detection_keypoints float32 [B, D, J, 3], (x, y, score) in pixels of the original image (with a keypoint head)
Rows of padding are 0.
"""

from collections.abc import Sequence

import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import masks as mask_ops
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS, MAX_SIDE, declared_shape, decode_image
from mask_rcnn_tf.ops.orientation import orient, stored_orientation
from mask_rcnn_tf.pixels import PixelKind


def detect_images(model: MaskRCNN, images: tf.Tensor) -> Tensors:
    """Detections of images of one size.

    Args:
      model: `MaskRCNN`.
      images: of `config.preprocess.pixels`, [B, h, w, C].
    """
    return with_category_ids(model.config, model(images))


def detect_canvas(
    model: MaskRCNN,
    image: tf.Tensor,
    image_shape: tf.Tensor,
    original_shape: tf.Tensor,
    steps: Sequence[Step] | None = None,
) -> Tensors:
    """Detections of images that were resized before (`canvas.place_on_canvas`).

    Args:
      model: `MaskRCNN`.
      image: `canvas.image_dtype` [B, H, W, C], levels, sides multiples of `size_divisor`.
      image_shape: int32 [B, 2], (h, w) that the image has on the canvas, in its upper left corner.
      original_shape: int32 [B, 2], (h, w) before resizing.
      steps: the model's with other networks, or None.
    """
    preprocess = model.config.preprocess
    normalized = image_ops.normalize(
        tf.cast(image, tf.float32), preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
    )
    # The network sees zeros beyond the image, not the colour that normalises to something else.
    rows = tf.range(tf.shape(image)[1])[None] < image_shape[:, :1]
    columns = tf.range(tf.shape(image)[2])[None] < image_shape[:, 1:]
    inside = tf.cast(rows[:, :, None] & columns[:, None, :], tf.float32)
    normalized = tf.ensure_shape(normalized * inside[..., None], image.shape)  # anchors are constants where sides are
    detections = model.detect(normalized, image_shape, steps)
    return with_category_ids(model.config, model.to_original(detections, image_shape, original_shape))


def detect_bytes(model: MaskRCNN, image_bytes: tf.Tensor) -> Tensors:
    """Detections of image files, each by itself: what an image gives does not depend on what it is batched with.

    Args:
      model: `MaskRCNN`.
      image_bytes: string [B], contents of JPEG, PNG, WebP, BMP or GIF files of any sizes (`decode_image`). EXIF
        orientation is applied, and of PNGs of 16 bits `preprocess.white_level` is white where `bits` is 8.

    Returns:
      The outputs named above, and `original_shape` int32 [B, 2], (h, w) of each image as people see it.
    """

    def detect(content):
        with tf.control_dependencies(_size_checks(1, declared_shape(content))):
            content = tf.identity(content)
        image = checked_images(model.config, upright(content, model.config.preprocess.pixels)[None])[0]
        detections = {name: value[0] for name, value in detect_images(model, image[None]).items()}
        return {**detections, "original_shape": tf.shape(image)[:2]}

    specs = (head.output_specs(model.config) for head in model.roi_heads)
    outputs = {name: spec for found in specs for name, spec in found.items()}
    outputs["original_shape"] = tf.TensorSpec([2], tf.int32)
    # One after the other: ten at once, as is usual, would take ten times the memory and be no faster.
    contents = tf.ensure_shape(image_bytes, [None])
    return tf.map_fn(detect, contents, parallel_iterations=1, fn_output_signature=outputs)


def upright(content: tf.Tensor, kind: PixelKind) -> tf.Tensor:
    """An image file as people see it, [h, w, C] of this kind; `content`: string [], see `decode_image.decode_image`."""
    return orient(decode_image(content, kind), stored_orientation(content))


def checked_images(config: ModelConfig, images: tf.Tensor) -> tf.Tensor:
    """The same images, or an error when the graph runs: what a stranger sends must not end in a failure deep inside.

    A server checks types only; shapes of the signature are not compared with those that come.

    Args:
      config: the model's.
      images: of `config.preprocess.pixels`, [B, h, w, C].
    """
    images = tf.ensure_shape(images, [None, None, None, config.preprocess.channels])
    shape = tf.shape(images)
    with tf.control_dependencies(_size_checks(shape[0], shape[1:3])):
        return tf.identity(images)


def _size_checks(count, sides):
    """Operations that fail where there is no image or one that would take the server's memory or time."""
    fits = (count > 0) & (tf.reduce_min(sides) > 0) & (tf.reduce_max(sides) <= MAX_SIDE)
    fits &= tf.reduce_prod(tf.cast(sides, tf.int64)) <= MAX_PIXELS
    allowed = f"allowed: B > 0, sides from 1 to {MAX_SIDE}, at most {MAX_PIXELS} pixels."
    check = tf.debugging.Assert(fits, ["B, h, w of the images are", count, sides, allowed])
    return [] if check is None else [check]  # None: it ran at once


def with_category_ids(config: ModelConfig, detections: Tensors) -> Tensors:
    """The same detections with `detection_classes` 1..C replaced by the category ids of the training file."""
    ids = tf.constant((0, *(config.category_ids or range(1, config.num_classes + 1))), tf.int32)
    return {**detections, "detection_classes": tf.gather(ids, detections["detection_classes"])}


def with_pasted_masks(config: ModelConfig, detections: Tensors, original_shape: tf.Tensor) -> Tensors:
    """The detections with `detection_masks` as whole-image bitmaps.

    Args:
      config: the model's.
      detections: with `detection_masks` float32 [B, D, M, M].
      original_shape: int32 [B, 2].

    Returns:
      `detection_masks` is uint8 [B, D, h, w], 0 and 1; h and w are those of the largest image, and images lie in the
      upper left corner.
    """
    detection = config.detection
    pasted = mask_ops.paste_masks(
        detections["detection_masks"],
        detections["detection_boxes"],
        original_shape,
        tf.reduce_max(original_shape, 0),
        detection.mask_threshold,
        detection.paste,
    )
    return {**detections, "detection_masks": pasted}
