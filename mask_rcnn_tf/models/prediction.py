"""Predicts images of different sizes, which Keras's `predict` cannot batch."""

import os
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.ops.decode_image import decode_image


def predict_images(model: keras.Model, images: Iterable[str | os.PathLike | np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Detections of a list of images of any sizes, one by one.

    Args:
      model: a `MaskRCNN`.
      images: paths (JPEG, PNG, WebP, BMP, GIF) or uint8 arrays [h, w, 3] (RGB).

    Returns:
      A dict an image, in NumPy, without padding, boxes in the image's pixels: `detection_boxes` float32 [n, 4],
      `detection_scores` float32 [n], `detection_classes` int32 [n] (1..C) and, with a mask head, `detection_masks`
      float32 [n, M, M] (probabilities in the frame of the box; `ops.masks.paste_mask` places one).

    Raises:
      ValueError: an image does not decode, or an array is not uint8 [h, w, 3]; the message says which.
    """
    return [_predict(model, _load(image, i)) for i, image in enumerate(images)]


def _load(image, i):
    if isinstance(image, (str, os.PathLike)):
        try:
            return decode_image(tf.io.read_file(os.fspath(image))).numpy()
        except (tf.errors.InvalidArgumentError, tf.errors.NotFoundError) as error:
            raise ValueError(f"images[{i}] is {os.fspath(image)!r}: {error.message.splitlines()[0]}") from None
    image = np.asarray(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[-1] != 3 or 0 in image.shape:
        raise ValueError(f"images[{i}] is {image.dtype} {list(image.shape)}; allowed: a path, or uint8 [h, w, 3].")
    return image


def _predict(model, image):
    detections = {name: value[0] for name, value in model.predict_on_batch(image[None]).items()}
    count = int(detections.pop("num_detections"))
    return {name: value[:count] for name, value in detections.items()}
