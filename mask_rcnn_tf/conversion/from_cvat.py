"""CVAT for images 1.1: one XML file of a task or project.

Each image has its width and height, which say whether its coordinates are of the turned or the stored pixels.

Source: docs.cvat.ai, "XML annotation format" (1.1: elements and attributes; masks are runs along the rows of a window,
the first of zeros); "formats: COCO" (shapes of one label and group are one object).
"""

import pathlib
import re
from collections.abc import Iterator
from xml.etree.ElementTree import Element

import numpy as np

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import grouping, outlines
from mask_rcnn_tf.conversion.grouping import Part
from mask_rcnn_tf.conversion.image_folder import ImageFolder, files_below
from mask_rcnn_tf.conversion.labelled import (
    LabelledData,
    LabelledImage,
    LabelledObject,
    Options,
    Report,
    category_name,
    stated_shape,
)
from mask_rcnn_tf.conversion.text_files import read_xml

IGNORED = ("attribute", "tag")  # of an image: tags are said, attributes are no shapes
MOST_JOINTS = 1000
MOST_SVG = 2**18  # letters
SVG_TAG, ATTRIBUTE = re.compile(r"<(line|circle)\b([^<>]*)>"), re.compile(r'([\w-]+)="([^"<>]*)"')


def read(path: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads an export of CVAT.

    Args:
      path: annotations.xml, or the folder that it is in.
      options: `images`, or else the folder `images` beside the file, or the file's; `split`, an image's `subset`.
      report: gets what is left out.

    Returns:
      The images of the file, those without shapes too.

    Raises:
      ValueError: it is no such file, or there is no such split.
    """
    path = path if path.is_file() else _only_xml(path)
    root = read_xml(path, "input")
    if root.tag != "annotations" or root.find("image") is None:
        came = "tracks of a video" if root.find("track") is not None else f"the element {root.tag!r:.40} without images"
        raise ValueError(f"input is '{path}' with {came}; allowed: an export as 'CVAT for images 1.1'.")
    beside = path.parent / "images"
    images = ImageFolder(options.images or (beside if beside.is_dir() else path.parent))
    data = LabelledData(images.root)
    joints = _labels(root, data)
    elements = [element for element in root.iter("image") if options.split in ("", element.get("subset", ""))]
    if not elements:
        subsets = sorted({element.get("subset", "") for element in root.iter("image")} - {""})
        raise ValueError(
            f"split is {options.split!r:.60}; allowed: {', '.join(subsets) or 'none, there are no subsets'}."
        )
    for element in elements:
        name = element.get("name", "")
        try:
            stated = stated_shape(element.get("height"), element.get("width"))
            image = images.image(images.find(name), stated)
        except Rejected as error:
            report.lose(error, f"image {shown(name)[:200]}")
            continue
        image.objects = _objects(element, image, joints, report)
        data.images.append(image)
    for item in (item for image in data.images for item in image.objects if item.keypoints):
        item.keypoints += (0.0,) * (3 * len(joints[item.category]) - len(item.keypoints))  # joints that came later
    data.keypoints = {name: (named, _joined(root, name, named)) for name, named in joints.items()}
    return data


def _only_xml(folder: pathlib.Path) -> pathlib.Path:
    files = [name for name in files_below(folder) if name.lower().endswith(".xml")]
    chosen = [name for name in files if name.split("/")[-1].lower() == "annotations.xml"] or files
    if len(chosen) != 1:
        came = f"{len(chosen)} XML files" if chosen else "no XML file"
        raise ValueError(f"input is '{folder}' with {came}; allowed: one, or the path of a file.")
    return folder / chosen[0]


def _labels(root: Element, data: LabelledData) -> dict[str, list[str]]:
    """Sets the categories that the file knows; gives the joints of those that are skeletons, in their order."""
    names, joints = [], {}
    for label in root.iter("label"):
        name, parent = (label.findtext(tag) for tag in ("name", "parent"))
        if name and parent:
            joints.setdefault(parent, []).append(name)
        elif name and name.strip().isprintable():
            names.append(name.strip())
    data.categories = tuple(dict.fromkeys(names))
    return joints


def _joined(root: Element, name: str, joints: list[str]) -> list[list[int]]:
    """Pairs of joints, from 1, that the picture of a skeleton joins: the lines and nodes of its SVG."""
    text = next((label.findtext("svg") for label in root.iter("label") if label.findtext("name") == name), "") or ""
    tags = [(tag, dict(ATTRIBUTE.findall(rest))) for tag, rest in SVG_TAG.findall(text[:MOST_SVG])]
    nodes = {found.get("data-node-id"): found.get("data-label-name") for tag, found in tags if tag == "circle"}
    ends = [
        [nodes.get(found.get(f"data-node-{end}")) for end in ("from", "to")] for tag, found in tags if tag == "line"
    ]
    return [[joints.index(end) + 1 for end in pair] for pair in ends if all(end in joints for end in pair)]


def _objects(element: Element, image: LabelledImage, joints: dict, report: Report) -> list[LabelledObject]:
    skeletons: list[LabelledObject] = []
    parts = list(_parts(element, image, joints, skeletons, report))
    return grouping.objects(parts, image, report) + skeletons


def _parts(element: Element, image: LabelledImage, joints: dict, skeletons: list, report: Report) -> Iterator[Part]:
    for number, child in enumerate(element, 1):
        where = f"{image.file_name}: {child.tag} {number} ({shown(child.get('label')):.40})"
        try:
            if child.tag in IGNORED:
                raise Rejected(f"{child.tag} of a whole image")
            category, group = category_name(child.get("label")), child.get("group_id", "0")
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
    if (counts % 1 != 0).any() or (counts < 0).any() or counts.sum() != width * height:
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
            ((x, y),) = _points(point)[:1] or [(0.0, 0.0)]
            places[point.get("label", "")] = (x, y, 1 if point.get("occluded") == "1" else 2)
        if point.get("label", "") not in names and len(names) < MOST_JOINTS:
            names.append(point.get("label", ""))  # of a file without its labels
    if not places:
        raise Rejected("skeleton without a point in the image")
    corners = np.array([place[:2] for place in places.values()])
    box = outlines.corner_box(corners.min(0), corners.max(0))
    rows = [(x - 0.5, y - 0.5, seen) for x, y, seen in (places.get(name, (0.5, 0.5, 0)) for name in names)]
    return LabelledObject(category, where, box=box, keypoints=tuple(np.ravel(rows).tolist()))
