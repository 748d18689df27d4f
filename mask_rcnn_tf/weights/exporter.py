"""Our weights under torchvision's names, so that a trained model can be checked in PyTorch."""

import json
import pathlib

import numpy as np
import safetensors.numpy

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights import mapping
from mask_rcnn_tf.weights.projects import torchvision


def to_torchvision(model: MaskRCNN) -> dict[str, np.ndarray]:
    """Every weight under its name in torchvision's `MaskRCNN`, float32, in PyTorch's layout.

    The rows of background, which torchvision has in its box deltas and masks and nobody reads, are zero. The names are
    those of v1 for a box head without convolutions, and of v2 for one with.

    Raises:
      ValueError: `model` is none, or its backbone is one of Keras's.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN")
    if came := model.config.backbone.keras_application:
        raise ValueError(f"config.model.backbone.keras_application is {came!r}; allowed: '', as in torchvision.")
    return mapping.to_theirs(torchvision.all_entries(model))


def save_torchvision(model: MaskRCNN, path: str | pathlib.Path) -> None:
    """Writes `to_torchvision` as a safetensors file; its metadata has the model's configuration as JSON (`config`).

    Raises:
      ValueError: an argument is of another kind, or the name does not end in .safetensors.
    """
    check_kind("model", model, MaskRCNN, "a MaskRCNN")
    check_kind("path", path, PATH, "a path that ends in .safetensors")
    path = pathlib.Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"path is {str(path)!r}; allowed: a name that ends in .safetensors.")
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"format": "pt", "config": json.dumps(to_dict(model.config))}
    with whole_files.replacing(path) as partial:
        safetensors.numpy.save_file(to_torchvision(model), partial, metadata)
