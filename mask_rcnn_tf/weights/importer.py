"""From a checkpoint of another project to a model of ours."""

import copy
import os
from collections.abc import Sequence
from numbers import Real
from typing import Any

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.arguments import PATH, check_kind, shown
from mask_rcnn_tf.config import Config, ModelConfig, from_dict
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights import assumptions, checksums
from mask_rcnn_tf.weights.counted_variables import counted_variables
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Report, Tensors, assign, shorten
from mask_rcnn_tf.weights.projects import detectron, detectron2, keras_applications, matterport, torchvision
from mask_rcnn_tf.weights.projects.project import Project
from mask_rcnn_tf.weights.readers.checkpoints import Checkpoint, read_checkpoint

SOURCES = {
    "torchvision": torchvision.PROJECT,
    "detectron2": detectron2.PROJECT,
    "detectron": detectron.PROJECT,
    "matterport": matterport.PROJECT,
    "keras": keras_applications.PROJECT,
}
CONFIG = "config"  # of the metadata that `exporter.save_torchvision` writes
PRESET_BYTES = 2**28  # of the variables of a preset, of which a file may lack some
COCO = "assumed: COCO's, by their number"
NUMBERS = "assumed: the file has no names; give class_names"
WIDEN = (
    " For images of other channels or bits than the file's import it as it is, and start from the model "
    "(config.train.init_from), which makes the first convolution anew."
)


def import_checkpoint(
    source: str,
    path: str | os.PathLike,
    config: Config | None = None,
    *,
    class_names: Sequence[str] = (),
    anchor_sizes: Sequence[Sequence[float]] = (),
    norm_epsilon: float | None = None,
) -> tuple[MaskRCNN, Report]:
    """Builds the model of a checkpoint; nothing in the file is executed.

    Args:
      source: the project it comes from, a key of `SOURCES`.
      path: the file; for "keras" also "resnet50", "resnet101" or a name of `keras.applications`, whose ImageNet weights
        Keras downloads.
      config: a `Config` that the checkpoint fits. None for the file's own where `exporter.save_torchvision` wrote it,
        else for the preset that gives its behaviour, with its number of classes, and COCO's names and ids where it has
        COCO's number.
      class_names: of classes 1..C, instead of the configuration's; () for those.
      anchor_sizes: a tuple of sides in pixels for each of P2..P6, instead of the configuration's; () for those.
      norm_epsilon: of the backbone's batch norms, instead of the configuration's; None for that.

    Returns:
      The model, not compiled, and what became of every tensor and variable, and where each setting comes from that the
      weights depend on.

    Raises:
      ValueError: `source` is none of these, or an argument does not validate.
      CheckpointError: the file cannot be read, or does not fit.
    """
    _check_kinds(path, config, class_names, anchor_sizes, norm_epsilon)
    if not isinstance(source, str) or source not in SOURCES:
        raise ValueError(f"source is {shown(source)}; allowed: {', '.join(SOURCES)}.")
    project = SOURCES[source]
    given = {"class_names": tuple(class_names), "backbone.norm_epsilon": norm_epsilon}
    given["anchors.sizes"] = tuple(tuple(map(float, sizes)) for sizes in anchor_sizes)
    given = {field: value for field, value in given.items() if value not in ((), None)}
    try:
        checkpoint = _read(project, path, config)
    except CheckpointError as error:
        raise _located(error, source, path) from error
    tensors = checkpoint.arrays
    try:
        tensors = project.prepare(tensors)
        model_config, reasons, otherwise = _configure(project, tensors, checkpoint.metadata, config)
        _put(model_config, given, reasons)
        if model_config.backbone.keras_application and project.read is None:
            came = model_config.backbone.keras_application
            raise CheckpointError(
                f"config.model.backbone.keras_application is {came!r}; allowed: '', for its backbone is a ResNet."
            )
        with counted_variables(_most_bytes(checkpoint, config)):
            model = MaskRCNN(model_config)
        report = assign(model, project.make_entries(model, tensors), tensors, project.ignored)
    except CheckpointError as error:
        names = f" The checkpoint's first names: {shorten(list(tensors))}."
        is_wide = config is not None and not config.model.preprocess.pixels.is_rgb
        raise _located(error, source, path, names + WIDEN * is_wide) from error
    report.prefix, report.settings = checkpoint.prefix, assumptions.explain(model_config, reasons, otherwise)
    report.checksum = checksums.compared(path) if os.path.isfile(path) else ""  # Keras checks what it downloads by name
    return model, report


