"""What the keypoints of a COCO file are: how many, their names, what joins them, which change places in a mirror."""

import dataclasses
import re
from typing import Any

from mask_rcnn_tf.coco import reader

LEFT_RIGHT = {"left": "right", "l": "r"} | {"right": "left", "r": "l"}
WORD = re.compile(r"(?<![a-zA-Z])(left|right|l|r)(?![a-zA-Z])", re.IGNORECASE)


@dataclasses.dataclass(frozen=True)
class KeypointSet:
    """The keypoints that every object of a file has.

    Attributes:
      count: J; 0 without keypoints.
      names: J names, or () where the categories do not name them.
      skeleton: pairs of keypoints, from 0, that are joined in pictures.
      sigmas: J numbers of the file's own ("sigmas" of a category), or ().
      vertical_pairs: pairs that an image turned upside down exchanges, where keypoints are places in the image and not
        parts of an object; () for `flip_pairs`.
    """

    count: int = 0
    names: tuple[str, ...] = ()
    skeleton: tuple[tuple[int, int], ...] = ()
    sigmas: tuple[float, ...] = ()
    vertical_pairs: tuple[tuple[int, int], ...] = ()

    @property
    def flip_pairs(self) -> tuple[tuple[int, int], ...]:
        """Pairs of keypoints, from 0, whose names differ in "left" and "right" alone."""
        places = {name.lower(): index for index, name in enumerate(self.names)}
        partners = {index: places.get(_mirrored(name.lower()), index) for name, index in places.items()}
        return tuple((index, partner) for index, partner in partners.items() if index < partner)


def keypoint_set(coco: dict) -> KeypointSet:
    """The keypoints of a file: those of its first category that names some, else as many as annotations have.

    Args:
      coco: of `reader.read_annotations`.

    Raises:
      ValueError: see `reader.keypoint_count`.
    """
    count = reader.keypoint_count(coco)
    category = next((row for row in coco["categories"] if row.get("keypoints")), {})
    names = [name for name in category.get("keypoints", ()) if isinstance(name, str) and name.isprintable()]
    named = len(names) == len(set(map(str.lower, names))) == count
    pairs = category.get("skeleton")
    joined = [_from_zero(pair, count) for pair in pairs] if isinstance(pairs, list) else []
    return KeypointSet(
        count, tuple(names) if named else (), tuple(filter(None, joined)), _sigmas(category.get("sigmas"), count)
    )


def _mirrored(name: str) -> str:
    return WORD.sub(lambda match: LEFT_RIGHT[match[0].lower()], name, count=1)


def _from_zero(pair: Any, count: int) -> tuple[int, int] | None:
    """A pair of a skeleton, which counts from 1; None where it joins nothing."""
    if not isinstance(pair, list) or len(pair) != 2 or not all(type(end) is int and 1 <= end <= count for end in pair):
        return None
    return (pair[0] - 1, pair[1] - 1) if pair[0] != pair[1] else None


def _sigmas(values: Any, count: int) -> tuple[float, ...]:
    numbers = isinstance(values, list) and all(type(value) in (int, float) and 0 < value < 10 for value in values)
    return tuple(map(float, values)) if numbers and len(values) == count else ()
