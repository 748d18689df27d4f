"""ImageNet weights of `keras.applications`: a backbone to start training from.

Those of ResNet50 and ResNet101 go into a ResNet of ours, those of any into the same network
(`config.model.backbone.keras_application`), by the names of its layers. Of the first C2..C5 equal Keras's for the files
of today. The file that Keras 2.0 to 2.2 downloaded (`res2a_branch2a`, ...; release v0.2 of deep-learning-models) fits
too, but the program it came from did not pad its max-pool: a starting point only.

Source: `keras/applications/resnet.py` (ResNet, stack_residual_blocks_v1), `imagenet_utils.py` (mode "caffe").
"""

import os
import re
import tempfile

import keras
import numpy as np

from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.models.backbones.keras_models import application, named_variables, stable_name
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Tensors
from mask_rcnn_tf.weights.projects import keras_layouts as layouts
from mask_rcnn_tf.weights.projects.project import Project
from mask_rcnn_tf.weights.projects.torch_layouts import vector
from mask_rcnn_tf.weights.readers.h5_files import copy_h5
from mask_rcnn_tf.weights.readers.keras_files import KerasFile

IGNORED = (
    (r"(predictions|probs|fc1000)/.*", "ImageNet's classifier"),
    (r"normalization/(mean|variance|count)", "ImageNet's statistics of pixels, which are constants here"),
)
DOWNLOADS = {"resnet50": "ResNet50", "resnet101": "ResNet101"}  # of keras.applications
BLOCK = r"conv([2-5])_block(\d+)_1_conv/kernel"
# How Keras 1, whose files Keras 2.0 went on downloading, called a layer's weights. "running_std" holds the variance.
OLD_WEIGHTS = {
    "W": "kernel",
    "b": "bias",
    "gamma": "gamma",
    "beta": "beta",
    "running_mean": "moving_mean",
    "running_std": "moving_variance",
}
OLD_NAME = re.compile(rf"(\w+)/\1_({'|'.join(OLD_WEIGHTS)})(_\d+)?")


def download(name: str) -> Tensors:
    """The tensors of a published network, which Keras downloads and keeps in its own folder.

    Args:
      name: a key of `DOWNLOADS`, or of `APPLICATIONS`.

    Returns:
      Arrays by name, as in the published file without its classifier.

    Raises:
      CheckpointError: the download failed.
    """
    try:
        if name in APPLICATIONS:
            return _arrays(application(name, "imagenet"))
        return _arrays(getattr(keras.applications, DOWNLOADS[name])(weights="imagenet", include_top=False))
    except Exception as error:  # Keras raises bare Exceptions when it cannot download
        raise CheckpointError(f"{name}: Keras could not load its ImageNet weights: {error}") from error


def _arrays(network):
    return {name: np.asarray(variable) for name, variable in named_variables(network).items()}


def read(path: str | os.PathLike, config: Config | None) -> Tensors | None:
    """The tensors of a file that Keras 3 wrote of the configuration's application, without its classifier.

    Args:
      path: the file; nothing in it is run.
      config: None, or with a backbone of `keras.applications`.

    Returns:
      Arrays by name; None where the file is another one (`readers.checkpoints` reads it), or there is no application.

    Raises:
      CheckpointError: the file is damaged, or of another network.
    """
    name = config.model.backbone.keras_application if config else ""
    if not name or not os.fspath(path).endswith((".keras", ".weights.h5")):
        return None
    with tempfile.TemporaryDirectory(prefix="mask_rcnn_tf_") as folder:
        raw, copy = os.fspath(path), os.path.join(folder, "copy.weights.h5")
        if raw.endswith(".keras"):
            raw = os.path.join(folder, "raw.h5")
            with KerasFile(path) as archive:
                archive.extract_weights(raw)
        shapes = [shape for stored, shape in copy_h5(raw, copy).items() if not stored.startswith("optimizer/")]
        network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(None, None, 3))
        wanted = [tuple(variable.shape) for variable in network.weights]
        if sorted(shapes) != sorted(wanted):
            raise CheckpointError(
                f"{path}: not the weights of {name} without its classifier (include_top=False): it has {len(shapes)} "
                f"arrays, {name} {len(wanted)}, or of other shapes."
            )
        network.load_weights(copy)
    return _arrays(network)


def prepare(tensors: Tensors) -> Tensors:
    """The tensors, with the weights of a Keras 1 file under today's names, and without numbers of Keras's own.

    Args:
      tensors: arrays by name.
    """
    return {stable_name(_today(name)): value for name, value in tensors.items()}


def _today(name: str) -> str:
    match = OLD_NAME.fullmatch(name)
    return f"{match[1]}/{OLD_WEIGHTS[match[2]]}" if match else name


def make_config(tensors: Tensors) -> Config:
    """The preset to train from this backbone with, at its depth.

    Args:
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: the names are not those of such a network.
    """
    config = load_config("keras_mask_rcnn_r50_fpn")
    old = _is_old(tensors)
    try:
        config.model.backbone.stage_blocks = layouts.stage_blocks(tensors, layouts.CAFFE_BLOCK if old else BLOCK)
    except CheckpointError as error:
        hint = "Another network of Keras's goes into a configuration with its name in model.backbone.keras_application."
        raise CheckpointError(f"{error} {hint}") from error
    if old:
        config.model.backbone.norm_epsilon = layouts.CAFFE_EPSILON
    return config


def explain(tensors: Tensors) -> dict[str, str]:
    """Where `make_config` has epsilon from.

    Args:
      tensors: arrays by name, of `prepare`.

    Returns:
      Reasons by field.
    """
    program = "Keras 2.0 to 2.2, by its names" if _is_old(tensors) else "keras.applications' ResNet"
    return {"backbone.norm_epsilon": f"assumed: that of {program}"}


def make_entries(model: MaskRCNN, tensors: Tensors) -> list[Entry]:
    """One entry for each variable of the backbone.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: the backbone has no batch norm.
    """
    if model.config.backbone.keras_application:
        return [vector(name, variable) for name, variable in named_variables(model.backbone.body).items()]
    return layouts.resnet(model, layouts.caffe_names if _is_old(tensors) else _names)


def _is_old(tensors: Tensors) -> bool:
    return "bn_conv1/gamma" in tensors


def _names(level: int, index: int, i: int) -> tuple[str, str]:
    if level == 1:
        return "conv1_conv", "conv1_bn"
    prefix = f"conv{level}_block{index + 1}_{i}"
    return f"{prefix}_conv", f"{prefix}_bn"


NAMES = (*DOWNLOADS, *APPLICATIONS)
PROJECT = Project(IGNORED, make_config, make_entries, prepare, explain, NAMES, download, read)
