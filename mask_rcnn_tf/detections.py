"""What a model finds in an image, as people use it: objects, masks, polygons, pictures, and other programs' forms."""

import os
from typing import Any

import numpy as np
from PIL import Image

import mask_rcnn_client
from mask_rcnn_client import Legend
from mask_rcnn_tf import visualize
from mask_rcnn_tf.coco import contours, pictures, results
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.config import ModelConfig


def legend_of(config: ModelConfig) -> Legend:
    """The legend of a model, from its configuration."""
    rules = config.detection.mask_threshold, config.detection.paste
    return Legend(results.category_ids(config), tuple(config.class_names), *rules)


class Detection(mask_rcnn_client.Detection):
    """One object; see `mask_rcnn_client.Detection`."""

    @property
    def polygons(self) -> list[np.ndarray] | None:
        """Its mask as rings, see `Detections.polygons`; None where the model has no masks."""
        return _rings(self.found, self.index)


class Detections(mask_rcnn_client.Detections):
    """What a model found in one image, best first.

    Args:
      arrays: see `mask_rcnn_client.Detections`.
      image_shape: (h, w) of the image, pixels.
      config: the model's.
      path: of the image, where it is a file; its pixels are not kept.
    """

    kind = Detection

    def __init__(
        self,
        arrays: dict[str, np.ndarray],
        image_shape: tuple[int, int],
        config: ModelConfig,
        path: str | os.PathLike | None = None,
    ):
        super().__init__(arrays, image_shape, legend_of(config))
        self.config, self.path = config, path

    def polygons(self) -> list[list[np.ndarray]] | None:
        """The masks as polygons.

        Returns:
          For each object its rings, float64 [k, 2] (x, y), pixels of the image, along the borders of pixels: around
          pixels clockwise as the image is seen, around holes the other way. Filled even-odd they are the mask. None
          where the model has no masks.

        Raises:
          ValueError: a mask is of so many parts that walking around them would take minutes.
        """
        return [_rings(self, index) for index in range(len(self))] if self.has_masks else None

    def plot(self, image: np.ndarray | None = None) -> Image.Image:
        """A picture of the objects: tinted masks, boxes, names with scores, keypoints.

        Args:
          image: what was predicted, of `config.preprocess.pixels`; None: it is read again from its file.

        Returns:
          The picture, small ones magnified, see `visualize.draw`: a notebook shows it, `.save("a.png")` writes it, and
          `np.asarray` gives uint8 [H, W, 3].

        Raises:
          ValueError: the image was predicted from an array, or cannot be read again; or it is another one.
        """
        kind = self.config.preprocess.pixels
        if image is None and self.path is None:
            raise ValueError(f"image is None; allowed: {kind}, since the image was predicted from an array.")
        if image is None:
            image, _ = pictures.read_pixels(self.path, None, kind)
        image, shape = np.asarray(image), [*self.image_shape, kind.channels]
        if image.dtype != kind.dtype or list(image.shape) != shape:
            came = f"{image.dtype} {list(image.shape)}"
            raise ValueError(f"image is {came}; allowed: {kind.dtype} {shape}, the image that was predicted.")
        names = dict(zip(self.legend.category_ids, self.config.class_names, strict=False))
        skeleton = self.config.keypoint_head.skeleton
        return Image.fromarray(visualize.draw_results(image, self.to_coco(0), names, skeleton=skeleton))

    def to_coco(self, image_id: int) -> list[dict]:
        """COCO results, see `coco.results.to_results`.

        Args:
          image_id: the file's id of the image.

        Returns:
          A dict an object, as JSON takes it: category ids of the annotation file, `bbox` [x, y, width, height], run
          lengths.
        """
        legend = self.legend
        rules = legend.category_ids, legend.mask_threshold, legend.paste
        return results.to_results(self, image_id, self.image_shape, *rules)

    def to_supervision(self) -> Any:
        """The objects as `supervision.Detections`, for its trackers, annotators and zones.

        `class_id` counts from 0 in the order of category ids, as that package's COCO data sets do; `data` has
        `class_name` and `category_id`.

        Raises:
          ValueError: the package is not installed.

        Source: supervision, `detection/core.py`, Detections.
        """
        try:
            import supervision
        except ImportError as error:
            raise ValueError(_missing("supervision", error)) from None
        return supervision.Detections(
            xyxy=self.boxes[:, [1, 0, 3, 2]],
            mask=self.masks,
            confidence=self.scores,
            class_id=self.classes.astype(int) - 1,
            data={
                "class_name": np.array(self.class_names, str),
                "category_id": np.array(self.category_ids, int),
            },
        )

    def to_fiftyone(self) -> Any:
        """The objects as `fiftyone.Detections`: boxes relative to the image, each mask inside its box.

        Raises:
          ValueError: the package is not installed.

        Source: fiftyone, `core/labels.py`, Detection; the rounding of the masks' boxes is that of its COCO importer,
          `utils/coco.py`.
        """
        try:
            import fiftyone
        except ImportError as error:
            raise ValueError(_missing("fiftyone", error)) from None
        height, width = self.image_shape
        labels = []
        for one in self:
            y1, x1, y2, x2 = one.box.tolist()
            place = [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]
            mask = one.mask[round(y1) : round(y2), round(x1) : round(x2)] if self.has_masks else None
            mask = mask if mask is not None and mask.size else None  # of boxes that round to nothing
            labels.append(fiftyone.Detection(label=one.class_name, bounding_box=place, confidence=one.score, mask=mask))
        return fiftyone.Detections(detections=labels)


def _rings(found: Detections, index: int) -> list[np.ndarray] | None:
    if not found.has_masks:
        return None
    inside, (y, x) = found.crop(index)
    try:
        return [ring + (x, y) for ring in contours.rings(inside)]
    except Rejected as error:
        raise ValueError(f"object {index}: {error}; its mask is `mask({index})`.") from None


def _missing(package: str, error: ImportError) -> str:
    return f"package {package} cannot be imported ({error}); allowed: `pip install {package}`."
