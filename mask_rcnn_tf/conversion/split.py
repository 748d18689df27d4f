"""A COCO file split by images, so that each part shows the categories as the whole does.

Source: Sechidis, Tsoumakas, Vlahavas, "On the Stratification of Multi-Label Data" (2011): the rarest category first,
each image to the part that lacks most of it. Here objects are counted, and a category goes to every part while its
images last.
"""

import collections
import dataclasses
import hashlib
import math
import os
import random
from collections.abc import Sequence

from mask_rcnn_tf.coco.errors import printable

MOST_PARTS = 1000
SMALL, TRIES = 2000, 100  # files, and how often some of them change places by chance
EXCHANGES = 5000  # pairs of files that are tried to make shares more even
MOST_TRIED = 300  # files that are tried for an exchange
EMPTY = -math.inf  # the category of images without objects; it sorts beside the file's


@dataclasses.dataclass
class Unit:
    """The rows of one image file, which stay together.

    Attributes:
      name: of the file.
      ids: of its rows.
      counts: category id -> its objects in them, without crowds; `EMPTY` -> 1 where there are none.
      part: where it is; -1 before that is known.
    """

    name: str
    ids: list[int]
    counts: collections.Counter
    part: int = -1


def split(coco: dict, shares: Sequence[float], seed: int = 0) -> list[dict]:
    """Splits a file.

    Args:
      coco: a COCO dictionary whose structure was checked; it is not changed.
      shares: of the images that each part gets; they sum to 1.
      seed: other numbers give other splits. Neither ids nor the order of rows make a difference, names of files do.

    Returns:
      A COCO dictionary for each part: its images, those without annotations too, their annotations, all categories and
      whatever else the file has. A category of as many images as parts is in each, unless a part of a few images
      would have to hold nearly all categories.

    Raises:
      ValueError: there are fewer image files than parts.
    """
    units = _units(coco)
    if not 2 <= len(shares) <= min(MOST_PARTS, len(units)):
        raise ValueError(
            f"{len(shares)} parts of {len(units)} image files; allowed: 2 to {MOST_PARTS}, and at most one a file."
        )
    _place_best(units, shares, seed)
    if len(units) <= SMALL:
        _even_out(units, shares, seed)
    places = {key: unit.part for unit in units for key in unit.ids}
    return [_part(coco, {key for key, place in places.items() if place == part}) for part in range(len(shares))]


def rest(coco: dict, part: dict) -> dict:
    """All of a file but a part of it, as a COCO dictionary."""
    inside = {image["id"] for image in part["images"]}
    return _part(coco, {image["id"] for image in coco["images"]} - inside)


def _part(coco: dict, ids: set[int]) -> dict:
    images = [image for image in coco["images"] if image["id"] in ids]
    return coco | {"images": images, "annotations": [row for row in coco["annotations"] if row["image_id"] in ids]}


def _units(coco: dict) -> list[Unit]:
    units: dict[str, Unit] = {}
    by_id = {}
    for image in coco["images"]:
        name = os.path.normpath(image["file_name"])
        by_id[image["id"]] = unit = units.setdefault(name, Unit(name, [], collections.Counter()))
        unit.ids.append(image["id"])
    for row in coco["annotations"]:
        if row["image_id"] in by_id and row.get("iscrowd") not in (1, "1", True):
            by_id[row["image_id"]].counts[row["category_id"]] += 1
    for unit in units.values():
        unit.counts = unit.counts or collections.Counter({EMPTY: 1})
    return sorted(units.values(), key=lambda unit: unit.name)


def _place_best(units: list[Unit], shares: Sequence[float], seed: int):
    """Gives every unit its part; exchanges some by chance where categories are in fewer parts than they have images."""
    totals = collections.Counter(key for unit in units for key in unit.counts)
    wanted = sum(min(total, len(shares)) for total in totals.values())
    _place(units, shares, seed)
    best, places = _mend(units, len(shares)), [unit.part for unit in units]
    drawn = random.Random(seed)
    for _ in range(TRIES * (len(units) <= SMALL and best < wanted)):
        for unit, part in zip(units, places, strict=True):
            unit.part = part
        for first, second in (drawn.sample(units, 2) for _ in range(3)):
            first.part, second.part = second.part, first.part
        reached = _mend(units, len(shares))
        if reached >= best:
            best, places = reached, [unit.part for unit in units]
        if best == wanted:
            break
    for unit, part in zip(units, places, strict=True):
        unit.part = part


