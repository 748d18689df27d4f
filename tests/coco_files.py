"""A tiny data set in COCO format, as files."""

import json

import numpy as np
from PIL import Image

from mask_rcnn_tf.config import Config

SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]


def write(folder, levels=(10, 20)):
    """Grey BMPs, 20 x 15 px, all of one length; the annotation file is in the same folder. Returns the folder."""
    folder.mkdir()
    rows, images = [], []
    for index, level in enumerate(levels, 1):
        paint(folder, index, level)
        images.append({"id": index, "file_name": f"{index}.bmp", "width": 20, "height": 15})
        box = {"bbox": [2, 2, 8, 6], "area": 48, "segmentation": SQUARE}
        rows.append({"id": index, "image_id": index, "category_id": 1, "iscrowd": 0} | box)
    content = {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "cat"}]}
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


def paint(folder, index, level):
    """Makes, or replaces by one of the same length, an image."""
    Image.fromarray(np.full((15, 20, 3), level, np.uint8)).save(folder / f"{index}.bmp")


def config_for(folder, data_dir):
    """A configuration that trains on the folder, which may be any kind of path."""
    config = Config()
    config.data.data_dir = str(data_dir)
    config.data.train_annotations, config.data.train_images = f"{folder}/annotations.json", str(folder)
    return config
