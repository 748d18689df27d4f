"""Shapes of CVAT's XML as objects: those of images and those of tracks are the same elements.

Source: docs.cvat.ai, "XML annotation format" (1.1: elements and attributes; masks are runs along the rows of a window,
the first of zeros); "formats: COCO" (shapes of one label and group are one object).
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element

import numpy as np

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import grouping, outlines
from mask_rcnn_tf.conversion.grouping import Part
from mask_rcnn_tf.conversion.labelled import LabelledImage, LabelledObject, Report, category_name

IGNORED = ("attribute", "tag")  # of an image: tags are said, attributes are no shapes
MOST_JOINTS = 1000


class Shape(NamedTuple):
    """An element, and what its image or its track says of it.

    Attributes:
      element: a box, a polygon, ...
      where: its place, for messages.
      label: the category's name.
      group: what shapes of one object share; "0" for none.
    """

    element: Element
    where: str
    label: str | None
    group: str


def objects(
    shapes: Iterable[Shape], image: LabelledImage, joints: dict[str, list[str]], report: Report
) -> list[LabelledObject]:
    """The objects of an image.

    Args:
      shapes: all of its shapes.
      image: the image.
      joints: names of the keypoints of each label; those that it lacks are added.
      report: gets what cannot be used.

    Returns:
      Masks and boxes, then skeletons.
    """
    skeletons: list[LabelledObject] = []
    parts = list(_parts(shapes, image, joints, skeletons, report))
    return grouping.objects(parts, image, report) + skeletons


def is_outside(element: Element) -> bool:
    """Whether a shape, or every point of a skeleton, is not in the image."""
    parts = list(element.iter("points")) if element.tag == "skeleton" else [element]
    return bool(parts) and all(part.get("outside") == "1" for part in parts)


def _parts(
    shapes: Iterable[Shape], image: LabelledImage, joints: dict, skeletons: list, report: Report
) -> Iterator[Part]:
    for child, place, label, group in shapes:
        where = f"{image.file_name}: {place} ({shown(label):.40})"
        try:
            if child.tag in IGNORED:
                raise Rejected(f"{child.tag} of a whole image")
            category = category_name(label)
            if child.tag == "skeleton":
                skeletons.append(_skeleton(child, category, where, joints))
                continue
            segmentation, box = _shape(child, (image.height, image.width))
            yield Part(category, where, None if group == "0" else group, segmentation, box)
        except Rejected as error:
            report.lose(error, where)


def _shape(child: Element, image_shape: tuple[int, int]) -> tuple[list | dict | None, list[float] | None]:
    """COCO's segmentation of a shape, or else its box. Raises Rejected: it is neither."""
    if child.tag == "polygon":
        return [outlines.polygon(_points(child))], None
    if child.tag == "mask":
        return _mask(child, image_shape), None
    if child.tag == "box":
        x1, y1, x2, y2 = _numbers(child, ("xtl", "ytl", "xbr", "ybr"))
        box = outlines.corner_box(np.array([x1, y1]), np.array([x2, y2]))
        degrees = _numbers(child, ("rotation",))[0] if child.get("rotation") else 0.0
        return ([outlines.rectangle(box, degrees)], None) if degrees else (None, box)
    if child.tag == "ellipse":
        x, y, rx, ry = _numbers(child, ("cx", "cy", "rx", "ry"))
        degrees = _numbers(child, ("rotation",))[0] if child.get("rotation") else 0.0
        return [outlines.ellipse((x, y), (rx, ry), float(np.radians(degrees)))], None
    raise Rejected(f"shape of type {child.tag!r:.40}, which has no area")


def _numbers(child: Element, names: tuple[str, ...]) -> list[float]:
    return outlines.values({name: _number(child.get(name)) for name in names if name in child.attrib}, names, child.tag)


def _number(text: str | None) -> float:
    try:
        return float(text)
    except (TypeError, ValueError):
        raise Rejected("shape with a number that is none", f"{shown(text):.40}") from None


def _points(child: Element) -> list[list[float]]:
    pairs = child.get("points", "").split(";")
    return [[_number(text) for text in pair.split(",")] for pair in pairs if pair.strip()]


def _mask(child: Element, image_shape: tuple[int, int]) -> dict:
    left, top, width, height = (int(value) for value in _numbers(child, ("left", "top", "width", "height")))
    if not (0 < height <= 2 * image_shape[0] and 0 < width <= 2 * image_shape[1]):
        raise Rejected("mask with a window that is none", f"width {width}, height {height}")
    counts = np.array([_number(text) for text in child.get("rle", "").split(",")])
    is_whole = np.isfinite(counts).all() and (counts == np.round(counts)).all() and (counts >= 0).all()
    if not is_whole or counts.sum() != width * height:
        came = f"to {counts.sum():g}, not {width} * {height}"
        raise Rejected("RLE counts do not add up to the mask's window", came)
    values = np.arange(len(counts)) % 2 == 1
    crop = np.repeat(values, counts.astype(np.int64)).reshape(height, width)
    return outlines.windowed(crop, (top, left), image_shape)


def _skeleton(child: Element, category: str, where: str, joints: dict) -> LabelledObject:
    """Keypoints in the order of the label's joints, and the box around those that are in the image."""
    names = joints.setdefault(category, [])
    places = {}
    for point in child.iter("points"):
        if point.get("outside", "0") != "1":
            found = outlines.points(_points(point), "point of a skeleton")
            if len(found) != 1:
                raise Rejected("skeleton with a point of another number of places than 1", f"it has {len(found)}")
            places[point.get("label", "")] = (*found[0].tolist(), 1 if point.get("occluded") == "1" else 2)
        if point.get("label", "") not in names and len(names) < MOST_JOINTS:
            names.append(point.get("label", ""))  # of a file without its labels
    if not places:
        raise Rejected("skeleton without a point in the image")
    corners = np.array([place[:2] for place in places.values()])
    box = outlines.corner_box(corners.min(0), corners.max(0))
    rows = [(x - 0.5, y - 0.5, seen) for x, y, seen in (places.get(name, (0.5, 0.5, 0)) for name in names)]
    return LabelledObject(category, where, box=box, keypoints=tuple(np.ravel(rows).tolist()))
