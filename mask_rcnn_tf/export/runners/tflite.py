"""TFLite files, run by ai_edge_litert."""

import os
import threading
import zipfile
import zlib

import numpy as np
import tensorflow as tf

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.config import ModelConfig, from_dict
from mask_rcnn_tf.export import signatures, tflite_stages
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners.outputs import to_detections
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.steps import with_networks

THREADS, MOST_JSON = 2, 2**22


class TfliteRunner:
    """Runs a TFLite file that `mask_rcnn_tf.export` wrote, on the processor.

    An interpreter has one set of tensors: several threads may call a runner, and take turns. For more at a time give
    each thread a runner of its own.

    Args:
      path: the file.

    Attributes:
      labels: {category id as str: name}.

    Raises:
      ExportError: ai_edge_litert is missing, or the file does not load or is the model of something else.
    """

    def __init__(self, path: str | os.PathLike):
        interpreter, files = _open(path)
        if "serving_default" not in interpreter.get_signature_list():
            raise ExportError(
                f"model is '{path}'; it has the networks alone. Allowed: a file that was not written with heads_only."
            )
        self.config, self.canvas, self.labels = files
        self._detect, self._turn = interpreter.get_signature_runner("serving_default"), threading.Lock()

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images, one by one; see `mask_rcnn_tf.predict_images`."""
        return [to_detections(self.config, self.run(self._inputs(image))) for image in images]

    def run(self, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The graph's outputs by name, of its inputs by name (`signatures.detect_canvas` has both)."""
        with self._turn:
            return self._detect(**inputs)

    def _inputs(self, image):
        return {
            name: value.numpy() for name, value in tflite_stages.canvas_inputs(self.config, self.canvas, image).items()
        }


class TfliteNetworks:
    """Runs a file of networks (`tflite(heads_only=True)`) and does the geometry between them in TensorFlow.

    Threads take turns at the networks, as in `TfliteRunner`.

    Args:
      path: the file.
      model: any `MaskRCNN` of the file's configuration with kernels "tflite", for its geometry; its weights are not
        used.

    Raises:
      ExportError: see `TfliteRunner`.
    """

    def __init__(self, path: str | os.PathLike, model: MaskRCNN):
        interpreter, files = _open(path)
        self.config, self.canvas, self.labels = files
        names = interpreter.get_signature_list()
        self._runners = {name: interpreter.get_signature_runner(name) for name in names}
        self._model, self._turn = model, threading.Lock()
        self._steps = with_networks(model.steps(), {name: self._network(name) for name in names})

    def run(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Outputs of the network of this name, by name (`steps.networks(..., delegated=True)` has both)."""
        with self._turn:  # all signatures share the interpreter
            return self._runners[name](**inputs)

    def predict(self, images: list[np.ndarray]) -> list[dict[str, np.ndarray]]:
        """Detections of uint8 [h, w, 3] images, one by one; see `mask_rcnn_tf.predict_images`."""
        return [self._predict(image) for image in images]

    def _predict(self, image):
        inputs = tflite_stages.canvas_inputs(self.config, self.canvas, image)
        outputs = signatures.detect_canvas(self._model, **inputs, steps=self._steps)
        return to_detections(self.config, {name: value.numpy() for name, value in outputs.items()})

    def _network(self, name):
        """One signature as a function from tensors to tensors."""
        wanted = self._runners[name].get_input_details()

        def network(inputs):
            arrays = {key: value.numpy() for key, value in inputs.items() if key in wanted}
            return {key: tf.constant(value) for key, value in self.run(name, arrays).items()}

        return network


def _open(path):
    """The interpreter, and what the archive behind the model says: configuration, canvas, labels."""
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError:
        raise ExportError("package ai_edge_litert is missing; allowed: `pip install mask_rcnn_tf[export]`.") from None
    try:
        with zipfile.ZipFile(path) as archive:
            config, canvas, labels = (
                strict_json.parse(_small(archive, name)) for name in ("config.json", "canvas.json", "labels.json")
            )
        config, canvas = from_dict(ModelConfig, config, "config.model"), _canvas(canvas)
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ExportError(f"model is '{path}'; it has no configuration behind it: {error}.") from None
    try:
        interpreter = Interpreter(model_path=os.fspath(path), num_threads=THREADS)
        interpreter.allocate_tensors()
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"model is '{path}'; it does not load: {str(error).splitlines()[0]}") from None
    return interpreter, (config, canvas, labels)


def _small(archive, name):
    """The bytes of a member, which may not be large."""
    if archive.getinfo(name).file_size > MOST_JSON:
        raise ValueError(f"{name} has {archive.getinfo(name).file_size} bytes; allowed: at most {MOST_JSON}")
    return archive.read(name)


def _canvas(sides):
    if not isinstance(sides, list) or len(sides) != 2 or not all(isinstance(side, int) and side > 0 for side in sides):
        raise ValueError("canvas.json does not hold two sides")
    return tuple(sides)
