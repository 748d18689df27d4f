"""What settings depend on, read off a COCO file: sizes of images, of boxes, and how many there are."""

import dataclasses
import os

import numpy as np

from mask_rcnn_tf.coco import completion, reader
from mask_rcnn_tf.coco.keypoints import keypoint_set
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.training.keypoints import PERSON


@dataclasses.dataclass(frozen=True)
class Statistics:
    """Of the images that have objects; crowds do not count.

    Attributes:
      images: float64 [N, 2] (h, w), pixels.
      boxes: float64 [n, 2] (h, w), pixels of the image.
      counts: int64 [N], objects of each image.
      has_masks: whether objects have masks.
      num_keypoints: J; 0 where there are none.
      has_sigmas: whether the file, or COCO's for persons, says by which sigmas these are scored.
    """

    images: np.ndarray
    boxes: np.ndarray
    counts: np.ndarray
    has_masks: bool
    num_keypoints: int
    has_sigmas: bool = True

    @property
    def num_images(self) -> int:
        """N."""
        return len(self.images)

    @property
    def short_side(self) -> float:
        """The median of the short sides, pixels."""
        return float(np.median(self.images.min(1)))

    @property
    def aspects(self) -> np.ndarray:
        """Long side by short side of each image, float64 [N]."""
        return self.images.max(1) / self.images.min(1)

    def boxes_at(self, short_side: float, max_side: float = np.inf) -> np.ndarray:
        """The boxes in pixels of the network, float64 [n, 2], where images have this short side or this long side."""
        scales = np.minimum(short_side / self.images.min(1), max_side / self.images.max(1))
        return self.boxes * np.repeat(scales, self.counts)[:, np.newaxis]

    @property
    def pixels(self) -> int:
        """Of all images."""
        return int(self.images.prod(1).sum())


def read(annotations: str | os.PathLike) -> Statistics:
    """Reads the statistics of a COCO file; its annotations are judged as for training.

    Args:
      annotations: path of the JSON.

    Returns:
      The statistics; objects in the order of their images.

    Raises:
      ValueError: no such file, not COCO, it contradicts itself, or nothing in it can be trained on.
    """
    content, _ = completion.usable(reader.read_annotations(annotations))
    known = {image["id"]: (image["height"], image["width"]) for image in content["images"]}
    boxes: dict[int, list[tuple[float, float]]] = {}
    rows = [row for row in content["annotations"] if not row["iscrowd"] and min(row["bbox"][2:]) > 0]
    for row in rows:
        boxes.setdefault(row["image_id"], []).append((row["bbox"][3], row["bbox"][2]))
    if not boxes:
        raise ValueError(f"annotations {annotations} has no object that can be trained on.")
    points = keypoint_set(content)
    return Statistics(
        images=np.array([known[key] for key in boxes], np.float64),
        boxes=np.array([box for of_image in boxes.values() for box in of_image], np.float64),
        counts=np.array([len(of_image) for of_image in boxes.values()]),
        has_masks=any(map(has_segmentation, rows)),
        num_keypoints=points.count,
        has_sigmas=bool(points.sigmas) or points.count in (0, PERSON),
    )
