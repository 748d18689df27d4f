"""Pascal VOC: an XML file of boxes an image, and the masks of `SegmentationObject` and `SegmentationClass`.

A file states the size of its image, which says whether its boxes are of the turned or the stored pixels. The first
pixel of VOC's own files is 1, that of the tools that write its format 0.

Source: VOC2012 development kit, 2.6 "Segmentation Ground Truth" (value i of SegmentationObject is the i-th object of
the XML file, 255 is nobody's); docs.cvat.ai, "Pascal VOC" (labelmap.txt); labelme `labelme2voc.py` (class_names.txt).
"""

import os
import pathlib
from xml.etree.ElementTree import Element

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import outlines
from mask_rcnn_tf.conversion.image_folder import ImageFolder, files_below, stem
from mask_rcnn_tf.conversion.labelled import (
    LabelledData,
    LabelledImage,
    LabelledObject,
    Options,
    Report,
    category_name,
    stated_shape,
)
from mask_rcnn_tf.conversion.text_files import read_text, read_xml
from mask_rcnn_tf.conversion.voc_masks import MASK_FOLDERS, MaskFolder

XML, PICTURES = "Annotations", "JPEGImages"
CORNERS = ("xmin", "ymin", "xmax", "ymax")
ITS_OWN = "The VOC"  # how the database is called in VOC's own files


def read(folder: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads XML files, and masks where there are some, below a folder.

    Args:
      folder: with `Annotations` and `JPEGImages`, or with XML files beside their images.
      options: `images`; `split`, a list of `ImageSets` such as "train".
      report: gets what is left out.

    Returns:
      The images that have an XML file or a mask.

    Raises:
      ValueError: there is no such split.
    """
    images = ImageFolder(options.images or folder, without=MASK_FOLDERS)
    data, masks = LabelledData(images.root), MaskFolder(folder)
    files = [name for name in files_below(folder) if name.lower().endswith(".xml")]
    chosen = _of_split(folder, options.split) if options.split else None
    for name in files:
        if chosen is None or stem(name).rpartition("/")[2] in chosen:
            try:
                root = _root(folder / name)
                image, objects = _image(root, name, images), _objects(root, name, report)
                image.objects = masks.matched(objects, image, report)
            except Rejected as error:
                report.lose(error, name)
                continue
            data.images.append(image)
    _add_masks_alone(data, masks, images, chosen, report)
    data.categories = masks.names.listed
    for name in [] if chosen else images.left():
        report.lose(Rejected("image without an XML file or a mask, taken as not labelled"), name)
    return data


def _root(path: pathlib.Path) -> Element:
    try:
        root = read_xml(path, "it")
    except ValueError as error:
        raise Rejected("XML file that cannot be read", str(error).rstrip(".")) from None
    if root.tag != "annotation":
        raise Rejected("XML file that is not VOC's", f"its root is {shown(root.tag):.60}")
    return root


def _add_masks_alone(data: LabelledData, masks: MaskFolder, images: ImageFolder, chosen: set | None, report: Report):
    """Images whose masks have no XML file."""
    for key in masks.left():
        if chosen is None or key.rpartition("/")[2] in chosen:
            try:
                image = images.image(images.find(key, any_suffix=True), masks.shape(key))
                image.objects = masks.matched([], image, report, key)
            except Rejected as error:
                report.lose(error, f"mask {key}")
                continue
            data.images.append(image)


def _of_split(folder: pathlib.Path, split: str) -> set[str]:
    """Names without suffix of a list of `ImageSets`: that of masks, or else of boxes."""
    lists = [name for name in files_below(folder) if "ImageSets" in name.split("/") and name.endswith(".txt")]
    found = [name for name in lists if stem(name).rpartition("/")[2] == split]
    if not found:
        names = sorted({stem(name).rpartition("/")[2] for name in lists if "_" not in name.rpartition("/")[2]})
        raise ValueError(f"split is {split!r:.60}; allowed: {', '.join(names[:20]) or 'none, there is no ImageSets'}.")
    best = next((name for name in found if "/Segmentation/" in f"/{name}"), found[0])
    lines = read_text(folder / best, "list of images").splitlines()
    return {line.split()[0].rpartition("/")[2] for line in lines if line.strip()}


def _image(root: Element, name: str, images: ImageFolder) -> LabelledImage:
    stated = stated_shape(root.findtext("size/height"), root.findtext("size/width"))
    named, own = (root.findtext("filename") or "").strip(), stem(name).rpartition("/")[2]
    place = os.path.dirname(name)
    folders = [place, place.replace(XML, PICTURES), place.replace(XML, "images")]
    folders += [""] * (XML in place.split("/"))
    return images.image(_found(images, [text for text in (named, own) if text], folders), stated)


def _found(images: ImageFolder, names: list[str], folders: list[str]) -> str:
    """The first image that fits. Raises Rejected: none does, for the reason of the first that was looked for."""
    first = None
    for folder in dict.fromkeys(folders):
        for name in names:
            try:
                return images.find(name, folder, any_suffix=True)
            except Rejected as error:
                first = first or error
    raise first


def _objects(root: Element, name: str, report: Report) -> list[LabelledObject]:
    """The boxes of a file, in its order."""
    offset = 1 if (root.findtext("source/database") or "").startswith(ITS_OWN) else 0
    found = []
    for number, element in enumerate(root.findall("object"), 1):
        where = f"{name}: object {number} ({shown(element.findtext('name')):.40})"
        try:
            found.append(LabelledObject(category_name(element.findtext("name")), where, box=_box(element, offset)))
        except Rejected as error:
            report.lose(error, where)
            found.append(None)  # masks count it
            continue
        if (element.findtext("difficult") or "").strip() == "1":
            report.note("objects are marked as difficult, and kept")
        if element.find("polygon") is not None:
            report.note("objects have a polygon in their XML, which is not read: their box is")
    return found


def _box(element: Element, offset: int) -> list[float]:
    try:
        table = {tag: float(element.findtext(f"bndbox/{tag}") or "") for tag in CORNERS}
    except ValueError:
        texts = {tag: element.findtext(f"bndbox/{tag}") for tag in CORNERS}
        raise Rejected("object whose box is not four numbers", f"it is {shown(texts):.100}") from None
    x1, y1, x2, y2 = outlines.values(table, CORNERS, "box")
    return [x1 - offset, y1 - offset, x2 - x1 + offset, y2 - y1 + offset]
