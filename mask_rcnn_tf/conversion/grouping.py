"""Shapes that a tool has grouped, as objects: those of one label and one group are one."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import outlines
from mask_rcnn_tf.conversion.labelled import LabelledImage, LabelledObject, Report


@dataclasses.dataclass(frozen=True)
class Part:
    """A shape.

    Attributes:
      category: its name.
      where: file and place in it, for messages.
      group: what parts of one object share; None for an object of its own.
      segmentation: COCO's, or None for a box.
      box: [x, y, width, height], pixels, of a box.
    """

    category: str
    where: str
    group: Any = None
    segmentation: list | dict | None = None
    box: list[float] | None = None


def objects(parts: Iterable[Part], image: LabelledImage, report: Report) -> list[LabelledObject]:
    """The objects of an image. Args as `grouped`."""
    return [item for _, item in grouped(parts, image, report)]


def grouped(parts: Iterable[Part], image: LabelledImage, report: Report) -> list[tuple[Any, LabelledObject]]:
    """The objects of an image, in the order of their first parts; a box in a group is a part of its mask.

    Args:
      parts: its shapes.
      image: the image.
      report: gets objects whose parts cannot be united.

    Returns:
      Pairs of a group, None of an object of its own, and the object.
    """
    groups: dict[tuple, list[Part]] = {}
    for number, part in enumerate(parts):
        key = (part.category, number) if part.group is None else (part.category, "group", repr(part.group))
        groups.setdefault(key, []).append(part)
    found = []
    for group in groups.values():
        first = group[0]
        try:
            if len(group) == 1:
                item = LabelledObject(first.category, first.where, first.segmentation, first.box)
            else:
                masks = [part.segmentation or [outlines.rectangle(part.box)] for part in group]
                item = LabelledObject(first.category, first.where, outlines.united(masks, (image.height, image.width)))
            found.append((first.group, item))
        except Rejected as error:
            report.lose(error, first.where)
    return found
