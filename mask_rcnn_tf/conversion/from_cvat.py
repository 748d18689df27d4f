"""CVAT 1.1: one XML file of a task, a job or a project, for images or for video.

Each image has its width and height, which say whether its coordinates are of the turned or the stored pixels.

Source: docs.cvat.ai, "XML annotation format"; cvat, `dataset_manager/formats/cvat.py`.
"""

import pathlib
import re
from xml.etree.ElementTree import Element

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import cvat_shapes, cvat_tracks
from mask_rcnn_tf.conversion.cvat_shapes import Shape
from mask_rcnn_tf.conversion.image_folder import ImageFolder, files_below
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, Options, Report, stated_shape
from mask_rcnn_tf.conversion.text_files import read_xml

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
    tag = next((name for name in ("image", "track") if root.find(name) is not None), "")
    if root.tag != "annotations" or not tag:
        came = f"the element {root.tag!r:.40} without images and tracks"
        raise ValueError(f"input is '{path}' with {came}; allowed: an export as 'CVAT for images 1.1' or 'for video'.")
    _check_split(root, tag, options.split)
    beside = path.parent / "images"
    images = ImageFolder(options.images or (beside if beside.is_dir() else path.parent))
    data = LabelledData(images.root)
    joints = _labels(root, data)
    read_all = _images if tag == "image" else cvat_tracks.frames
    data.images = read_all(root, images, joints, options.split, report)
    for item in (item for image in data.images for item in image.objects if item.keypoints):
        item.keypoints += (0.0,) * (3 * len(joints[item.category]) - len(item.keypoints))  # joints that came later
    data.keypoints = {name: (named, _joined(root, name, named)) for name, named in joints.items() if named}
    return data


def _only_xml(folder: pathlib.Path) -> pathlib.Path:
    files = [name for name in files_below(folder) if name.lower().endswith(".xml")]
    chosen = [name for name in files if name.split("/")[-1].lower() == "annotations.xml"] or files
    if len(chosen) != 1:
        came = f"{len(chosen)} XML files" if chosen else "no XML file"
        raise ValueError(f"input is '{folder}' with {came}; allowed: one, or the path of a file.")
    return folder / chosen[0]


def _check_split(root: Element, tag: str, split: str):
    subsets = {element.get("subset", "") for element in root.iter(tag)}
    if split and split not in subsets:
        named = ", ".join(sorted(subsets - {""}))
        raise ValueError(f"split is {split!r:.60}; allowed: {named or 'none, there are no subsets'}.")


def _images(
    root: Element, images: ImageFolder, joints: dict[str, list[str]], split: str, report: Report
) -> list[LabelledImage]:
    """The images of an export for images."""
    for track in root.iterfind("track"):
        report.lose(Rejected("track in a file of images"), f"track {shown(track.get('id')):.40}")
    found = []
    for element in root.iter("image"):
        if split not in ("", element.get("subset", "")):
            continue
        name = element.get("name", "")
        try:
            stated = stated_shape(element.get("height"), element.get("width"))
            image = images.image(images.find(name), stated)
        except Rejected as error:
            report.lose(error, f"image {shown(name)[:200]}")
            continue
        shapes = [
            Shape(child, f"{child.tag} {number}", child.get("label"), child.get("group_id", "0"))
            for number, child in enumerate(element, 1)
        ]
        image.objects = cvat_shapes.objects(shapes, image, joints, report)
        found.append(image)
    return found


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
