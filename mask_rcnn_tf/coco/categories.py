"""The categories of a file, and of a model: which are used, and which of the one is which of the other."""

import collections
import dataclasses
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

from mask_rcnn_tf.coco.errors import SHOWN

# What is said where there are no names to match.
NAMELESS = "the model has no class_names: its classes are matched with the file's categories by id alone"


def table(coco: dict) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """The file's category ids in ascending order, and their names (() where one has none); class c is at c - 1."""
    rows = sorted(without_shadows(coco), key=lambda row: row["id"])
    names = tuple(row.get("name") for row in rows)
    return tuple(row["id"] for row in rows), () if None in names else names


def without_shadows(coco: dict) -> list[dict]:
    """The categories but those without annotations that are named like another one, as Roboflow's category 0."""
    names = collections.Counter(row.get("name") for row in coco["categories"])
    used = {row["category_id"] for row in coco["annotations"]}
    if not used or max(names.values(), default=0) < 2:
        return coco["categories"]
    # Of a name whose categories are all unused the last one stays.
    named = {row.get("name"): row["id"] for row in coco["categories"]}
    named |= {row.get("name"): row["id"] for row in coco["categories"] if row["id"] in used}
    return [row for row in coco["categories"] if row["id"] in used or row["id"] == named[row.get("name")]]


def notes(coco: dict) -> Iterator[str]:
    """Lines about categories that are left out, or have no annotations."""
    kept = {row["id"] for row in without_shadows(coco)}
    shadows = [row for row in coco["categories"] if row["id"] not in kept]
    if shadows:
        yield f"left out: categories without annotations that are named like another: {_named(shadows)}"
    used = {row["category_id"] for row in coco["annotations"]}
    groups = collections.defaultdict(list)
    for row in coco["categories"]:
        if row["id"] in kept and isinstance(row.get("name"), str):
            groups[_folded(row["name"])].append(row)
    for rows in groups.values():
        if len(rows) > 1:
            yield f"warning: categories that differ by case or spaces only are different classes: {_named(rows)}"
    unused = [row for row in coco["categories"] if row["id"] in kept - used]
    if unused and used:
        yield f"{len(unused)} of {len(kept)} categories have no annotations: {_named(unused)}"


def _folded(name: str) -> str:
    return " ".join(name.split()).casefold()


def alike(name: str, names: Iterable[str]) -> str:
    """A hint at another name that differs by case or spaces only, which begins with a space; "" if there is none."""
    near = [other for other in names if other != name and _folded(other) == _folded(name)]
    return f" {name!r:.40} and {near[0]!r:.40} differ by case or spaces only." if near else ""


def _named(rows: Sequence[dict]) -> str:
    more = ", ..." if len(rows) > 10 else ""
    return ", ".join(f"{row['id']} {row.get('name', '')!r:.40}" for row in rows[:10]) + more


def _first(texts: Iterable[str]) -> str:
    texts = list(texts)
    return ", ".join(texts[:SHOWN]) + (f" and {len(texts) - SHOWN} more" if len(texts) > SHOWN else "")


@dataclasses.dataclass(frozen=True)
class Match:
    """Which categories of a file are a model's classes."""

    ids: tuple[int | None, ...]  # the file's id of classes 1..C; None where the file lacks one
    unknown: tuple[tuple[int, str], ...]  # the file's (id, name) that are no class of the model
    note: str  # what is not as it seems; "" where ids and names are the same

    def check(self, category_ids: Sequence[int], class_names: Sequence[str]) -> "Match":
        """Itself. Raises ValueError where the file has a category that the model, whose ids come, does not know."""
        if self.unknown:
            ids = _first(str(key) for key, _ in self.unknown)
            names = _first(f"{name!r:.40}" for _, name in self.unknown)
            called = f", called {_first(f'{name!r:.40}' for name in class_names)}" if class_names else ""
            known = _first(map(str, category_ids))
            raise ValueError(
                f"the annotation file has categories {ids}, which the model does not know; its category ids: "
                f"{known}{called}; the file calls them {names}.{alike(self.unknown[0][1], class_names)}"
            )
        return self


def match(file: tuple[Sequence[int], Sequence[str]], category_ids: Sequence[int], class_names: Sequence[str]) -> Match:
    """Matches categories by name; by id where a side has no names.

    Args:
      file: the file's category ids and their names, see `table`; names may be ().
      category_ids: a model's ids of classes 1..C.
      class_names: a model's names of classes 1..C, or ().

    Returns:
      The match, whose `unknown` is to be looked at.
    """
    ids, names = file
    if not class_names or not names:
        unknown = [
            (key, name) for key, name in zip(ids, names or map(str, ids), strict=True) if key not in category_ids
        ]
        found = tuple(key if key in set(ids) else None for key in category_ids)
        return Match(found, tuple(unknown), "" if class_names else NAMELESS)
    by_name = dict(zip(names, ids, strict=True))
    found = tuple(by_name.get(name) for name in class_names)
    unknown = [(key, name) for key, name in zip(ids, names, strict=True) if name not in class_names]
    rows = zip(found, category_ids, class_names, strict=True)
    moved = [f"{name!r:.40} {key} for {known}" for key, known, name in rows if key not in (None, known)]
    more = ", ..." if len(moved) > 10 else ""
    note = f"categories are matched by name, their ids are others than the model's: {', '.join(moved[:10])}{more}"
    return Match(found, tuple(unknown), note if moved else "")


class Classes(Protocol):
    """What is read of a model's configuration."""

    num_classes: int
    category_ids: tuple[int, ...]
    class_names: tuple[str, ...]


def match_model(config: Classes, coco: dict) -> Match:
    """Matches a model's classes with a file's categories.

    Args:
      config: the model's. Without ids its classes are the file's categories with the same names; without names too, the
        file's in the order of their ids, as the data's own pipeline has them.
      coco: a COCO-format dict.

    Returns:
      The match, without unknown categories.

    Raises:
      ValueError: the file has a category that the model does not know.
    """
    file, names = table(coco), tuple(config.class_names)
    if config.category_ids or (names and file[1]):
        ids = tuple(config.category_ids) or tuple(range(1, config.num_classes + 1))
        return match(file, ids, names).check(ids, names)
    if len(file[0]) != config.num_classes:
        raise ValueError(
            f"the model has no category_ids and {config.num_classes} classes, the annotation file {len(file[0])} "
            "categories; allowed: as many, or set config.model.category_ids."
        )
    ids = ", ".join(map(str, file[0][:10])) + (", ..." if len(file[0]) > 10 else "")
    return Match(file[0], (), f"the model has no category_ids: its classes 1..{config.num_classes} are taken for {ids}")
