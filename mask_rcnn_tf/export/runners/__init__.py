"""Exported models of every format behind one `predict`, to compare them with the Keras model and with each other."""

import os
import pathlib
from typing import Protocol

import numpy as np

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.canvas import Canvas
from mask_rcnn_tf.export.errors import ExportError

ALLOWED = (
    "a .keras, .tflite or .onnx file, a folder with saved_model.pb, or a folder with program.hlo.pb (format stablehlo)"
)


class Runner(Protocol):
    """What every runner is.

    Attributes:
      config: the model's `ModelConfig`, as the artefact carries it.
      canvas: (H, W) of the images the artefact takes, or None where it takes images of any size.
    """

    config: ModelConfig
    canvas: Canvas | None

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] RGB images in the form of `mask_rcnn_tf.predict_images`."""


def load(path: str | os.PathLike) -> Runner:
    """Loads an artefact by what is there.

    Args:
      path: the `.keras` file of a `MaskRCNN`, or what an exporter of `mask_rcnn_tf.export` wrote.

    Raises:
      ExportError: there is nothing, or it is none of these.
    """
    path = pathlib.Path(path)
    if not path.exists():
        raise ExportError(f"model is '{path}'; there is nothing. Allowed: {ALLOWED}.")
    # Each format has its library, and no user has them all: imported when needed.
    if path.is_dir():
        if (path / "saved_model.pb").is_file():
            from mask_rcnn_tf.export.runners.saved_model import SavedModelRunner

            return SavedModelRunner(path)
        if (path / "program.hlo.pb").is_file():
            from mask_rcnn_tf.export.runners.stablehlo import StableHloRunner

            return StableHloRunner(path)
    elif path.suffix == ".keras":
        from mask_rcnn_tf.export.runners.keras_model import load_keras

        return load_keras(path)
    elif path.suffix == ".tflite":
        from mask_rcnn_tf.export.runners.tflite import TfliteRunner

        return TfliteRunner(path)
    elif path.suffix == ".onnx":
        from mask_rcnn_tf.export.runners.onnx import OnnxRunner

        return OnnxRunner(path)
    raise ExportError(f"model is '{path}'; allowed: {ALLOWED}.")


def load_on_canvas(path: str | os.PathLike, canvas: Canvas | None) -> Runner:
    """`load`, where a Keras model runs on a canvas: the counterpart of a format that has one.

    Args:
      path: see `load`.
      canvas: (H, W) for a Keras model, or None for its own preprocessing; other formats keep the canvas they have.

    Raises:
      ExportError: see `load`; or the canvas does not suit the model.
    """
    runner = load(path)
    if canvas is not None and pathlib.Path(path).suffix == ".keras":
        from mask_rcnn_tf.export.runners.keras_model import KerasRunner

        return KerasRunner(runner.model, canvas)
    return runner
