"""What writers of folders share: the folder, copies of images, names without suffix, masks of objects."""

import pathlib
import shutil

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.coco.segmentation import mask_runs
from mask_rcnn_tf.conversion.image_folder import folded, stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report, category_name


def new_folder(path: pathlib.Path):
    """Makes a folder that is to be written into. Raises ValueError: there is something at its place, or in it."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"output is '{printable(path)}', which exists; allowed: a new or an empty folder.")
    path.mkdir(parents=True, exist_ok=True)


def usable(images: list[LabelledImage], report: Report, shows: str = "") -> list[LabelledImage]:
    """The images that a format can have.

    Args:
      images: all of them.
      report: gets those that are left out.
      shows: the tool, where it turns images by EXIF: those whose objects are of the stored pixels are left out.

    Returns:
      Images whose names without suffix differ.
    """
    found, stems = [], set()
    for image in images:
        key = folded(stem(image.file_name))
        try:
            if key in stems:
                raise Rejected("image whose name is another one's but for its suffix")
            if shows and image.is_as_stored:
                raise Rejected(f"image that {shows} turns by EXIF, labelled as it is stored: save it without EXIF")
        except Rejected as error:
            report.lose(error, image.file_name)
            continue
        stems.add(key)
        found.append(image)
    return found


def copy(image: LabelledImage, folder: pathlib.Path) -> pathlib.Path:
    """Copies an image below a folder, to its own name. Returns its path."""
    path = folder / image.file_name
    path.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(image.path, path)
    return path


def write_text(path: pathlib.Path, text: str):
    """Writes a text in UTF-8, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def crop(item: LabelledObject, image: LabelledImage) -> tuple[np.ndarray, tuple[int, int]]:
    """The pixels of an object's mask.

    Args:
      item: the object, which has a mask.
      image: its image.

    Returns:
      (bool [ch, cw], (y, x) of its corner in the image).

    Raises:
      Rejected: the mask has no pixel, or cannot be used.
    """
    return rle.crop(mask_runs(item.segmentation, image.height, image.width), image.height, image.width)


def corners(item: LabelledObject, image: LabelledImage) -> list[float]:
    """x1, y1, x2, y2 of an object's box, that of its mask where it has one, pixels."""
    if item.segmentation is None:
        x, y, width, height = map(float, item.box)
        return [x, y, x + width, y + height]
    runs = mask_runs(item.segmentation, image.height, image.width)
    y1, x1, y2, x2 = rle.box(runs, image.height, image.width).tolist()
    return [x1, y1, x2, y2]


def note_skeletons(data: LabelledData, report: Report):
    """Says that what joins the keypoints of categories is not written."""
    if joined := sum(bool(pairs) for _, pairs in data.keypoints.values()):
        report.note("categories have lines between keypoints (a skeleton), which are not written", joined)


def joint_names(data: LabelledData, category: str, count: int) -> list[str]:
    """Names of the keypoints of a category: its own where they can be names, all different, else by number.

    Args:
      data: with the names that categories have.
      category: its name.
      count: J.

    Returns:
      J names.
    """
    named, _ = data.keypoints.get(category, ([], []))
    try:
        names = [category_name(name) for name in named]
    except Rejected:
        names = []
    if len(names) == count == len(set(names)):
        return names
    return [f"keypoint {number}" for number in range(1, count + 1)]
