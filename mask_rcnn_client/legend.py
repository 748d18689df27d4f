"""What the numbers of a model mean: names and ids of its classes, and how its masks are pasted."""

import dataclasses
import json
import numbers
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any


@dataclasses.dataclass(frozen=True)
class Legend:
    """What the numbers of a model mean.

    Attributes:
      category_ids: the annotation file's id of each class 1..C.
      class_names: of classes 1..C; where there are none, the ids as text.
      mask_threshold: probability from which on a pixel belongs to a mask.
      paste: see `paste_mask`.

    Raises:
      ValueError: there are more names than ids, or fewer.
    """

    category_ids: Sequence[int]
    class_names: Sequence[str] = ()
    mask_threshold: float = 0.5
    paste: str = "continuous"

    def __post_init__(self):
        if not self.class_names:
            object.__setattr__(self, "class_names", tuple(map(str, self.category_ids)))
        if len(self.class_names) != len(self.category_ids):
            came = f"{len(self.class_names)} names, and category_ids {len(self.category_ids)} ids"
            raise ValueError(f"class_names has {came}; allowed: one name a class, or none.")

    def number_of(self, wanted: str | int) -> int:
        """The number, 1..C, of a class.

        Args:
          wanted: its name, or its category id as text where no class has that name; or the number itself.

        Raises:
          ValueError: there is no such class; the message names those that there are.
        """
        known = dict(zip(map(str, self.category_ids), range(1, len(self.category_ids) + 1), strict=True))
        known |= dict(zip(self.class_names, known.values(), strict=True))
        is_number = isinstance(wanted, numbers.Integral)
        if is_number and 1 <= wanted <= len(self.category_ids):
            return int(wanted)
        if is_number or not isinstance(wanted, str) or wanted not in known:
            names = ", ".join(f"{number} {name}" for number, name in enumerate(self.class_names, start=1))
            raise ValueError(f"classes has {wanted!r:.100}; allowed: a name or number of {names:.2000}.")
        return known[wanted]


def make_legend(labels: Mapping[str, str] | None, config: Mapping[str, Any] | None = None) -> Legend:
    """The legend of an export, from the tables that are inside it.

    Args:
      labels: {category id: name}, as `labels.json` or the metadata `labels` of an ONNX file; None: those in `config`.
      config: the model's, as `config.json` or the metadata `config`; None: masks are pasted by the defaults.

    Raises:
      ValueError: a table is none of an export.
    """
    try:
        if labels is None:
            ids = config["category_ids"] or range(1, config["num_classes"] + 1)
            labels = dict(zip(ids, config["class_names"], strict=True))
        rules = {} if config is None else {name: config["detection"][name] for name in ("mask_threshold", "paste")}
        return Legend(tuple(map(int, labels)), tuple(map(str, labels.values())), **rules)
    except (AttributeError, KeyError, TypeError, ValueError):
        raise ValueError(
            "labels and config are not those of an export; allowed: its labels.json, config.json."
        ) from None


def read_legend(folder: str | os.PathLike) -> Legend:
    """The legend of an export, from the `labels.json` and `config.json` in a folder (`assets` of a SavedModel).

    Raises:
      ValueError: in one line: a file is missing, or is not an export's.
    """
    tables = {}
    for name in ("labels", "config"):
        path = pathlib.Path(folder, f"{name}.json")
        try:
            tables[name] = json.loads(path.read_text())
        except OSError as error:
            raise ValueError(f"{name} is '{path}'; it cannot be read: {error.strerror}.") from None
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} is '{path}'; it is not JSON: {error}.") from None
    return make_legend(**tables)
