"""Label images: a picture of grey values for each image, one value an object, as Cellpose and others read them."""

import pathlib

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion import writing
from mask_rcnn_tf.conversion.image_folder import stem
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, Report

ENDING = "_masks"
SIXTEEN_BITS = 65535


def write(data: LabelledData, folder: pathlib.Path, report: Report):
    """Writes a label image for each image, and no copy of it: 16 bits in a PNG, above 65535 objects 32 in a TIFF.

    Args and Raises as `to_yolo.write`.
    """
    writing.new_folder(folder)
    if len(data.category_names()) > 1:
        report.note("categories are one in label images", len(data.category_names()))
    for image in writing.usable(data.images, report):
        for item in image.objects:
            if item.segmentation is None or item.is_crowd:
                kind = "object without a mask, or crowd, for which a label image has no place"
                report.lose(Rejected(kind), item.where)
        values = painted(image, report)
        path = folder / f"{stem(image.file_name)}{ENDING}"
        path.parent.mkdir(parents=True, exist_ok=True)
        if values.max(initial=0) <= SIXTEEN_BITS:
            Image.fromarray(values.astype(np.uint16)).save(path.with_name(f"{path.name}.png"))
        else:
            Image.fromarray(values).save(path.with_name(f"{path.name}.tif"))


def painted(image: LabelledImage, report: Report, most: int = 2**31 - 1) -> np.ndarray:
    """The objects of an image as values 1, 2, ... in their order; of two at one pixel the smaller one has it.

    Args:
      image: with its objects.
      report: gets objects that are hidden or above `most`; those without a mask, and crowds, have no value.
      most: the highest value that there may be.

    Returns:
      int32 [h, w].
    """
    values, crops = np.zeros((image.height, image.width), np.int32), {}
    for number, item in enumerate(image.objects, 1):
        if item.segmentation is None or item.is_crowd:
            continue
        if number > most:
            report.lose(Rejected(f"mask of an object above the {most} that a label image has place for"), item.where)
            continue
        crops[number] = writing.crop(item, image)
    covered = 0
    for number, (crop, (y, x)) in sorted(crops.items(), key=lambda pair: -pair[1][0].sum()):
        window = values[y : y + crop.shape[0], x : x + crop.shape[1]]
        covered += int((window[crop] > 0).sum())
        window[crop] = number
    for number in crops.keys() - set(np.unique(values).tolist()):
        error = Rejected("mask that lies wholly under smaller ones, which a label image cannot show")
        report.lose(error, image.objects[number - 1].where)
    if covered:
        report.note("pixels are of several objects, of which the smallest has them", covered)
    return values
