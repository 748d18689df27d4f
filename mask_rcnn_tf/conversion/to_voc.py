"""Pascal VOC: `JPEGImages`, `Annotations`, masks in `SegmentationObject` and `SegmentationClass`, labelmap.txt.

Source: VOC2012 development kit; docs.cvat.ai, "Pascal VOC" (labelmap.txt, the list of `ImageSets`).
"""

import pathlib
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import to_masks, writing
from mask_rcnn_tf.conversion.image_folder import stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, Report
from mask_rcnn_tf.conversion.voc_masks import CLASSES, LABEL_MAP, OBJECTS, palette

MOST = 254  # objects of an image, and classes: 0 is nobody's and 255 the border


def write(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a data set with copies of the images. Args and Raises as `to_yolo.write`; also for over 254 categories."""
    names = data.category_names()
    if len(names) > MOST:
        raise ValueError(f"to is 'voc' with {len(names)} categories; allowed: at most {MOST}, the values of its masks.")
    writing.new_folder(folder)
    classes, listed = {name: index for index, name in enumerate(names, 1)}, []
    for image in writing.usable(data.images, report):
        for item in [item for item in image.objects if item.is_crowd]:
            report.lose(Rejected("region of several objects (a crowd), for which VOC has no place"), item.where)
        image.objects = [item for item in image.objects if not item.is_crowd]
        name = stem(image.file_name)
        writing.copy(image, folder / "JPEGImages")
        tree = ElementTree.ElementTree(_annotation(image, report))
        ElementTree.indent(tree)
        path = folder / "Annotations" / f"{name}.xml"
        path.parent.mkdir(parents=True, exist_ok=True)
        tree.write(path, encoding="utf-8")
        if any(item.segmentation is not None for item in image.objects):
            values = to_masks.painted(image, report, MOST)
            table = np.array([0, *(classes[item.category] for item in image.objects)])
            _save(values, folder / OBJECTS / f"{name}.png")
            _save(table[values], folder / CLASSES / f"{name}.png")
        listed.append(name)
    lists = "".join(f"{name}\n" for name in listed)
    for kind in ("Main", "Segmentation"):
        writing.write_text(folder / "ImageSets" / kind / "default.txt", lists)
    colours = palette()[: len(names) + 1].tolist()
    lines = [f"{name}:{','.join(map(str, rgb))}::" for name, rgb in zip(["background", *names], colours, strict=True)]
    writing.write_text(folder / LABEL_MAP, "\n".join(["# label:color_rgb:parts:actions", *lines, ""]))


def _save(values: np.ndarray, path: pathlib.Path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(values.astype(np.uint8))
    image.putpalette(palette().tobytes())
    image.save(path)


def _annotation(image: LabelledImage, report: Report) -> ElementTree.Element:
    root = ElementTree.Element("annotation")
    has_masks = any(item.segmentation is not None for item in image.objects)
    _add(root, {"folder": "JPEGImages", "filename": image.file_name, "source": {"database": "Unknown"}})
    _add(root, {"size": {"width": image.width, "height": image.height, "depth": 3}, "segmented": int(has_masks)})
    for item in image.objects:
        if item.keypoints:
            report.note("objects have keypoints, which are not written")
        x1, y1, x2, y2 = writing.corners(item, image)
        box = {"xmin": x1, "ymin": y1, "xmax": x2, "ymax": y2}
        flags = {"pose": "Unspecified", "truncated": 0, "difficult": 0}
        _add(root, {"object": {"name": item.category, **flags, "bndbox": box}})
    return root


def _add(parent: ElementTree.Element, content: dict):
    for tag, value in content.items():
        child = ElementTree.SubElement(parent, tag)
        if isinstance(value, dict):
            _add(child, value)
        else:
            child.text = f"{value:g}" if isinstance(value, float) else str(value)
