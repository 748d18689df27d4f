"""Label images: a picture of masks for each image, one value or one colour an object, 0 and black being none.

Cellpose's `*_cp_masks.png`, `*_masks.tif` and such are found by their name. A mask is in the frame that its size says:
that of the image as people see it, or of the stored pixels.

Source: MouseLand/cellpose, `cellpose/io.py`, `save_masks` (names; 16 bits, above 65535 objects a TIFF of 32) and
`docs/outputs.rst` (0 is no object, 1, 2, ... are objects).
"""

import collections
import pathlib
import re

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.conversion import label_images, outlines
from mask_rcnn_tf.conversion.image_folder import ImageFolder, files_below, folded, stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Options, Report, category_name

ENDINGS = re.compile(r"(?:_cp_masks|_masks?|_labels?|_instances?)(?:_\d+)?$", re.IGNORECASE)
FOLDERS = ("masks", "labels", "images")  # names of folders that a mask and its image may differ by
SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".gif")


def read(folder: pathlib.Path, options: Options, report: Report) -> LabelledData:
    """Reads the label images below a folder.

    Args:
      folder: of the label images. Where `options.images` is another folder each is of the image of its name, with or
        without an ending as in `ENDINGS`. Else the images are here too: beside a label image with such an ending, or
        in a folder `images` beside a folder `masks`.
      options: `images`, `category` of all objects.
      report: gets what is left out.

    Returns:
      The images that have a label image.
    """
    images = ImageFolder(options.images or folder)
    category, data = category_name(options.category), LabelledData(images.root)
    apart = images.root.resolve() != folder.resolve()
    places = collections.defaultdict(list)
    for name in images.names:
        places[folded(_wanted(name))] += [name] if apart or not _is_mask(name) else []
    for name in files_below(folder):
        if name.lower().endswith(SUFFIXES) and (apart or _is_mask(name)):
            try:
                image, values = _pair(folder / name, places[folded(_wanted(name))], images)
                image.objects = _objects(values, image, category, name)
            except Rejected as error:
                report.lose(error, name)
                continue
            data.images.append(image)
    for name in images.left():
        if apart or not _is_mask(name):
            report.lose(Rejected("image without a label image, taken as not labelled"), name)
    return data


def _is_mask(name: str) -> bool:
    return bool(ENDINGS.search(stem(name))) or any(part.lower() == FOLDERS[0] for part in name.split("/")[:-1])


def _wanted(name: str) -> str:
    """The image's name without its suffix, and without folders that name what is in them."""
    *folders, last = stem(name).split("/")
    return "/".join([*(part for part in folders if part.lower() not in FOLDERS), ENDINGS.sub("", last)])


def _pair(path: pathlib.Path, found: list[str], images: ImageFolder) -> tuple[LabelledImage, np.ndarray]:
    """The image of a label image, and its values. Raises Rejected: there is none, or it does not fit."""
    if len(found) != 1:
        came = (
            f"{found[0]} and {found[1]}" if found else f"no {_wanted(path.name)}.* below {printable(images.root, 100)}"
        )
        raise Rejected("label image that is not of one image", came)
    header = label_images.size(path)
    return images.image(found[0], header), label_images.read(path, header)


def _objects(values: np.ndarray, image: LabelledImage, category: str, name: str) -> list[LabelledObject]:
    shape = (image.height, image.width)
    return [
        LabelledObject(category, f"{name}: value {value}", outlines.windowed(crop, origin, shape))
        for value, crop, origin in label_images.masks(values)
    ]
