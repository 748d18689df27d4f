"""Predicts images of different sizes, which Keras's `predict` cannot batch."""

import os
from collections.abc import Iterable

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.config import PreprocessConfig
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import stored_images

LARGE = 2**21  # pixels; larger images are shrunk by Pillow, which takes a tenth of the time and memory


def predict_images(model: keras.Model, images: Iterable[str | os.PathLike | np.ndarray]) -> list[dict[str, np.ndarray]]:
    """Detections of a list of images of any sizes, one by one.

    Args:
      model: a `MaskRCNN`.
      images: paths (JPEG, PNG, TIFF, WebP, BMP, GIF; EXIF orientation is applied: boxes are in the image as people see
        it) or uint8 arrays [h, w, 3] (RGB).

    Returns:
      A dict an image, in NumPy, without padding, boxes in the image's pixels: `detection_boxes` float32 [n, 4],
      `detection_scores` float32 [n], `detection_classes` int32 [n] (1..C) and, with a mask head, `detection_masks`
      float32 [n, M, M] (probabilities in the frame of the box; `ops.masks.paste_mask` places one) and, with a keypoint
      head, `detection_keypoints` float32 [n, J, 3] (x, y, score).

    Raises:
      ValueError: an image does not decode, or an array is not uint8 [h, w, 3]; the message says which. Or `images` is
        no list.
    """
    single = isinstance(images, (str, bytes, os.PathLike)) or getattr(images, "ndim", 4) in (0, 2, 3)
    if single or not isinstance(images, Iterable):
        came = repr(images) if isinstance(images, (str, os.PathLike)) else type(images).__name__
        raise ValueError(f"images is {came:.200}; allowed: a list of paths or of uint8 arrays [h, w, 3].")
    return [_predict(model, _load(model, image, i)) for i, image in enumerate(images)]


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
    shrunk = _shrunk(image, model.config.preprocess)
    _trace_any_size(model)
    detections = model.predict_on_batch(shrunk[None])
    if shrunk is not image:
        shapes = (tf.constant([pixels.shape[:2]]) for pixels in (shrunk, image))
        detections = image_ops.outputs_to_original(detections, *shapes)
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


def _shrunk(image: np.ndarray, preprocess: PreprocessConfig) -> np.ndarray:
    """A large image at the network's size, where Pillow's resize is the graph's bit for bit; the graph leaves it so."""
    sizes = preprocess.short_side, preprocess.max_side, preprocess.size_rounding
    height, width = image_ops.resized_shape(image.shape[:2], *sizes).numpy().tolist()
    exact = preprocess.antialias and preprocess.round_resized
    stays = exact and image_ops.resized_shape((height, width), *sizes).numpy().tolist() == [height, width]
    if image.shape[0] * image.shape[1] < LARGE or height > image.shape[0] or width > image.shape[1] or not stays:
        return image
    narrow = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(narrow.resize((width, height), Image.Resampling.BILINEAR))  # axis by axis, in the graph's order
