"""SavedModels, run by TensorFlow from what is in their folder."""

import copy
import os
import pathlib

import numpy as np
import tensorflow as tf

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.config import ModelConfig, from_dict
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.outputs import to_detections


class SavedModelRunner:
    """Runs a signature of a SavedModel that `mask_rcnn_tf.export` wrote.

    Where its masks were pasted in the graph, detections have `detection_bitmaps` uint8 [n, h, w] in place of
    `detection_masks`: the probabilities in the frame of the box are not there any more.

    Args:
      path: the folder with `saved_model.pb`.
      signature: "serving_default", or "serving_bytes" (images are then encoded as PNG).

    Raises:
      ExportError: it does not load, or is the SavedModel of something else.
    """

    canvas = None

    def __init__(self, path: str | os.PathLike, signature: str = "serving_default"):
        path = pathlib.Path(path)
        assets = path / "assets" / "config.json"
        if not assets.is_file():
            raise ExportError(f"model is '{path}'; it has no assets/config.json. Allowed: an export of this package.")
        try:
            self.config = from_dict(ModelConfig, strict_json.read(assets, "config"), "config.model")
        except ValueError as error:
            raise ExportError(f"model is '{path}'; {error}") from None
        try:
            self._loaded = tf.saved_model.load(os.fspath(path))
        except (OSError, ValueError, tf.errors.OpError) as error:
            raise ExportError(f"model is '{path}'; it does not load: {str(error).splitlines()[0]}") from None
        self._signature, self._detect = signature, self._loaded.signatures[signature]

    def by(self, signature: str) -> "SavedModelRunner":
        """The same SavedModel, which is not loaded again, by another signature."""
        runner = copy.copy(self)
        runner._signature, runner._detect = signature, self._loaded.signatures[signature]
        return runner

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images, one by one; see `mask_rcnn_tf.predict_images`."""
        return [self._predict(image) for image in images]

    def _predict(self, image):
        if self._signature == "serving_default":
            outputs = self._detect(images=tf.constant(image[None]))
        else:
            outputs = dict(self._detect(image_bytes=tf.io.encode_png(image)[None]))
            del outputs["original_shape"]
        detections = to_detections(self.config, {name: value.numpy() for name, value in outputs.items()})
        if "detection_masks" in detections and detections["detection_masks"].dtype == np.uint8:
            detections["detection_bitmaps"] = detections.pop("detection_masks")
        return detections