def _place(units: list[Unit], shares: Sequence[float], seed: int):
    """Gives every unit a part."""
    by_category = collections.defaultdict(list)
    for unit in sorted(units, key=lambda unit: hashlib.sha256(f"{seed}/{unit.name}".encode()).digest()):
        for category in unit.counts:
            by_category[category].append(unit)
    room = _Room(units, shares)
    waiting = {category: len(rows) for category, rows in by_category.items()}
    while waiting:
        rarest = min(waiting, key=lambda category: (waiting[category], category))
        rows = [unit for unit in by_category[rarest] if unit.part < 0]
        for unit in sorted(rows, key=lambda unit: -unit.counts[rarest].bit_length()):  # the seed orders those alike
            room.put(unit, room.best(rarest, unit.counts[rarest], waiting[rarest]))
            for category in unit.counts:
                waiting[category] -= 1
        waiting = {category: count for category, count in waiting.items() if count}


class _Room:
    """What each part still lacks: files, and objects of each category."""

    def __init__(self, units: list[Unit], shares: Sequence[float]):
        self.shares, self.sizes = shares, _sizes(len(units), shares)
        self.files = list(self.sizes)
        totals = sum((unit.counts for unit in units), collections.Counter())
        self.objects = {category: [share * total for share in shares] for category, total in totals.items()}
        self.without = {category: set(range(len(shares))) for category in totals}

    def best(self, category: float, count: int, waiting: int) -> int:
        """The part for objects of a category, as Sainte-Lague gives seats; for the last ones, one that has none."""
        parts = [part for part, left in enumerate(self.files) if left > 0]
        if waiting <= len(self.without[category]):
            parts = [part for part in parts if part in self.without[category]] or parts
        lacks, filled = self.objects[category], lambda part: self.files[part] / self.sizes[part]
        return max(parts, key=lambda part: ((lacks[part] - count / 2) / self.shares[part], filled(part), -part))

    def put(self, unit: Unit, part: int):
        """Puts a unit into a part."""
        unit.part = part
        self.files[part] -= 1
        for category, count in unit.counts.items():
            self.objects[category][part] -= count
            self.without[category].discard(part)


