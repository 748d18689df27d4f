"""Data distillation: what a model finds on images without labels becomes annotations to train on.

Source: Radosavovic et al., "Data Distillation" (arXiv:1712.04440); Mask R-CNN, Table 9.
"""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation.files import translated
from mask_rcnn_tf.evaluation.image_files import ImageFile
from mask_rcnn_tf.evaluation.predicting import Predict, predict_each
from mask_rcnn_tf.progress import Progress

MARGIN = 1000  # results that are kept beside the best until they are sorted out
SEEN = 0.05  # score from which a keypoint is labelled, as in pictures


def objects_per_image(ground_truth: dict) -> float:
    """The mean number of annotations of a COCO dict's images, crowds left out; images without any count.

    Args:
      ground_truth: a COCO dict.

    Raises:
      ValueError: it has no image, or no annotation.
    """
    count = sum(not row.get("iscrowd") for row in ground_truth["annotations"])
    if not count or not ground_truth["images"]:
        raise ValueError(
            "labelled has no images or no annotations; allowed: a file with some, whose number is aimed at."
        )
    return count / len(ground_truth["images"])


def distill(
    predict: Predict, files: Sequence[ImageFile], config: ModelConfig, labelled: dict
) -> tuple[dict, float, list[str]]:
    """Predicts images and keeps the best detections of all, as many an image as labelled images have in the mean.

    Args:
      predict: from uint8 images to detections, such as `mask_rcnn_tf.make_predictor` with test-time augmentation.
      files: of the images.
      config: the model's.
      labelled: a COCO dict; the model's classes are matched with its categories, see `categories.match_model`.

    Returns:
      A COCO dict, with `labelled`'s categories, of the images that could be read; the score of the worst of its
      annotations; and one message for each image that could not be read.

    Raises:
      ValueError: nothing was found, or as `objects_per_image` and `files.translated`.
    """
    images, results, failures = [], [], []
    mean, progress = objects_per_image(labelled), Progress(len(files), "image")
    for outcome in predict_each(predict, files, config):
        progress.add(1)
        if outcome.error:
            failures.append(outcome.error)
            continue
        height, width = outcome.image.shape[:2]
        entry = {"id": outcome.file.image_id, "file_name": outcome.file.file_name, "height": height, "width": width}
        images.append(entry)
        results += translated(outcome.results, labelled, config)
        if len(results) > 2 * mean * len(files) + MARGIN:  # what cannot be among the best needs no memory
            results = _best(results, round(mean * len(files)))
    kept = _best(results, round(mean * len(images)))
    if not kept:
        raise ValueError(f"images: nothing was found on {len(images)} of {len(files)} images that could be read.")
    rows = sorted(kept, key=lambda row: (row["image_id"], -row["score"]))
    annotations = [_annotation(row, number) for number, row in enumerate(rows, start=1)]
    found = {"images": images, "annotations": annotations, "categories": labelled["categories"]}
    return found, kept[-1]["score"], failures


def _best(results: list[dict], count: int) -> list[dict]:
    """The `count` best; of equal scores the first."""
    return sorted(results, key=lambda row: -row["score"])[:count]


def _annotation(result: dict, number: int) -> dict:
    x, y, width, height = result["bbox"]
    row = {"id": number, "image_id": result["image_id"], "category_id": result["category_id"], "iscrowd": 0}
    row |= {"bbox": [x, y, width, height], "area": width * height, "score": result["score"]}
    if "segmentation" in result:
        row["segmentation"] = result["segmentation"]
        row["area"] = rle.area(rle.runs_of_rle(result["segmentation"], *result["segmentation"]["size"]))
    if "keypoints" in result:
        points = np.array(result["keypoints"]).reshape(-1, 3)
        seen = points[:, 2:] >= SEEN
        row["keypoints"] = np.where(seen, np.concatenate([points[:, :2], 2.0 * seen], 1), 0.0).ravel().tolist()
        row["num_keypoints"] = int(seen.sum())
    return row


def together(
    labelled: dict, labelled_folder: str | os.PathLike, found: dict, folder: str | os.PathLike
) -> tuple[dict, str]:
    """Two COCO dicts as one to train on: images and annotations get new ids, file names a common folder.

    Args:
      labelled: a COCO dict.
      labelled_folder: of its images.
      found: of `distill`, with the same labelled dict.
      folder: of its images.

    Returns:
      The COCO dict, with `labelled`'s categories, and the folder that its file names begin in.
    """
    folders = [os.path.abspath(path) for path in (labelled_folder, folder)]
    root = os.path.commonpath(folders)
    images, annotations = [], []
    for part, place in zip((labelled, found), folders, strict=True):
        ids = {}
        for image in part["images"]:
            ids[image["id"]] = len(images) + 1
            name = pathlib.Path(os.path.relpath(place, root), image["file_name"]).as_posix()
            images.append(image | {"id": ids[image["id"]], "file_name": name})
        annotations += [row | {"image_id": ids[row["image_id"]]} for row in part["annotations"]]
    annotations = [row | {"id": number} for number, row in enumerate(annotations, start=1)]
    return {"images": images, "annotations": annotations, "categories": labelled["categories"]}, root
