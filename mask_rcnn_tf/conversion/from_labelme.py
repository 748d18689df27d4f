"""LabelMe: a JSON file an image, beside it or with the way to it.

Coordinates are of the image as people see it: LabelMe applies EXIF's orientation before it shows and measures one.

Source: wkentaro/labelme, `labelme/label_file.py` (keys), `utils/shape.py` and `examples/instance_segmentation/
labelme2coco.py` (types of shapes; one label with one group_id is one object); its issue 904 (points of an object have
its group_id). A point of an object is its keypoint, named by its label, and covered where its flag `occluded` is set.
"""

import base64
import binascii
import pathlib
import posixpath
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import numpy as np

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import grouping, joints, label_images, outlines
from mask_rcnn_tf.conversion.grouping import Part
from mask_rcnn_tf.conversion.image_folder import MISSING, ImageFolder, files_below, stem
from mask_rcnn_tf.conversion.joints import Joint
from mask_rcnn_tf.conversion.labelled import (
    LabelledData,
    LabelledImage,
    LabelledObject,
    Options,
    Report,
    category_name,
    relative,
    stated_shape,
)

IGNORED = ("__ignore__", "_background_")  # as its labels.txt begin
OCCLUDED = "occluded"  # flag of a point


def read(folder: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads every JSON file of LabelMe below a folder.

    Args:
      folder: of the JSON files; the images too unless `options.images` says otherwise.
      options: `images`.
      report: gets what is left out.

    Returns:
      The images that have a JSON file. An image without one was not labelled yet, and is left out.
    """
    images = ImageFolder(options.images or folder)
    data = LabelledData(images.root)
    owned: list[tuple[LabelledObject, Joint]] = []
    for name in files_below(folder):
        if name.lower().endswith(".json"):
            try:
                content = _content(folder / name)
                image = _image(content, folder / name, images)
            except Rejected as error:
                report.lose(error, name)
                continue
            points: list[tuple[Any, Joint]] = []
            grouped = grouping.grouped(_parts(content["shapes"], image, points, name, report), image, report)
            image.objects = [item for _, item in grouped]
            owned += _owned(points, grouped, report)
            data.images.append(image)
    joints.attach(owned, data, report)
    for name in images.left():
        report.lose(Rejected("image without a JSON file of LabelMe, taken as not labelled"), name)
    return data


def _content(path: pathlib.Path) -> dict:
    try:
        content = strict_json.read(path, "it", None)
    except ValueError as error:
        raise Rejected("JSON file that cannot be read", str(error).rstrip(".")) from None
    if not isinstance(content, dict) or not isinstance(content.get("shapes"), list):
        raise Rejected("JSON file that is not LabelMe's", "it has no list 'shapes'")
    return content


def _image(content: dict, path: pathlib.Path, images: ImageFolder) -> LabelledImage:
    beside = relative(path.parent, images.root)
    stated = stated_shape(content.get("imageHeight"), content.get("imageWidth"))
    named = content.get("imagePath")
    own = stem(path.name)
    if not isinstance(named, str) or not named:
        return images.image(images.find(own, beside, any_suffix=True), stated)
    try:
        return images.image(images.find(named, beside), stated)
    except Rejected as error:
        renamed = _beside(images, own, beside) if error.kind == MISSING else ""
        if not renamed:
            hint = "; imageData holds it: save it as a file" if content.get("imageData") else ""
            raise Rejected(error.kind, error.detail + hint * (error.kind == MISSING)) from None
    return images.image(renamed, stated)


def _beside(images: ImageFolder, own: str, beside: str) -> str:
    """The image in the folder of a file that is called as it, renamed or saved in another format with it; or ""."""
    try:
        name = images.find(own, beside, any_suffix=True)
    except Rejected:
        return ""
    return name if posixpath.dirname(name) == beside.removeprefix(".") else ""


def _parts(shapes: list, image: LabelledImage, points: list, name: str, report: Report) -> Iterator[Part]:
    """The shapes of a file; those that are points of a group go to `points`."""
    for number, shape in enumerate(shapes, 1):
        where = f"{name}: shape {number}"
        try:
            if not isinstance(shape, dict):
                raise Rejected("shape that is no table", f"it is {shown(shape):.60}")
            where += f" ({shown(shape.get('label')):.40})"
            category = category_name(shape.get("label"))
            if category in IGNORED:
                raise Rejected(f"shape labelled {category!r}, which is no object to LabelMe's own tools either")
            group = shape.get("group_id")
            if shape.get("shape_type") == "point" and group is not None:
                points.append((group, _joint(shape, category, where)))
                continue
            segmentation, box = _shape(shape, (image.height, image.width))
            yield Part(category, where, group, segmentation, box)
        except Rejected as error:
            report.lose(error, where)


def _joint(shape: dict, name: str, where: str) -> Joint:
    points = outlines.points(shape.get("points"), "point")
    if len(points) != 1:
        raise Rejected("point of another number of points than 1", f"it has {len(points)}")
    flags = shape.get("flags")
    is_covered = isinstance(flags, dict) and flags.get(OCCLUDED) is True
    return Joint(name, *points[0].tolist(), where, 1 if is_covered else 2)


def _owned(
    points: list[tuple[Any, Joint]], grouped: list[tuple[Any, LabelledObject]], report: Report
) -> list[tuple[LabelledObject, Joint]]:
    """Points with the object of their group."""
    groups = defaultdict(list)
    for group, item in grouped:
        groups[repr(group)].append(item)
    found = []
    for group, joint in points:
        items = groups[repr(group)]
        if len(items) == 1:
            found.append((items[0], joint))
        else:
            kind = f"point whose group has {'several objects' if items else 'no object'}"
            report.lose(Rejected(kind, f"group_id {shown(group):.40}"), joint.where)
    return found


def _shape(shape: dict, image_shape: tuple[int, int]) -> tuple[list | dict | None, list[float] | None]:
    """COCO's segmentation of a shape, or else its box. Raises Rejected: it is neither."""
    kind = shape.get("shape_type") or "polygon"
    if kind in ("polygon", "oriented_rectangle"):
        return [outlines.polygon(shape.get("points"))], None
    if kind not in ("rectangle", "circle", "mask"):
        raise Rejected(f"shape of type {shown(kind):.40}, which has no area")
    points = outlines.points(shape.get("points"), str(kind))
    if kind == "rectangle" and len(points) == 4:
        return [points.ravel().tolist()], None
    if len(points) != 2:
        raise Rejected(f"{kind} of another number of points than 2", f"it has {len(points)}")
    if kind == "rectangle":
        return None, outlines.corner_box(*points)
    if kind == "circle":
        radius = float(np.linalg.norm(points[1] - points[0]))
        return [outlines.ellipse(tuple(points[0]), (radius, radius))], None
    return _mask(shape.get("mask"), points, image_shape), None


def _mask(text: object, points: np.ndarray, image_shape: tuple[int, int]) -> dict:
    """A mask: a PNG in base64 from the first point on; a second one that is a whole pixel ends it, as in LabelMe."""
    try:
        content = base64.b64decode(text if isinstance(text, str) else b"?", validate=True)
    except (binascii.Error, ValueError):
        raise Rejected("mask that cannot be decoded", f"it is {shown(text):.40}; allowed: a PNG in base64") from None
    height, width = label_images.shape_of(content, "mask")
    if height > 2 * image_shape[0] or width > 2 * image_shape[1]:
        raise Rejected("mask that is larger than the image", f"{width} x {height} (width x height)")
    crop = label_images.decode(content, (height, width), "mask") > 0
    (x, y), (last_x, last_y) = points.round().astype(int).tolist()
    if (points == np.round(points)).all():
        crop = crop[: max(0, last_y + 1 - y), : max(0, last_x + 1 - x)]
    return outlines.windowed(crop, (y, x), image_shape)
