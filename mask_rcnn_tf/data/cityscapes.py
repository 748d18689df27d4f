"""Cityscapes' own folders as a COCO dictionary: the instances of the eight classes that its benchmark scores.

Source: cityscapesScripts, `helpers/labels.py` (labels that have instances and are not ignored) and `README.md`
(folders); `evaluation/instance.py` (what the values of *_instanceIds.png mean).
"""

import os
import pathlib

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.progress import Progress

SPLITS = ("train", "val", "test", "train_extra")
LABELS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
GROUP = 1000  # values from here on are label * 1000 + number; below it a label alone, of several objects in one
IMAGE, INSTANCES = "_leftImg8bit.png", "_instanceIds.png"


def to_coco(root: str | os.PathLike, split: str, quality: str = "gtFine", verbose: int = 1) -> dict:
    """The instances of a split.

    Args:
      root: the folder with `leftImg8bit` and `quality` in it.
      split: a folder of both, one of `SPLITS`.
      quality: "gtFine" or "gtCoarse". The images of "test" have no annotations to be read.
      verbose: 0 hides the progress.

    Returns:
      A COCO dictionary. `file_name` is the path below `images_folder(root, split)`, `id` of an image its place in the
      order of names, from 1; categories have the dataset's label ids. `segmentation` is RLE. What is annotated as a
      group without its objects is a crowd: left out of training, ignored in scoring.

    Raises:
      ValueError: a folder is missing or empty, an image has no annotations or they are not of its size, or a value is
        no label.
    """
    if quality not in ("gtFine", "gtCoarse"):
        raise ValueError(f"quality is {quality!r}; allowed: 'gtFine', 'gtCoarse'.")
    folder = images_folder(root, split)
    paths = sorted(folder.glob(f"*/*{IMAGE}"))
    if not paths:
        raise ValueError(f"root is '{root}'; allowed: a folder with images {folder}/<city>/*{IMAGE}.")
    images, annotations = [], []
    progress = Progress(len(paths), "image", verbose=verbose)
    for number, path in enumerate(paths, 1):
        with Image.open(path) as image:
            width, height = image.size
        name = path.relative_to(folder).as_posix()
        images.append({"id": number, "file_name": name, "height": height, "width": width})
        if split != "test":
            stem = name.removesuffix(IMAGE)
            values = _values(pathlib.Path(root, quality, split, f"{stem}_{quality}{INSTANCES}"), (height, width))
            for annotation in instances(values):
                annotations.append({"id": len(annotations) + 1, "image_id": number, **annotation})
        progress.add(1)
    listed = [{"id": label, "name": name, "supercategory": "object"} for name, label in LABELS.items()]
    return {"images": images, "annotations": annotations, "categories": listed}


def images_folder(root: str | os.PathLike, split: str) -> pathlib.Path:
    """The folder of a split's images, one folder a city in it. Raises ValueError: no such split."""
    if split not in SPLITS:
        raise ValueError(f"split is {split!r}; allowed: {', '.join(map(repr, SPLITS))}.")
    return pathlib.Path(root, "leftImg8bit", split)


def instances(values: np.ndarray) -> list[dict]:
    """COCO annotations, without ids, of the values of one *_instanceIds.png.

    Args:
      values: [h, w], whole numbers: label * 1000 + number of an object, or a label alone.

    Returns:
      A dictionary for each object of `LABELS`, by value.
    """
    found, counts = [], np.bincount(values.ravel())
    for value in np.flatnonzero(counts):
        label = int(value // GROUP if value >= GROUP else value)
        if label in LABELS.values():
            mask = values == value
            rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
            y1, y2, x1, x2 = int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1
            found.append(
                {
                    "category_id": label,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": int(counts[value]),
                    "iscrowd": int(value < GROUP),
                    "segmentation": rle.encode_crop(mask[y1:y2, x1:x2], (y1, x1), mask.shape),
                }
            )
    return found


def _values(path, image_shape):
    try:
        with Image.open(path) as image:
            values = np.asarray(image).astype(np.int64)
    except (OSError, SyntaxError) as error:  # Pillow's of a damaged PNG
        why = "there is no such file" if isinstance(error, FileNotFoundError) else str(error)
        raise ValueError(f"annotations {path}: {why}; allowed: a PNG of Cityscapes' instance ids.") from None
    if values.shape != image_shape:
        raise ValueError(f"annotations {path} are of shape {values.shape}; allowed: {image_shape}, that of the image.")
    if values.min() < 0 or values.max() >= 34 * GROUP:
        raise ValueError(f"annotations {path} have values to {values.max()}; allowed: 0 to {34 * GROUP - 1}.")
    return values
