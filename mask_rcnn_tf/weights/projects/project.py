"""What the importer knows of a foreign code base."""

import dataclasses
import os
from collections.abc import Callable

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights.mapping import Entry, Tensors


def as_they_are(tensors: Tensors) -> Tensors:
    """The tensors, where a project has had one set of names only."""
    return tensors


def nothing_known(_: Tensors) -> dict[str, str]:
    """No reasons, where every setting that weights depend on is the preset's."""
    return {}


@dataclasses.dataclass(frozen=True)
class Project:
    """A foreign code base, of whose checkpoints models are made.

    Args:
      ignored: regular expressions of whole names that may stay unused, each with the reason.
      make_config: from tensors to the preset that gives the checkpoint's behaviour, at its dimensions. It says what an
        architecture is that this version does not build (CheckpointError).
      make_entries: from the model and the tensors to one `Entry` for each variable that the checkpoint sets.
      prepare: puts old names under the ones that the other functions know; they get its result.
      explain: from tensors to the reasons of what `make_config` chose, by the field of `ModelConfig`
        ("backbone.norm_epsilon"); fields that it does not name are the preset's.
      names: networks that `download` takes instead of a file.
      download: from one of `names` to its tensors.
      read: from a file and the caller's configuration to its tensors, where the format has no names for them; None for
        other files.
    """

    ignored: tuple[tuple[str, str], ...]
    make_config: Callable[[Tensors], Config]
    make_entries: Callable[[MaskRCNN, Tensors], list[Entry]]
    prepare: Callable[[Tensors], Tensors] = as_they_are
    explain: Callable[[Tensors], dict[str, str]] = nothing_known
    names: tuple[str, ...] = ()
    download: Callable[[str], Tensors] | None = None
    read: Callable[[str | os.PathLike, Config | None], Tensors | None] | None = None
