"""Predicts images of different sizes, which Keras's `predict` cannot batch."""

import functools
import os
from collections.abc import Callable, Iterable

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import AugmentationConfig, check_fields
from mask_rcnn_tf.models.augmented import AugmentedPredictor
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.preprocessing import shrunk
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import stored_images

Image = str | os.PathLike | np.ndarray
Predict = Callable[..., list[dict[str, np.ndarray]]]


def predict_images(
    model: keras.Model, images: Iterable[Image], augmentation: AugmentationConfig | None = None
) -> list[dict[str, np.ndarray]]:
    """Detections of a list of images of any sizes, one by one.

    Args:
      model: a `MaskRCNN`.
      images: paths (JPEG, PNG, TIFF, WebP, BMP, GIF; EXIF orientation is applied: boxes are in the image as people see
        it) or uint8 arrays [h, w, 3] (RGB).
      augmentation: test-time augmentation, see `AugmentedPredictor`; None, or without short sides: none.

    Returns:
      A dict an image, in NumPy, without padding, boxes in the image's pixels: `detection_boxes` float32 [n, 4],
      `detection_scores` float32 [n], `detection_classes` int32 [n] (1..C) and, with a mask head, `detection_masks`
      float32 [n, M, M] (probabilities in the frame of the box; `ops.masks.paste_mask` places one) and, with a keypoint
      head, `detection_keypoints` float32 [n, J, 3] (x, y, score).

    Raises:
      ValueError: see `make_predictor`; `images` is no list, an image does not decode, or an array is not uint8
        [h, w, 3]; the message says which.
    """
    return make_predictor(model, augmentation)(images)


def make_predictor(model: keras.Model, augmentation: AugmentationConfig | None = None) -> Predict:
    """`predict_images` of one model, to be called more than once: graphs are made for the first images.

    Args:
      model: a `MaskRCNN`.
      augmentation: see `predict_images`.

    Returns:
      From images as in `predict_images`, and for a model without an RPN boxes float32 [n, 4] of each, best first, in
      its pixels, to what `predict_images` returns.

    Raises:
      ValueError: an argument is of another kind, a field of `augmentation` is not what is allowed, or see
        `AugmentedPredictor`.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN")
    check_kind("augmentation", augmentation, (AugmentationConfig, type(None)), "an AugmentationConfig, or None")
    if augmentation is not None:
        check_fields(augmentation, "eval.augmentation")
    augmented = augmentation is not None and len(augmentation.short_sides) > 0
    find = AugmentedPredictor(model, augmentation) if augmented else functools.partial(_predict, model)

    def predict(images, proposals=None):
        single = isinstance(images, (str, bytes, os.PathLike)) or getattr(images, "ndim", 4) in (0, 2, 3)
        if single or not isinstance(images, Iterable):
            came = repr(images) if isinstance(images, (str, os.PathLike)) else type(images).__name__
            raise ValueError(f"images is {came:.200}; allowed: a list of paths or of uint8 arrays [h, w, 3].")
        loaded = (_load(model, image, i) for i, image in enumerate(images))
        if proposals is None:
            return list(map(find, loaded))
        return [predict_given(model, image, boxes) for image, boxes in zip(loaded, proposals, strict=True)]

    return predict


def _load(model, image, i):
    if isinstance(image, (str, os.PathLike)):
        try:
            return stored_images.load(image, model.config.preprocess.white_level)[0]
        except ValueError as error:
            raise ValueError(f"images[{i}] is {os.fspath(image)!r}: {error}") from None
    try:
        image = np.asarray(image)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"images[{i}] is {type(image).__name__}; allowed: a path, or uint8 [h, w, 3].") from error
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(
            f"images[{i}] is {image.dtype} {list(image.shape)}; allowed: a path (str or Path), or uint8 [h, w, 3], "
            "RGB, levels 0 to 255."
        )
    return image


def _predict(model, image):
    small = shrunk(image, model.config.preprocess)
    _trace_any_size(model)
    detections = model.predict_on_batch(small[None])
    if small is not image:
        shapes = (tf.constant([pixels.shape[:2]]) for pixels in (small, image))
        detections = image_ops.outputs_to_original(detections, *shapes)
    return _unpadded(detections)


def predict_given(model: keras.Model, image: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Detections of an image of a model without an RPN, from given proposals.

    Args:
      model: a `MaskRCNN`.
      image: uint8 [h, w, 3], RGB.
      boxes: float32 [n, 4], best first, pixels of the image; the first `rpn.post_nms_top_n_test` are used.

    Returns:
      As `predict_images` for one image.
    """
    rows, original = model.config.rpn.post_nms_top_n_test, tf.constant([image.shape[:2]])
    pixels, shape = model.preprocess(tf.constant(shrunk(image, model.config.preprocess)[None]))
    placed = image_ops.scale_boxes(tf.constant(boxes, tf.float32), original[0], shape[0])
    placed = box_ops.clip_boxes(placed[None], shape)[0]
    placed = tf.boolean_mask(placed, box_ops.has_area(placed))[:rows]
    count = int(placed.shape[0])
    given = {"proposals": tf.pad(placed, [[0, rows - count], [0, 0]])[None], "num_proposals": tf.constant([count])}
    detections = model.predict_on_batch({"image": pixels, "image_shape": shape} | given)
    detections = image_ops.outputs_to_original(detections, shape, original)
    return _unpadded(detections)


def _unpadded(detections):
    """Of the one image of a batch."""
    detections = {name: np.asarray(value)[0] for name, value in detections.items()}
    count = int(detections.pop("num_detections"))
    return {name: value[:count] for name, value in detections.items()}


def _trace_any_size(model):
    """Has Keras begin with a graph for all sizes, which it would make third, after two for the sizes of the first."""
    model.make_predict_function()
    if model.run_eagerly or model.supports_jit:  # what is compiled needs constant shapes
        return
    if model.predict_function.experimental_get_tracing_count() == 0:
        model.predict_function.get_concrete_function([(tf.TensorSpec([1, None, None, 3], tf.uint8),)])
