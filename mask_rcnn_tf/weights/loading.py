"""A saved model from its `.keras` file, which may come from a stranger: nothing in it is believed or run.

In this order: the archive's directory and sizes, the JSON, the classes it names, the HDF5 of the weights (copied by a
process of its own), the variables of the configuration as they are made, shapes, values.
"""

import contextlib
import os
import pathlib
import tempfile
from collections import Counter
from collections.abc import Iterator
from concurrent import futures
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights.counted_variables import counted_variables
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers.h5_files import copy_h5
from mask_rcnn_tf.weights.readers.keras_classes import check_classes
from mask_rcnn_tf.weights.readers.keras_files import KerasFile

NAME = "mask_rcnn_tf>MaskRCNN"  # under which Keras knows the class
OPTIMIZER = "optimizer/"  # what HDF5 paths of an optimizer's variables begin with
SHOWN = 3
OF_A_RUN = ("best.keras", "model.keras")
# The configuration has any values, and what is built from it fails in any way.
FAILURES = (ValueError, TypeError, LookupError, AttributeError, OSError, ArithmeticError, MemoryError, RecursionError)
FAILURES += (tf.errors.OpError,)


def load_model(path: str | os.PathLike, with_optimizer: bool = False) -> MaskRCNN:
    """Loads a `.keras` file of `MaskRCNN`; the file may come from a stranger (docs/security.md).

    Args:
      path: the file, or the folder of a training run: its `best.keras`, or `model.keras` where there is no best.
      with_optimizer: whether the model is compiled as it was saved, to go on training; an optimizer may hold twice as
        much as the weights.

    Returns:
      The model.

    Raises:
      ValueError: in one line: there is no such file, it is damaged, it holds something else, or asks for anything but
        a `MaskRCNN` with finite weights.
    """
    check_kind("model", path, (bytes, *PATH), "the path of a .keras file or of a run's folder")
    path = _file(path)
    with _one_line(path), KerasFile(path) as archive, tempfile.TemporaryDirectory(prefix="mask_rcnn_tf_") as folder:
        return _load(archive, pathlib.Path(folder), with_optimizer)


def _file(path: str | bytes | os.PathLike) -> str | bytes | os.PathLike:
    """The file to load: of a folder the best model in it."""
    if not os.path.isdir(path):
        return path
    found = [file for name in OF_A_RUN if (file := pathlib.Path(os.fsdecode(path), name)).is_file()]
    if not found:
        raise ValueError(
            f"model is {path!r}, a folder without {' and '.join(OF_A_RUN)}; allowed: a .keras file, or a run."
        )
    return found[0]


def load_weights(model: MaskRCNN, path: str | os.PathLike):
    """Gives a model the weights of a file as careful as `load_model` does.

    Args:
      model: `MaskRCNN`.
      path: a `.keras` file of a model of the same configuration, or what `save_weights` wrote (`.weights.h5`).

    Raises:
      ValueError: see `load_model`; or they are the weights of another configuration.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN")
    check_kind("path", path, PATH, "the path of a .keras or .weights.h5 file")
    with _one_line(path), tempfile.TemporaryDirectory(prefix="mask_rcnn_tf_") as folder:
        raw, copy = pathlib.Path(path), pathlib.Path(folder) / "copy.weights.h5"
        if raw.suffix == ".keras":
            raw = pathlib.Path(folder) / "raw.h5"
            with KerasFile(path) as archive:
                archive.extract_weights(raw)
        _check_shapes(model, copy_h5(raw, copy))
        model.load_weights(copy)
        _check_finite(model)


@contextlib.contextmanager
def _one_line(path: str | os.PathLike) -> Iterator[None]:
    """Every error of a file as one ValueError."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise ValueError(f"model is {path!r}; there is no such file.")
    try:
        yield
    except CheckpointError as error:
        reason = str(error)
    except FAILURES as error:
        reason = f"{type(error).__name__}: {error}"
    else:
        return
    raise ValueError(f"model {path!r} does not load: {' '.join(reason.split())[:600]}")


def _load(archive: KerasFile, folder: pathlib.Path, with_optimizer: bool) -> MaskRCNN:
    raw, copy = folder / "raw.h5", folder / "copy.weights.h5"
    description = _description(archive.config)
    archive.extract_weights(raw)
    with futures.ThreadPoolExecutor(1) as pool:
        copied = pool.submit(copy_h5, raw, copy)  # takes about as long as building does
        with counted_variables(raw.stat().st_size, unset=True):
            model = keras.saving.deserialize_keras_object(description, safe_mode=True)
        _check_shapes(model, copied.result())
    if with_optimizer and archive.config.get("compile_config"):
        check_classes(archive.config["compile_config"])
        model.compile_from_config(archive.config["compile_config"])
    model.load_weights(copy)
    _check_finite(model)
    return model


def _description(config: dict[str, Any]) -> dict[str, Any]:
    """What Keras builds the model from: the values that a `MaskRCNN` has, and none of the file's words around them."""
    values = config.get("config")
    if config.get("registered_name") != NAME or not isinstance(values, dict):
        came = config.get("registered_name") or config.get("class_name")
        raise CheckpointError(f"it is a {ascii(came)[:80]}; allowed: a saved MaskRCNN")
    check_classes(values)
    names = {"module": MaskRCNN.__module__, "class_name": MaskRCNN.__name__, "registered_name": NAME}
    return names | {"config": values}


def _check_shapes(model: MaskRCNN, arrays: dict[str, tuple[int, ...]]):
    """Refuses weights that are not those of the model, before any is read."""
    wanted = Counter(tuple(variable.shape) for variable in model.weights)
    came = Counter(shape for name, shape in arrays.items() if not name.startswith(OPTIMIZER))
    if wanted != came:
        missing, extra = (list(map(str, counts)) for counts in (wanted - came, came - wanted))
        shown = "; ".join(
            f"{word} {', '.join(shapes[:SHOWN])}"
            for word, shapes in (("missing", missing), ("not wanted", extra))
            if shapes
        )
        raise CheckpointError(
            f"it has {came.total()} arrays of weights, its configuration {wanted.total()}; shapes: {shown}"
        )


def _check_finite(model: MaskRCNN):
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    broken = [variable.path for variable in variables if not np.isfinite(np.asarray(variable.value)).all()]
    if broken:
        raise CheckpointError(
            f"{len(broken)} weights are missing or not finite: {', '.join(broken[:SHOWN])}"
            + (", ..." if len(broken) > SHOWN else "")
        )
