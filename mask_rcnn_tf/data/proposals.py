"""Stored proposals of a split, looked up by image inside the pipeline."""

from collections.abc import Callable

import tensorflow as tf

from mask_rcnn_tf.coco import proposals as coco_proposals
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import sources

Find = Callable[[tf.Tensor], tf.Tensor]


def read(config: Config, split: str) -> coco_proposals.Proposals:
    """The proposals of a split, of all its images.

    Raises:
      ValueError: no file is named, or see `coco.proposals.read` and `check_images`.
    """
    name = f"config.data.{split}_proposals"
    path = getattr(config.data, f"{split}_proposals")
    if not path:
        raise ValueError(
            f"{name} is ''; allowed, where model.rpn.enabled is False: a file of tools/write_proposals.py."
        )
    stored = coco_proposals.read(path, name)
    coco_proposals.check_images(stored, sources.images(config, split), name)
    return stored


def check(config: Config):
    """Reads the files of both splits where the model has no RPN. Raises ValueError, see `read`."""
    for split in ("train", "val") if not config.model.rpn.enabled else ():
        read(config, split)


def finder(config: Config, split: str) -> Find | None:
    """A function from an image's id, int64 [], to its proposals float32 [n, 4], best first, in pixels of the image.

    Args:
      config: `data.train_proposals` or `data.val_proposals` is read.
      split: "train" or "val".

    Returns:
      The function, of tensors; None where the model has an RPN.

    Raises:
      ValueError: see `read`.
    """
    if config.model.rpn.enabled:
        return None
    stored = read(config, split)
    image_ids, starts, boxes = (tf.constant(part) for part in (stored.image_ids, stored.starts, stored.boxes))

    def find(image_id: tf.Tensor) -> tf.Tensor:
        row = tf.searchsorted(image_ids, tf.cast(image_id, tf.int64)[None])[0]
        return boxes[starts[row] : starts[row + 1]]

    return find


def limited(config: Config, split: str, example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """An example with as many of its proposals as `model.rpn` has room for; one without any stays as it is."""
    if "proposals" not in example:
        return example
    rpn = config.model.rpn
    count = rpn.post_nms_top_n_train if split == "train" else rpn.post_nms_top_n_test
    kept = {"proposals": example["proposals"][:count], "num_proposals": tf.minimum(example["num_proposals"], count)}
    return example | kept
