"""Which tensor of a checkpoint goes into which variable, and the check that nothing is lost on the way."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import keras
import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError

Tensors = dict[str, np.ndarray]  # a checkpoint: arrays by name
SHOWN = 5  # differences that an error lists
LONGEST = 200  # characters of one of them


@dataclasses.dataclass(frozen=True)
class Source:
    """A tensor of the checkpoint: its name there, and the shape it must have."""

    name: str
    shape: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """One variable of ours and how it is made.

    Args:
      variable: a `keras.Variable`.
      sources: the tensors it is made of; none for a constant.
      to_ours: from their arrays, in that order, to an array of the variable's shape.
      to_theirs: from ours back to the array of the one source, or None where no way leads back.
    """

    variable: keras.Variable
    sources: tuple[Source, ...]
    to_ours: Callable[..., np.ndarray]
    to_theirs: Callable[[np.ndarray], np.ndarray] | None = None


@dataclasses.dataclass
class Report:
    """What became of a checkpoint.

    Args:
      used: names of the tensors that went into the model.
      ignored: names of the tensors that did not, and why.
      initial: paths of the model's variables that the checkpoint has nothing for.
      prefix: what was taken off every name, "" for nothing.
      settings: what the weights depend on and where each value comes from, a line each (`assumptions.explain`).
      checksum: whether the file is the one that its name says (`checksums.compared`), "" where it says nothing.
    """

    used: list[str]
    ignored: dict[str, str]
    initial: list[str]
    prefix: str = ""
    settings: list[str] = dataclasses.field(default_factory=list)
    checksum: str = ""

    def lines(self) -> list[str]:
        """The report in words, a line a fact."""
        lines = [f"{len(self.used)} tensors used"]
        for reason in sorted(set(self.ignored.values())):
            names = [name for name, why in self.ignored.items() if why == reason]
            lines.append(f"{len(names)} tensors ignored ({reason}): {shorten(names)}")
        if self.initial:
            lines.append(f"{len(self.initial)} variables keep their random values: {shorten(self.initial)}")
        if self.prefix:
            lines.append(f"the prefix {self.prefix!r} was taken off every name")
        return lines + [self.checksum] * bool(self.checksum) + self.settings


def assign(
    model: keras.Model,
    entries: Sequence[Entry],
    tensors: Tensors,
    ignored: Sequence[tuple[str, str]] = (),
) -> Report:
    """Puts a checkpoint's tensors into a model's variables; the model is untouched unless everything fits.

    Args:
      model: what the variables belong to.
      entries: one for each variable that the checkpoint sets.
      tensors: the checkpoint: arrays by name.
      ignored: regular expressions of whole names that may stay unused, each with the reason.

    Returns:
      The report.

    Raises:
      CheckpointError: tensors are missing, unexpected or of another shape (the first few are named), or their values
        are not finite in float32.
    """
    wanted = {source.name: source.shape for entry in entries for source in entry.sources}
    rest = {name: _reason(name, ignored) for name in tensors if name not in wanted}
    _check_names(wanted, rest, tensors)
    values = [_make(entry, tensors) for entry in entries]
    for entry, value in zip(entries, values, strict=True):
        entry.variable.assign(value)
    initial = {weight.path for weight in model.weights} - {entry.variable.path for entry in entries}
    return Report([name for name in tensors if name in wanted], rest, sorted(initial))


def _check_names(wanted: dict[str, tuple[int, ...]], rest: dict[str, str | None], tensors: Tensors) -> None:
    missing = [name for name in wanted if name not in tensors]
    wrong = [
        f"{name} has shape {list(tensors[name].shape)}, the model needs {list(shape)}"
        for name, shape in wanted.items()
        if name in tensors and tuple(tensors[name].shape) != tuple(shape)
    ]
    unexpected = [name for name, reason in rest.items() if reason is None]
    differences = [
        f"{len(names)} {kind}: {shorten(names)}"
        for kind, names in (("missing", missing), ("unexpected", unexpected), ("of another shape", wrong))
        if names
    ]
    if differences:
        raise CheckpointError(f"The checkpoint's tensors do not fit the model; {'; '.join(differences)}.")


def to_theirs(entries: Sequence[Entry]) -> Tensors:
    """The checkpoint that `assign` would read back: the entries' variables under their sources' names and layouts."""
    tensors = {}
    for entry in entries:
        (source,) = entry.sources
        tensors[source.name] = np.ascontiguousarray(entry.to_theirs(np.asarray(entry.variable)))
    return tensors


def count_classes(tensors: Tensors, name: str) -> int:
    """C, from the tensor whose first axis counts the classes and background.

    Raises:
      CheckpointError: it is missing or has no such axis.
    """
    if name not in tensors or not tensors[name].ndim or tensors[name].shape[0] < 2:
        came = list(tensors[name].shape) if name in tensors else "missing"
        raise CheckpointError(f"{name}, by whose first axis the classes and background are counted, is {came}.")
    return tensors[name].shape[0] - 1


def _make(entry: Entry, tensors: Tensors) -> np.ndarray:
    with np.errstate(all="ignore"):
        value = np.asarray(entry.to_ours(*(tensors[source.name] for source in entry.sources)), np.float32)
    if not np.isfinite(value).all():  # e.g. a negative variance, or a float64 beyond float32
        names = ", ".join(source.name for source in entry.sources)
        raise CheckpointError(f"{names}: the values give {entry.variable.path} values that are not finite.")
    return value


def _reason(name: str, ignored: Sequence[tuple[str, str]]) -> str | None:
    return next((reason for pattern, reason in ignored if re.fullmatch(pattern, name)), None)


def shorten(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    shown = [name if len(name) <= LONGEST else f"{name[:LONGEST]}..." for name in names[:SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
