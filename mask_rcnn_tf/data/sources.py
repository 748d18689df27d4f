"""The place where `config.data.dataset` chooses between annotation files and synthetic scenes."""

import collections
import types

import tensorflow as tf

from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data.report import Report


def _module(config: Config) -> types.ModuleType:
    # imported when chosen: either one brings in TFDS, which takes seconds
    if _has_files(config):
        from mask_rcnn_tf.data import coco

        return coco
    if config.data.dataset == "mrcnn_shapes":
        from mask_rcnn_tf.data import shapes

        return shapes
    raise ValueError(f"config.data.dataset is {config.data.dataset!r}; allowed: 'coco_json', 'mrcnn_shapes'.")


def _has_files(config: Config) -> bool:
    return config.data.dataset == "coco_json"


def dataset(config: Config, split: str) -> tf.data.Dataset:
    """Records of a split (see `data.records`) in file order; `records.decoded` gives one its pixels."""
    return _module(config).dataset(config, split)


def ground_truth(config: Config, split: str) -> dict:
    """Annotations of a split as a COCO dictionary for pycocotools, crowds kept."""
    return _module(config).ground_truth(config, split)


def categories(config: Config) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Category ids and class names, in the order of classes 1..C."""
    return _module(config).categories(config)


def images(config: Config, split: str) -> tuple[tuple[int, int, int], ...]:
    """(id, height, width) of the images of a split, in file order."""
    return _module(config).images(config, split)


def num_examples(config: Config, split: str) -> int:
    """How many records `dataset` has."""
    return _module(config).num_examples(config, split)


def digest(config: Config, split: str) -> str:
    """SHA-256 of a split's annotation file, wherever it is; "" for scenes, which the configuration describes."""
    return _module(config).digest(config, split)


def report(config: Config, split: str) -> Report:
    """Counts of what a split has and what is used of it; of scenes that is everything."""
    if _has_files(config):
        return _module(config).report(config, split)
    truth, rows = ground_truth(config, split), collections.defaultdict(list)
    for row in truth["annotations"]:
        rows[row["image_id"]].append(row)
    counted = Report(images=len(truth["images"]), annotations=len(truth["annotations"]))
    for image in truth["images"]:
        own = rows[image["id"]]
        counted.add_image(
            image["height"], image["width"], [row["category_id"] for row in own], [row["area"] for row in own]
        )
    return counted


def shared_images(config: Config) -> list[str]:
    """Names of the validation images that are trained on too; no scenes are."""
    return _module(config).shared_images(config) if _has_files(config) else []


def keypoints(config: Config) -> KeypointSet:
    """The keypoints of every object; `count` is 0 where there are none."""
    return _module(config).keypoints(config)


def category_ids(config: Config, split: str) -> tuple[int | None, ...]:
    """The category ids that a split's annotations have for classes 1..C; None where there is none."""
    return _module(config).category_ids(config, split)


def check(config: Config) -> dict:
    """Judges all annotations before anything is trained. Raises ValueError with all that is wrong with them.

    Returns:
      `ground_truth` of "val", with all that the model is scored by.
    """
    return _module(config).check(config)
