"""The Keras model itself: what every export is compared with."""

import os

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.export import signatures
from mask_rcnn_tf.export.canvas import Canvas, check_canvas, place_on_canvas
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.outputs import to_detections
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.prediction import predict_images


class KerasRunner:
    """Runs a `MaskRCNN`.

    On a canvas the network sees as many rows and columns of zeros as the formats with constant shapes show it, which
    moves features near the border of the image.

    Args:
      model: `MaskRCNN`.
      canvas: (H, W), pixels, multiples of `preprocess.size_divisor`; None for the model's own preprocessing.

    Raises:
      ExportError: the canvas has other sides.
    """

    def __init__(self, model: MaskRCNN, canvas: Canvas | None = None):
        self.model, self.config = model, model.config
        self.canvas = None if canvas is None else check_canvas(model.config, canvas)
        self._detect = tf.function(
            lambda image, image_shape, original_shape: signatures.detect_canvas(
                model, image, image_shape, original_shape
            ),
            autograph=False,
        )

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images, one by one; see `mask_rcnn_tf.predict_images`."""
        if self.canvas is None:
            return predict_images(self.model, images)
        return [self._predict_on_canvas(image) for image in images]

    def _predict_on_canvas(self, image):
        placed, image_shape = place_on_canvas(self.config, image, self.canvas)
        original_shape = np.array(image.shape[:2], np.int32)
        inputs = (tf.constant(value[None]) for value in (placed, image_shape, original_shape))
        return to_detections(self.config, {name: value.numpy() for name, value in self._detect(*inputs).items()})


def load_keras(path: str | os.PathLike) -> KerasRunner:
    """Loads the `.keras` file of a `MaskRCNN`. Raises ExportError: there is none, or it holds something else."""
    try:
        return KerasRunner(load_model(os.fspath(path), with_optimizer=False))
    except ValueError as error:
        raise ExportError(str(error)) from None