def _sizes(count: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers of files that sum to count, by largest remainder, each at least 1."""
    sizes = [max(1, math.floor(share * count)) for share in shares]
    order = sorted(range(len(shares)), key=lambda part: (sizes[part] - shares[part] * count, part))
    for step in range(abs(count - sum(sizes))):
        if count > sum(sizes):
            sizes[order[step % len(order)]] += 1
        else:  # parts of 1 file took more than their share
            sizes[max(range(len(sizes)), key=lambda part: sizes[part])] -= 1
    return sizes


def _mend(units: list[Unit], parts: int) -> int:
    """Exchanges files while that brings categories to more parts. Returns in how many parts categories are, summed."""
    presence = _Presence(units, parts)
    totals = collections.Counter(key for unit in units for key in unit.counts)
    is_better = True
    while is_better:
        is_better = False
        for category in sorted(totals, key=lambda key: (totals[key], key)):
            for part in range(parts):
                if not presence.has(category, part) and presence.spread(category) < min(totals[category], parts):
                    is_better |= _exchange(units, category, part, presence)
    return sum(map(presence.spread, totals))


def _exchange(units: list[Unit], category: float, part: int, presence: "_Presence") -> bool:
    """Brings a file with a category to a part in exchange for another one, where more is won by it than lost."""
    inside = [unit for unit in units if unit.part == part][:MOST_TRIED]
    for giver in [unit for unit in units if unit.part != part and category in unit.counts][:MOST_TRIED]:
        home, won = giver.part, presence.gain(giver, part)
        presence.move(giver, part)
        gains = [won + presence.gain(unit, home) for unit in inside]
        best = max(range(len(inside)), key=lambda place: (gains[place], -(inside[place].counts - giver.counts).total()))
        if gains[best] > 0:
            presence.move(inside[best], home)
            return True
        presence.move(giver, home)
    return False


def _even_out(units: list[Unit], shares: Sequence[float], seed: int):
    """Exchanges pairs of files, drawn by chance, where shares of categories come nearer and none loses a part by it."""
    presence, parts = _Presence(units, len(shares)), range(len(shares))
    totals = sum((unit.counts for unit in units), collections.Counter())
    held = {key: [sum(unit.counts[key] for unit in units if unit.part == part) for part in parts] for key in totals}

    def unevenness(keys):
        return sum((held[key][part] / totals[key] - shares[part]) ** 2 for key in keys for part in parts)

    def move(unit, part):
        for key, count in unit.counts.items():
            held[key][unit.part] -= count
            held[key][part] += count
        presence.move(unit, part)

    drawn = random.Random(seed)
    for first, second in (drawn.sample(units, 2) for _ in range(EXCHANGES)):
        here, there = first.part, second.part
        if here != there:
            keys = sorted(first.counts.keys() | second.counts.keys())
            before, won = unevenness(keys), presence.gain(first, there)
            move(first, there)
            won += presence.gain(second, here)
            move(second, here)
            if won < 0 or unevenness(keys) >= before:
                move(first, here)
                move(second, there)


class _Presence:
    """How many files of each part have each category."""

    def __init__(self, units: list[Unit], parts: int):
        self._counts = [collections.Counter() for _ in range(parts)]
        for unit in units:
            self._counts[unit.part].update(dict.fromkeys(unit.counts, 1))

    def has(self, category: float, part: int) -> bool:
        """Whether a part has a category."""
        return self._counts[part][category] > 0

    def spread(self, category: float) -> int:
        """How many parts have a category."""
        return sum(count[category] > 0 for count in self._counts)

    def gain(self, unit: Unit, part: int) -> int:
        """How many more parts categories are in when a unit goes to another one; below 0: fewer."""
        here, there = self._counts[unit.part], self._counts[part]
        return sum((there[key] == 0) - (here[key] == 1) for key in unit.counts)

    def move(self, unit: Unit, part: int):
        """Puts a unit into another part."""
        self._counts[unit.part].subtract(dict.fromkeys(unit.counts, 1))
        unit.part = part
        self._counts[part].update(dict.fromkeys(unit.counts, 1))


def described(coco: dict, parts: list[dict], names: Sequence[str]) -> list[str]:
    """What was split, for people: counts of each part, and objects of each category in them.

    Args:
      coco: the whole.
      parts: of `split`.
      names: of the parts.

    Returns:
      Lines.
    """
    lines = []
    for name, part in zip(names, parts, strict=True):
        empty = len(part["images"]) - len({row["image_id"] for row in part["annotations"]})
        counts = f"{len(part['images'])} images ({empty} without objects), {len(part['annotations'])} objects"
        lines.append(f"{name}: {counts}")
    counted = [collections.Counter(row["category_id"] for row in part["annotations"]) for part in parts]
    lines.append("  ".join([f"{'objects':>30}", *(f"{name:>12}" for name in names)]))
    for category in sorted(coco["categories"], key=lambda row: row["id"]):
        cells = [f"{count[category['id']]:>12}" for count in counted]
        lines.append("  ".join([f"{printable(category['name'], 30):>30}", *cells]))
    missing = [row for row in coco["categories"] if 0 < sum(count[row["id"]] > 0 for count in counted) < len(parts)]
    if missing:
        some = ", ".join(printable(row["name"], 40) for row in missing[:20])
        lines.append(f"note: not in every part, mostly for want of images: {some}{', ...' * (len(missing) > 20)}")
    lost = len(coco["annotations"]) - sum(map(len, (part["annotations"] for part in parts)))
    return lines + [f"left out: {lost} annotations of images that the file does not have"] * bool(lost)
