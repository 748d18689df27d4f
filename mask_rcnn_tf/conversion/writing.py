"""What writers of folders share: the folder, copies of images, names without suffix, masks of objects."""

import pathlib
import shutil

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.coco.segmentation import mask_runs
from mask_rcnn_tf.conversion.image_folder import folded, stem
from mask_rcnn_tf.conversion.labelled import LabelledImage, LabelledObject, Report


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
