"""VIA, the VGG Image Annotator 2 (1 too): a project file, or exported annotations as JSON or CSV.

VIA stores no size of an image. Its coordinates are of the image as the browser shows it, which applies EXIF's
orientation (all do since 2020), so they are taken to be of the image as people see it.

Source: VIA 2, `via.js`: `_via_img_metadata`, `shape_attributes`, `region_attributes`, the header of its CSV; `theta` of
an ellipse is in radians, clockwise. In VIA 1 regions are a table by number.
"""

import collections
import csv
import io
import json
import pathlib
import urllib.parse
from typing import Any

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import outlines
from mask_rcnn_tf.conversion.image_folder import ImageFolder
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledObject, Options, Report, category_name
from mask_rcnn_tf.conversion.text_files import read_text

METADATA = "_via_img_metadata"
COLUMNS = ("filename", "region_shape_attributes", "region_attributes")


def read(path: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads a file of VIA.

    Args:
      path: the project file, or exported annotations (.json, .csv).
      options: `images`, or else the folder of the file; `attribute`; `category` where regions have no attributes.
      report: gets what is left out.

    Returns:
      The images of the file, those without regions too.

    Raises:
      ValueError: the file is not VIA's, or has several region attributes and none is chosen.
    """
    if not path.is_file():
        raise ValueError(f"input is '{path}'; allowed: a project file or exported annotations of VIA.")
    entries = _csv_entries(path) if path.suffix.lower() == ".csv" else _json_entries(path)
    attribute = _attribute(entries, options.attribute, path)
    images = ImageFolder(options.images or path.parent)
    data = LabelledData(images.root)
    for entry in entries:
        name = entry.get("filename")
        try:
            if not isinstance(name, str) or not name:
                raise Rejected("entry without a filename", f"it is {shown(name):.60}")
            image = images.image(_found(images, name))
        except Rejected as error:
            report.lose(error, shown(name)[:200])
            continue
        for number, region in enumerate(_regions(entry), 1):
            where = f"{name}: region {number}"
            try:
                category = _category(region, attribute, options.category)
                image.objects.append(_object(region, category, where))
            except Rejected as error:
                report.lose(error, where)
        data.images.append(image)
    return data


def _found(images: ImageFolder, name: str) -> str:
    """VIA names files as they were opened: a name, a path, or an address."""
    try:
        return images.find(name)
    except Rejected:
        address = urllib.parse.urlsplit(name).path if "://" in name else name
        plain = urllib.parse.unquote(address)
        if plain == name:
            raise
        return images.find(plain)


def _json_entries(path: pathlib.Path) -> list[dict]:
    content = strict_json.read(path, "input")
    entries = content.get(METADATA, content)
    if isinstance(entries, dict):
        entries = list(entries.values())
        if all(isinstance(entry, dict) and "filename" in entry for entry in entries) and entries:
            return entries
    raise ValueError(f"input is '{path}', which VIA 2 did not write; allowed: its project file or its annotations.")


def _csv_entries(path: pathlib.Path) -> list[dict]:
    """The rows of a file, joined by image, as the JSON has them."""
    rows = csv.DictReader(io.StringIO(read_text(path, "input"), newline=None))
    try:
        rows.fieldnames = [name.lstrip("#") for name in rows.fieldnames or []]
        cells = list(rows)
    except csv.Error as error:
        raise ValueError(
            f"input is '{path}', after line {rows.line_num}: {error}; allowed: annotations of VIA."
        ) from None
    missing = [name for name in COLUMNS if name not in rows.fieldnames]
    if missing:
        raise ValueError(f"input is '{path}', a CSV without the column {missing[0]!r}; allowed: annotations of VIA.")
    entries: dict[str, dict] = {}
    for row in cells:
        entry = entries.setdefault(row["filename"], {"filename": row["filename"], "regions": []})
        shape = _cell(row["region_shape_attributes"])
        if shape != {}:  # an image without regions has a row with {}
            region = {"shape_attributes": shape, "region_attributes": _cell(row["region_attributes"])}
            entry["regions"].append(region)
    return list(entries.values())


def _cell(text: Any) -> Any:
    try:
        return strict_json.parse(text or "{}")
    except ValueError:
        return text  # named with its region


def _regions(entry: dict) -> list:
    regions = entry.get("regions") or []
    return list(regions.values()) if isinstance(regions, dict) else regions if isinstance(regions, list) else [regions]


def _attribute(entries: list[dict], chosen: str, path: pathlib.Path) -> str:
    """The region attribute that is the category; "" where regions have none."""
    counts = collections.Counter()
    for entry in entries:
        for region in _regions(entry):
            attributes = region.get("region_attributes") if isinstance(region, dict) else None
            counts.update(name for name in attributes if isinstance(name, str)) if isinstance(
                attributes, dict
            ) else None
    named = ", ".join(f"{shown(name):.40} ({count} regions)" for name, count in counts.most_common(10))
    if chosen and chosen not in counts:
        raise ValueError(f"attribute is {chosen!r:.60}; allowed: those of '{path}': {named or 'none'}.")
    if not chosen and len(counts) > 1:
        raise ValueError(f"attribute is '', and '{path}' has several: {named}; allowed: the one that is the category.")
    return chosen or next(iter(counts), "")


def _category(region: Any, attribute: str, default: str) -> str:
    """The value of the attribute: a text, or the one box that is ticked."""
    if not attribute:
        return category_name(default)
    attributes = region.get("region_attributes") if isinstance(region, dict) else None
    value = attributes.get(attribute) if isinstance(attributes, dict) else None
    if isinstance(value, dict):  # check boxes
        ticked = [name for name, is_ticked in value.items() if is_ticked]
        if len(ticked) != 1:
            raise Rejected(
                "region with several labels or none", f"{attribute} is {json.dumps(value):.60}; allowed: one"
            )
        value = ticked[0]
    return category_name(value)


def _object(region: dict, category: str, where: str) -> LabelledObject:
    shape = region.get("shape_attributes") if isinstance(region, dict) else None
    kind = shape.get("name") if isinstance(shape, dict) else None
    if kind == "rect":
        box = outlines.values(shape, ("x", "y", "width", "height"), "rect")
        return LabelledObject(category, where, box=box)
    if kind == "polygon":
        xs, ys = shape.get("all_points_x"), shape.get("all_points_y")
        if not isinstance(xs, list) or not isinstance(ys, list) or len(xs) != len(ys):
            raise Rejected("polygon whose lists of x and y do not fit", f"{shown(xs):.40}, {shown(ys):.40}")
        return LabelledObject(category, where, [outlines.polygon(list(map(list, zip(xs, ys, strict=True))))])
    if kind in ("circle", "ellipse"):
        names = ("cx", "cy", "r", "r") if kind == "circle" else ("cx", "cy", "rx", "ry")
        x, y, first, second = outlines.values(shape, names, kind)
        radians = shape.get("theta", 0.0)
        return LabelledObject(category, where, [outlines.ellipse((x, y), (first, second), radians)])
    raise Rejected(f"region of shape {shown(kind):.40}, which has no area")
