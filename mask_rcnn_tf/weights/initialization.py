"""Fine-tuning: a new model starts from the weights of a saved one, whatever its classes."""

import dataclasses
from typing import Any

import numpy as np

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.fields import weight_fields
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.variable_paths import stable_paths
from mask_rcnn_tf.weights import widening

# Fields that say what the weights mean: loaded into a model that differs in one, they compute something else.
SAME_FIELDS = tuple(weight_fields(ModelConfig, "same"))
NORM_FIELDS = tuple(weight_fields(ModelConfig, "norm"))
BATCH_NORMS = ("frozen_batch_norm", "batch_norm", "sync_batch_norm")  # the same four tensors

OTHER_CLASSES = "class-dependent, and class_names are not the same in both"
OTHER_SHAPE = "of another shape there"
ABSENT = "not there"
UNUSED = "there, but not in this model"


@dataclasses.dataclass
class InitReport:
    """What became of the weights of a saved model.

    Args:
      loaded: paths of the variables that were set.
      kept: paths of the variables that keep their initial values, by the reason.
      unused: paths of the saved model's variables that this model does not have.
      widened: what became of the first convolution where images are of another kind, a line each.
    """

    loaded: list[str]
    kept: dict[str, list[str]]
    unused: list[str]
    widened: list[str] = dataclasses.field(default_factory=list)

    def lines(self) -> list[str]:
        """The report in words, a line a reason; every variable that was not loaded is named."""
        count = len(self.loaded) + sum(map(len, self.kept.values()))
        groups = [(f"not loaded, {reason}", paths) for reason, paths in (*self.kept.items(), (UNUSED, self.unused))]
        lines = [f"{what}: {len(paths)} ({', '.join(paths)})" for what, paths in groups if paths]
        return [f"{len(self.loaded)} of {count} variables loaded", *self.widened, *lines]


def initialize(model: MaskRCNN, source: MaskRCNN) -> InitReport:
    """Copies the weights of one model into another, by the paths of their variables.

    Class-dependent variables are copied only where both models have the same `class_names`; what has another shape,
    such as an RPN head for more anchors a cell, keeps its initial values. Where images have other channels or bits the
    first convolution is made of that of RGB (`widening.widened`).

    Args:
      model: `MaskRCNN` to set.
      source: `MaskRCNN` to read, with any number of classes.

    Returns:
      `InitReport`.

    Raises:
      ValueError: one is no `MaskRCNN`, or they differ in a field that the weights depend on; each is named. Nothing
        was copied then.
    """
    for name, given in (("model", model), ("source", source)):
        check_kind(name, given, MaskRCNN, "a MaskRCNN")
    check_same_fields(model.config, source.config)
    names = model.config.class_names
    same_classes = bool(names) and names == source.config.class_names
    values = dict(zip(stable_paths(source.weights), source.weights, strict=True))
    class_dependent = {path for head in model.roi_heads for path in head.class_paths()}
    report = InitReport([], {OTHER_CLASSES: [], OTHER_SHAPE: [], ABSENT: []}, [])
    if widening.is_needed(model.config.preprocess, source.config.preprocess) and widening.FIRST in values:
        values[widening.FIRST], report.widened = _widened(model.config, source.config, values[widening.FIRST])
    for variable, stable in zip(model.weights, stable_paths(model.weights), strict=True):
        value, path = values.pop(stable, None), variable.path
        if value is None:
            report.kept[ABSENT].append(path)
        elif path in class_dependent and not same_classes:
            report.kept[OTHER_CLASSES].append(path)
        elif value.shape != variable.shape:
            report.kept[OTHER_SHAPE].append(path)
        else:
            variable.assign(np.asarray(value))
            report.loaded.append(path)
    report.unused.extend(values)
    return report


def _widened(ours: ModelConfig, theirs: ModelConfig, kernel: Any) -> tuple[np.ndarray, list[str]]:
    """The first convolution for our images, and what is to be said of it."""
    kinds = ours.preprocess.pixels, theirs.preprocess.pixels
    lines = [f"{widening.FIRST}: made for images {kinds[0]} of filters for {kinds[1]}; mean and std must be the data's"]
    if ours.backbone.frozen_stages:
        frozen = f"config.model.backbone.frozen_stages is {ours.backbone.frozen_stages}"
        lines.append(f"{widening.FIRST}: {frozen}, so that it does not learn what the channels are; 0 trains it")
    return widening.widened(np.asarray(kernel), theirs.preprocess, ours.preprocess.channels), lines


def check_same_fields(ours: ModelConfig, theirs: ModelConfig) -> None:
    """Makes sure that weights mean the same under two configurations.

    Args:
      ours: `ModelConfig` of the model to set.
      theirs: `ModelConfig` that the weights were trained or imported with.

    Raises:
      ValueError: they differ in `SAME_FIELDS`, or in norms other than kinds of batch norm. Fields of pixels may differ
        where images have other channels or bits.
    """
    names = (*SAME_FIELDS, *NORM_FIELDS)
    if widening.is_needed(ours.preprocess, theirs.preprocess):
        widening.check_source(theirs.preprocess)
        names = [name for name in names if name not in widening.PIXEL_FIELDS]
    pairs = {name: (_get(ours, name), _get(theirs, name)) for name in names}
    different = [
        name
        for name, (our, their) in pairs.items()
        if our != their and not (name in NORM_FIELDS and {our, their} <= set(BATCH_NORMS))
    ]
    if different:
        listed = "; ".join(
            f"config.model.{name} is {pairs[name][0]!r} here, {pairs[name][1]!r} there" for name in different
        )
        flags = " ".join(_flag(name, pairs[name][1]) for name in different)
        raise ValueError(
            f"its weights belong to another network: {listed}. Take the preset that it was made with, or: {flags}"
        )


def _get(config: ModelConfig, name: str) -> Any:
    section, field = name.split(".")
    return getattr(getattr(config, section), field)


def _flag(name: str, value: Any) -> str:
    text = str(value)
    return f"--config.model.{name}=" + (f"'{text}'" if isinstance(value, tuple) else text)