def _check_kinds(path: Any, config: Any, class_names: Any, anchor_sizes: Any, norm_epsilon: Any):
    check_kind("path", path, PATH, "the path of a checkpoint")
    check_kind("config", config, (Config, type(None)), "a Config, or None")
    for name, values in (("class_names", class_names), ("anchor_sizes", anchor_sizes)):
        check_kind(name, values, (list, tuple), "a list or tuple")  # a text would be taken for its letters
    for i, sizes in enumerate(anchor_sizes):
        check_kind(f"anchor_sizes[{i}]", sizes, (list, tuple), "a list or tuple of sides in pixels")
        for side in sizes:
            check_kind(f"anchor_sizes[{i}]", side, Real, "a list or tuple of sides in pixels")
    check_kind("norm_epsilon", norm_epsilon, (Real, type(None)), "a number, or None")


def _read(project: Project, path: str | os.PathLike, config: Config | None) -> Checkpoint:
    if path in project.names:
        return Checkpoint(project.download(path))
    tensors = project.read(path, config) if project.read and os.path.isfile(path) else None
    return read_checkpoint(path) if tensors is None else Checkpoint(tensors)


def _most_bytes(checkpoint: Checkpoint, config: Config | None) -> int:
    """What the model's variables may take; a file that says its own configuration has all of them."""
    if config is not None:  # the caller's wish
        return 2**62
    own = CONFIG in checkpoint.metadata
    return 2 * sum(array.nbytes for array in checkpoint.arrays.values()) + (2**20 if own else PRESET_BYTES)


def _configure(
    project: Project, tensors: Tensors, metadata: dict[str, str], config: Config | None
) -> tuple[ModelConfig, dict[str, str], str]:
    """A configuration of the caller's own, the reasons of some of its fields, and the reason of the others."""
    if config is not None:
        return copy.deepcopy(config.model), {}, "given: the configuration"
    own = _own_config(metadata)
    if own is not None:
        return own, {}, "from the file: its metadata"
    config = project.make_config(tensors)
    classes = COCO if config.model.class_names else NUMBERS
    reasons = {"class_names": classes, "category_ids": classes, **project.explain(tensors)}
    return config.model, reasons, f"assumed: the preset {config.name}"


def _own_config(metadata: dict[str, str]) -> ModelConfig | None:
    """The `ModelConfig` in the metadata of a file that we have exported.

    Raises:
      CheckpointError: it cannot be read.
    """
    if CONFIG not in metadata:
        return None
    try:
        own = from_dict(ModelConfig, strict_json.parse(metadata[CONFIG]), "config.model")
        return Config(model=own).validate().model
    except (ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"The configuration in the file's metadata cannot be read ({error}); give one instead."
        ) from error


def _put(config: ModelConfig, given: dict, reasons: dict[str, str]) -> None:
    """Writes single fields into a configuration; names of other classes than COCO's take COCO's ids with them."""
    for field, value in given.items():
        section, _, name = field.rpartition(".")
        setattr(getattr(config, section) if section else config, name, value)
        reasons[field] = "given"
    if "class_names" in given and reasons.get("category_ids") == COCO:
        config.category_ids, reasons["category_ids"] = (), "assumed: 1..C, in the order of the names"


def _located(error: CheckpointError, source: str, path: str | os.PathLike, names: str = "") -> CheckpointError:
    """The error with the file in it, once, and what the file holds."""
    text = str(error) + names
    return CheckpointError(text if str(path) in text else f"{path}, read as {source}: {text}")
