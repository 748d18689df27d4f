"""ONNX files, run by ONNX Runtime."""

import os

import numpy as np

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.config import ModelConfig, from_dict
from mask_rcnn_tf.export.canvas import Canvas, place_on_canvas
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.outputs import to_detections


class OnnxRunner:
    """Runs an ONNX file that `mask_rcnn_tf.export` wrote, on the processor; several threads may at a time.

    Args:
      path: the file.

    Raises:
      ExportError: ONNX Runtime is missing, or the file does not load or is the model of something else.
    """

    def __init__(self, path: str | os.PathLike):
        try:
            import onnxruntime
        except ImportError:
            raise ExportError("package onnxruntime is missing; allowed: `pip install mask_rcnn_tf[export]`.") from None
        try:
            self.session = onnxruntime.InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # its errors have no common class but this
            raise ExportError(f"model is '{path}'; it does not load: {str(error).splitlines()[0]}") from None
        metadata = self.session.get_modelmeta().custom_metadata_map
        if missing := {"config", "canvas"} - set(metadata):
            raise ExportError(f"model is '{path}'; its metadata has no {', '.join(sorted(missing))}.")
        try:
            self.config = from_dict(ModelConfig, strict_json.parse(metadata["config"]), "config.model")
            canvas = strict_json.parse(metadata["canvas"])
        except ValueError as error:
            raise ExportError(f"model is '{path}'; its metadata cannot be read: {error}.") from None
        self.canvas = None if canvas is None else tuple(canvas)
        self._names = [output.name for output in self.session.get_outputs()]

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images, one by one; see `mask_rcnn_tf.predict_images`."""
        inputs = (graph_inputs(self.config, self.canvas, image) for image in images)
        return [to_detections(self.config, self.run(each)) for each in inputs]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs by name, of its inputs by name (`signatures` has both)."""
        return dict(zip(self._names, self.session.run(self._names, inputs), strict=True))


def graph_inputs(config: ModelConfig, canvas: Canvas | None, image: np.ndarray) -> dict[str, np.ndarray]:
    """What an ONNX file's graph is given for one image, by name.

    Args:
      config: the model's.
      canvas: of the graph; None: one that takes any size.
      image: uint8 [h, w, 3] RGB.
    """
    if canvas is None:
        return {"images": image[None]}
    placed, image_shape = place_on_canvas(config, image, canvas)
    original_shape = np.array([image.shape[:2]], np.int32)
    return {"image": placed[None], "image_shape": image_shape[None], "original_shape": original_shape}
