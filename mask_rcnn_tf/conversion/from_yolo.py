"""YOLO as Ultralytics has it: a text file an image, a line an object, places as shares of the image's sides.

The shares are of the image as people see it: Ultralytics reads images by OpenCV, which applies EXIF's orientation.

Source: docs.ultralytics.com/datasets/segment, /detect and /pose (lines, data.yaml); ultralytics `data/utils.py`
(`img2label_paths`: the last folder `images` becomes `labels`; an image without a text file has no objects).
"""

import pathlib
from typing import NamedTuple

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.coco.segmentation import numbers
from mask_rcnn_tf.conversion.image_folder import ImageFolder, files_below, stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Options, Report
from mask_rcnn_tf.conversion.text_files import read_text
from mask_rcnn_tf.conversion.yolo_names import DataFile, find_data_file

MOST_BYTES = 2**24
BEYOND = 0.01  # that a place may lie outside of 0..1, as rounding leaves it
ALLOWED = "allowed: a class and 4 numbers of a box, or 6 or more, an even count, of a polygon"
NO_FILE = "images have no text file: taken as images without objects, as Ultralytics does"


class Sheet(NamedTuple):
    """What a line is read with."""

    data: DataFile
    height: int
    width: int


def read(path: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads a data set of YOLO: boxes, polygons, or poses where data.yaml has `kpt_shape`.

    Args:
      path: its folder, or data.yaml in it; or the folder of the text files, with `options.images`.
      options: `images`; `split`, an entry of data.yaml such as "train".
      report: gets what is left out.

    Returns:
      All images, or those of the split.

    Raises:
      ValueError: no names of classes, no text file of an image, or no such split.
    """
    folder, found = find_data_file(path)
    images = ImageFolder(options.images or folder)
    data = LabelledData(images.root, categories=found.names)
    data.keypoints = {name: (list(joints), []) for name, joints in zip(found.names, found.joints, strict=False)}
    texts = {stem(name): name for name in files_below(folder) if name.lower().endswith(".txt")}
    chosen = found.of_split(options.split, images) if options.split else images.names
    matched = {name: next((texts[key] for key in _keys(name) if key in texts), None) for name in chosen}
    if not any(matched.values()):
        example = f", such as '{next(_keys(chosen[0]))}.txt'" if chosen else ""
        raise ValueError(f"input is '{printable(path)}', without a text file of an image{example}.")
    for name, text in matched.items():
        try:
            image = images.image(name)
            image.objects = _objects(folder / text, text, image, found, report) if text else []
        except Rejected as error:
            report.lose(error, name)
            continue
        if not text:
            report.note(NO_FILE)
        data.images.append(image)
    if not options.split:
        for text in sorted(set(texts.values()) - set(matched.values()) - found.other_texts):
            if "labels" in text.split("/"):
                report.lose(Rejected("text file without an image"), text)
    return data


def _keys(name: str):
    """Where the text file of an image may be, without its suffix: the first that is there counts."""
    parts = stem(name).split("/")
    places = [place for place, part in enumerate(parts[:-1]) if part.lower() == "images"]
    for place in places[::-1]:
        yield "/".join([*parts[:place], "labels", *parts[place + 1 :]])
        yield "/".join([*parts[:place], *parts[place + 1 :]])
    yield "/".join(parts)


def _objects(path: pathlib.Path, name: str, image: LabelledImage, data: DataFile, report: Report) -> list:
    try:
        text = read_text(path, "it", MOST_BYTES)
    except ValueError as error:
        raise Rejected("text file that cannot be read", str(error).rstrip(".")) from None
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            where = f"{name}: line {number}"
            try:
                found.append(_object(line.split(), where, Sheet(data, image.height, image.width)))
            except Rejected as error:
                report.lose(error, where)
    return found


def _object(words: list[str], where: str, sheet: Sheet) -> LabelledObject:
    try:
        index, values = float(words[0]), numbers([float(word) for word in words[1:]] or [[]], "line").ravel()
    except ValueError:
        raise Rejected("line that is not numbers", f"{' '.join(words)!r:.60}; {ALLOWED}") from None
    names = sheet.data.names
    if index not in range(len(names)):
        raise Rejected("class that the names lack", f"{words[0]:.20}; allowed: 0 to {len(names) - 1}")
    category, sides = names[int(index)], np.array([sheet.width, sheet.height])
    if sheet.data.keypoints:
        return _pose(values, category, where, sheet)
    if len(values) == 4:
        return LabelledObject(category, where, box=_box(values, sides))
    if len(values) < 6 or len(values) % 2:
        raise Rejected("line with a number of numbers that is none", f"{len(values)} and the class; {ALLOWED}")
    _check(values)
    return LabelledObject(category, where, [(values.reshape(-1, 2) * sides).ravel().tolist()])


def _check(values: np.ndarray):
    if values.min() < -BEYOND or values.max() > 1 + BEYOND:
        extreme = values.flat[np.abs(values - 0.5).argmax()]
        raise Rejected("places that are no shares of the image's sides", f"one is {extreme:g}; allowed: 0 to 1")


def _box(values: np.ndarray, sides: np.ndarray) -> list[float]:
    """[x, y, width, height] in pixels of a centre and sides as shares."""
    _check(values)
    size = values[2:] * sides
    return [*(values[:2] * sides - size / 2).tolist(), *size.tolist()]


def _pose(values: np.ndarray, category: str, where: str, sheet: Sheet) -> LabelledObject:
    """A box and its keypoints; in COCO these count from centres of pixels."""
    count, width = sheet.data.keypoints
    if len(values) != 4 + count * width:
        raise Rejected("line with a number of numbers that is none", f"{len(values)}; allowed: {4 + count * width}")
    sides = np.array([sheet.width, sheet.height])
    rows = values[4:].reshape(count, width)
    _check(rows[:, :2])
    seen = rows[:, 2] if width == 3 else np.where(rows.any(1), 2, 0)
    places = np.where(seen[:, None] > 0, rows[:, :2] * sides - 0.5, 0)
    joints = tuple(np.column_stack([places, seen]).ravel().tolist())
    return LabelledObject(category, where, box=_box(values[:4], sides), keypoints=joints)
