"""Predicts images of different sizes, which Keras's `predict` cannot batch."""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from numbers import Integral

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_client import unpad
from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import AugmentationConfig, check_fields
from mask_rcnn_tf.detections import Detections
from mask_rcnn_tf.models.augmented import AugmentedPredictor
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.preprocessing import shrunk
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import stored_images

Image = str | os.PathLike | np.ndarray
Predict = Callable[..., list[Detections]]


def predict_images(
    model: keras.Model, images: Iterable[Image], augmentation: AugmentationConfig | None = None, batch_size: int = 1
) -> list[Detections]:
    """Detections of a list of images of any sizes.

    Args:
      model: a `MaskRCNN`.
      images: paths (JPEG, PNG, TIFF, WebP, BMP, GIF; EXIF orientation is applied: boxes are in the image as people see
        it) or arrays, uint8 [h, w, 3] (RGB) where `model.config.preprocess.pixels` says nothing else.
      augmentation: test-time augmentation, see `AugmentedPredictor`; None, or without short sides: none.
      batch_size: images that are predicted at once, where so many of one size follow each other. What is found is the
        same as one by one, within rounding: boxes within 1e-2 px of the network's input, scores 1e-4.

    Returns:
      One an image: see `Detections`. Its arrays are in NumPy, without padding, boxes in the image's pixels:
      `detection_boxes` float32 [n, 4], `detection_scores` float32 [n], `detection_classes` int32 [n] (1..C) and, with a
      mask head, `detection_masks` float32 [n, M, M] (probabilities in the frame of the box) and, with a keypoint head,
      `detection_keypoints` float32 [n, J, 3] (x, y, score).

    Raises:
      ValueError: see `make_predictor`; `images` is no list, an image does not decode, or an array is not uint8
        [h, w, 3]; the message says which.
    """
    return make_predictor(model, augmentation, batch_size)(images)


def make_predictor(model: keras.Model, augmentation: AugmentationConfig | None = None, batch_size: int = 1) -> Predict:
    """`predict_images` of one model, to be called more than once: graphs are made for the first images.

    Args:
      model: a `MaskRCNN`.
      augmentation: see `predict_images`.
      batch_size: see `predict_images`; 1 with augmentation, and for given boxes.

    Returns:
      From images as in `predict_images`, and for a model without an RPN boxes float32 [n, 4] of each, best first, in
      its pixels, to what `predict_images` returns.

    Raises:
      ValueError: an argument is of another kind, a field of `augmentation` is not what is allowed, images cannot be
        batched, or see `AugmentedPredictor`.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN")
    check_kind("augmentation", augmentation, (AugmentationConfig, type(None)), "an AugmentationConfig, or None")
    if augmentation is not None:
        check_fields(augmentation, "eval.augmentation")
    augmented = augmentation is not None and len(augmentation.short_sides) > 0
    one_by_one = augmented or not model.config.rpn.enabled
    if not isinstance(batch_size, Integral) or batch_size < 1 or batch_size > 1 and one_by_one:
        why = ", as images are augmented or come with their boxes" if one_by_one else " or more images"
        raise ValueError(f"batch_size is {batch_size!r:.100}; allowed: 1{why}.")
    augmented = AugmentedPredictor(model, augmentation) if augmented else None

    def predict(images, proposals=None):
        single = isinstance(images, (str, bytes, os.PathLike)) or getattr(images, "ndim", 4) in (0, 2, 3)
        if single or not isinstance(images, Iterable):
            came = repr(images) if isinstance(images, (str, os.PathLike)) else type(images).__name__
            raise ValueError(f"images is {came:.200}; allowed: a list of paths or of uint8 arrays [h, w, 3].")
        loaded = ((image, _load(model, image, i)) for i, image in enumerate(images))
        if proposals is not None:
            pairs = zip(loaded, proposals, strict=True)
            return [_detections(model, *one, predict_given(model, one[1], boxes)) for one, boxes in pairs]
        if augmented is not None:
            return [_detections(model, *one, augmented(one[1])) for one in loaded]
        found = []
        for batch in _batches(loaded, batch_size):
            arrays = _predict(model, [image for _, image in batch])
            found += [_detections(model, *one, rows) for one, rows in zip(batch, arrays, strict=True)]
        return found

    return predict


def _detections(model, given: Image, image: np.ndarray, arrays: dict[str, np.ndarray]) -> Detections:
    path = given if isinstance(given, (str, os.PathLike)) else None
    return Detections(arrays, image.shape[:2], model.config, path)


def _batches(loaded: Iterable[tuple[Image, np.ndarray]], size: int) -> Iterator[list[tuple[Image, np.ndarray]]]:
    """Those that follow each other and are of one shape, `size` at most."""
    batch = []
    for given, image in loaded:
        if batch and image.shape != batch[0][1].shape:
            yield batch
            batch = []
        batch.append((given, image))
        if len(batch) == size:  # before the next is loaded
            yield batch
            batch = []
    if batch:
        yield batch


def _load(model, image, i):
    kind = model.config.preprocess.pixels
    if isinstance(image, (str, os.PathLike)):
        try:
            return stored_images.load(image, kind)[0]
        except ValueError as error:
            raise ValueError(f"images[{i}] is {os.fspath(image)!r}: {error}") from None
    try:
        image = np.asarray(image)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"images[{i}] is {type(image).__name__}; allowed: a path, or {kind}.") from error
    if fault := kind.fault(image):
        allowed = f"a path (str or Path), or {kind}, levels 0 to {kind.white}"
        raise ValueError(f"images[{i}] is {fault}; allowed: {allowed}.")
    return image


def _predict(model, images: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    """What is found in images of one shape."""
    small = [shrunk(image, model.config.preprocess) for image in images]
    _trace_any_size(model, len(images))
    detections = model.predict_on_batch(np.stack(small) if len(small) > 1 else small[0][None])
    if small[0] is not images[0]:
        shapes = (tf.constant([pixels[0].shape[:2]] * len(images)) for pixels in (small, images))
        detections = image_ops.outputs_to_original(detections, *shapes)
    detections = {name: np.asarray(value) for name, value in detections.items()}
    return [unpad(detections, index) for index in range(len(images))]


def predict_given(model: keras.Model, image: np.ndarray, boxes: np.ndarray) -> dict[str, np.ndarray]:
    """What a model without an RPN finds in an image, from given proposals.

    Args:
      model: a `MaskRCNN`.
      image: uint8 [h, w, 3], RGB.
      boxes: float32 [n, 4], best first, pixels of the image; the first `rpn.post_nms_top_n_test` are used.

    Returns:
      The arrays of `predict_images` for one image.
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
    return unpad({name: np.asarray(value) for name, value in detections.items()}, 0)


def _trace_any_size(model, count):
    """Has Keras begin with a graph for all sizes, which it would make third, after two for the sizes of the first."""
    model.make_predict_function()
    if model.run_eagerly or model.supports_jit:  # what is compiled needs constant shapes
        return
    if model.predict_function.experimental_get_tracing_count() == 0:
        rows = 1 if count == 1 else None
        kind = model.config.preprocess.pixels
        images = tf.TensorSpec([rows, None, None, kind.channels], kind.dtype)
        model.predict_function.get_concrete_function([(images,)])
