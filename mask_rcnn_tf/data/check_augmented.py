"""Examples as training sees them, to be drawn: augmented, on their canvas, with their boxes, masks and keypoints."""

import collections
import copy
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline, sources
from mask_rcnn_tf.data.check import Sample
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import masks as mask_ops
from mask_rcnn_tf.pixels import picture_of


def rows(config: Config, annotations: str, images: str, samples: Sequence[Sample], draws: int) -> list[list[Sample]]:
    """A row an image: as it is, then the first examples of it that a run trains on.

    Args:
      config: of the run; where its data is comes from the next arguments.
      annotations: path of a COCO-format JSON; its images are prepared for training, below `config.data.data_dir`.
      images: folder.
      samples: the images as they are, from `check.check`.
      draws: how many examples of each.

    Returns:
      Rows of 1 + draws, in the order of `samples`, without images that are not trained on.

    Raises:
      ValueError: the configuration does not fit the data, see `pipeline.train_dataset`, or nothing is trained on.
    """
    config = _for_file(config, annotations, images)
    names, skeleton = sources.categories(config)[1], sources.keypoints(config).skeleton
    image_ids = [sample.image_id for sample in samples]
    found = collections.defaultdict(list)
    for example in pipeline.train_examples(config, image_ids, draws).as_numpy_iterator():
        found[int(example["image_id"])].append(_sample(config, example, names, skeleton))
    built = [[sample, *found[sample.image_id][:draws]] for sample in samples if sample.image_id in found]
    if not built:
        raise ValueError(
            f"annotations is {annotations!r}; none of the {len(samples)} pictures is of an image to train on."
        )
    return built


def _for_file(config: Config, annotations: str, images: str) -> Config:
    """The configuration with this data alone, and its classes."""
    config = copy.deepcopy(config)
    data, model = config.data, config.model
    data.dataset, data.train_annotations, data.train_images = "coco_json", annotations, images
    data.val_annotations = data.val_images = ""
    model.category_ids, model.class_names = (), ()
    model.num_classes = len(sources.categories(config)[0])
    return config


def _sample(config: Config, example: dict[str, np.ndarray], names: Sequence[str], skeleton: tuple) -> Sample:
    """An example in levels, with what it is padded with, without the objects that only pad it."""
    preprocess = config.model.preprocess
    numbers = preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
    kind = preprocess.pixels
    levels = np.rint(image_ops.denormalize(example["image"], *numbers))
    levels = np.clip(levels, 0, kind.white).astype(kind.dtype)
    count = np.count_nonzero(example["gt_classes"])
    boxes, keypoints = example["gt_boxes"][:count], example.get("gt_keypoints")
    masks = None
    if "gt_masks" in example and config.model.masks_on_canvas:
        masks = [mask > 127 for mask in example["gt_masks"][:count]]
    elif "gt_masks" in example:
        masks = [
            _pasted(mask, box, levels.shape[:2]) for mask, box in zip(example["gt_masks"][:count], boxes, strict=True)
        ]
    return Sample(
        name=str(example["image_id"]),
        image_id=int(example["image_id"]),
        image=picture_of(levels),
        boxes=boxes,
        labels=[names[index - 1] for index in example["gt_classes"][:count]],
        masks=masks,
        keypoints=None if keypoints is None else keypoints[:count] - np.float32((0.5, 0.5, 0.0)),
        skeleton=skeleton,
    )


def _pasted(mask: np.ndarray, box: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """A mask u8 [mh, mw] in the frame of its box, as a bitmap of the canvas."""
    crop, (top, left) = mask_ops.paste_bitmap(np.float32(mask) / 255, box, shape, 0.5, "continuous")
    bitmap = np.zeros(shape, bool)
    bitmap[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
    return bitmap
