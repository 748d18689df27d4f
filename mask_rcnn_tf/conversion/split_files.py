"""The parts of a split as files."""

import pathlib

from mask_rcnn_tf.coco.results import write_json
from mask_rcnn_tf.conversion import split, writing

TRAIN, VAL = "train.json", "val.json"


def write_two(coco: dict, folder: pathlib.Path, val_share: float, seed: int = 0) -> list[str]:
    """Writes train.json and val.json.

    Args:
      coco: a COCO dictionary whose structure was checked.
      folder: a new or an empty one.
      val_share: of the images, above 0 and below 1.
      seed: see `split.split`.

    Returns:
      Lines about what is where.

    Raises:
      ValueError: the share is none, there are too few images, or the folder is not empty.
    """
    if not 0 < val_share < 1:
        raise ValueError(f"val_share is {val_share}; allowed: above 0 and below 1.")
    parts = split.split(coco, (1 - val_share, val_share), seed)
    writing.new_folder(folder)
    for name, part in zip((TRAIN, VAL), parts, strict=True):
        write_json(part, folder / name)
    return split.described(coco, parts, (TRAIN, VAL))


def write_folds(coco: dict, folder: pathlib.Path, folds: int, seed: int = 0) -> list[str]:
    """Writes fold_1/train.json, fold_1/val.json and so on: each image is in one fold's val.json.

    Args as `write_two`, with the number of folds, 2 or more. Returns and Raises as there.
    """
    if folds < 2:
        raise ValueError(f"folds is {folds}; allowed: 2 or more.")
    parts = split.split(coco, [1 / folds] * folds, seed)
    writing.new_folder(folder)
    names = [f"fold_{number}" for number in range(1, folds + 1)]
    for name, part in zip(names, parts, strict=True):
        write_json(part, folder / name / VAL)
        write_json(split.rest(coco, part), folder / name / TRAIN)
    return split.described(coco, parts, [f"{name}/{VAL}" for name in names])
