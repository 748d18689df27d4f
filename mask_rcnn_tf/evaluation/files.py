"""Predicts image files: those a COCO file lists, or those of a path, folder or glob."""

import dataclasses
import glob
import logging
import os
import pathlib
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.coco import categories, reader
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.ops.decode_image import decode_image

LOG = logging.getLogger("mask_rcnn_tf")
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif")  # what TensorFlow decodes


@dataclasses.dataclass
class ImageFile:
    """An image to predict; `shape` is (h, w) where a COCO file says it, else None."""

    image_id: int
    path: pathlib.Path
    file_name: str
    shape: tuple[int, int] | None = None


def find_images(source: str) -> list[ImageFile]:
    """Image files of a path, a folder or a glob pattern (`**` goes into subfolders), sorted, numbered from 1.

    Args:
      source: path of one file, of a folder (its own image files), or a glob pattern.

    Returns:
      The files; `file_name` is relative to the deepest folder that holds them all.

    Raises:
      ValueError: there are none.
    """
    if os.path.isdir(source):
        paths = [path for path in pathlib.Path(source).iterdir() if path.suffix.lower() in SUFFIXES]
    elif os.path.isfile(source):
        paths = [pathlib.Path(source)]
    else:
        paths = [pathlib.Path(path) for path in glob.glob(source, recursive=True) if os.path.isfile(path)]
    if not paths:
        raise ValueError(f"input is {source!r}; there are no image files ({', '.join(SUFFIXES)} in a folder).")
    root = os.path.commonpath([path.parent for path in paths])
    return [ImageFile(i, path, os.path.relpath(path, root)) for i, path in enumerate(sorted(paths), start=1)]


def list_images(ground_truth: dict, folder: str) -> list[ImageFile]:
    """Image files of a COCO file, in its order, with its ids and sizes."""
    root = pathlib.Path(folder)
    return [
        ImageFile(image["id"], root / image["file_name"], image["file_name"], (image["height"], image["width"]))
        for image in ground_truth["images"]
    ]


def read_image(path: str | pathlib.Path, shape: tuple[int, int] | None = None) -> np.ndarray:
    """Decodes an image file as its pixels are stored (an EXIF rotation is not applied), JPEG as Pillow does.

    Args:
      path: JPEG, PNG, WebP, BMP or GIF (its first frame).
      shape: the (h, w) it must have, or None.

    Returns:
      uint8 [h, w, 3] RGB.

    Raises:
      ValueError: there is no such file, it does not decode, or it has another size.
    """
    if not os.path.isfile(path):
        raise ValueError(f"{path}: there is no such file.")
    try:
        image = decode_image(tf.io.read_file(str(path)))
    except tf.errors.InvalidArgumentError as error:
        raise ValueError(f"{path}: does not decode as an image.") from error
    if shape is not None and tuple(image.shape[:2]) != tuple(shape):
        raise ValueError(
            f"{path}: has {image.shape[0]} x {image.shape[1]} pixels (h x w), the annotations say {shape[0]} x "
            f"{shape[1]}; swapped sides mean an EXIF rotation that is not applied to the pixels."
        )
    return image.numpy()


def load_model(path: str, with_optimizer: bool = True) -> keras.Model:
    """Loads a `.keras` file of `MaskRCNN`.

    Args:
      path: the file.
      with_optimizer: whether the model is compiled as it was saved; its optimizer may hold as much as its weights.

    Returns:
      The model.

    Raises:
      ValueError: there is no such file, or it holds something else.
    """
    if not os.path.isfile(path):
        raise ValueError(f"model is {path!r}; there is no such file.")
    try:
        model = keras.models.load_model(path, compile=with_optimizer)
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"model {path!r} does not load: {str(error).strip().splitlines()[0]}") from error
    if not isinstance(getattr(model, "config", None), ModelConfig):
        raise ValueError(f"model {path!r} is a {type(model).__name__}; allowed: a saved MaskRCNN.")
    return model


def predict_files(
    predict: Callable[[list[np.ndarray]], list[dict]],
    files: Sequence[ImageFile],
    config: ModelConfig,
    on_image: Callable[[ImageFile, np.ndarray, list[dict]], None] | None = None,
    verbose: int = 1,
) -> tuple[list[dict], list[str]]:
    """Predicts files one by one; those that cannot be read are reported and left out.

    Args:
      predict: from uint8 images to detections an image in original pixels, as `mask_rcnn_tf.predict_images` with a
        model bound to it.
      files: what to predict.
      config: the model's.
      on_image: called with each file, its image uint8 [h, w, 3] and its results, or None.
      verbose: 0 hides the progress bar.

    Returns:
      COCO results with `file_name`, and one message for each file that could not be read.
    """
    ids, detection = coco_results.category_ids(config), config.detection
    progress = keras.utils.Progbar(len(files), unit_name="image", verbose=verbose)
    results, failures = [], []
    for file in files:
        progress.add(1)
        try:
            image = read_image(file.path, file.shape)
        except ValueError as error:
            failures.append(str(error))
            continue
        (detections,) = predict([image])
        shape = image.shape[:2]
        found = coco_results.to_results(
            detections, file.image_id, shape, ids, detection.mask_threshold, detection.paste
        )
        results += [dict(result, file_name=file.file_name) for result in found]
        if on_image is not None:
            on_image(file, image, found)
    return results, failures


def evaluate_files(
    predict: Callable[[list[np.ndarray]], list[dict]],
    annotations: str,
    folder: str,
    config: ModelConfig,
    max_dets: Sequence[int] = (1, 10, 100),
    *,
    sigmas: Sequence[float] | None = None,
    verbose: int = 1,
) -> tuple[dict[str, dict], list[dict], list[str]]:
    """Scores a model on the images of a COCO file.

    Masks are scored where the model has a mask head and the file has masks; keypoints where results have them.

    Args:
      predict: see `predict_files`.
      annotations: path of the COCO JSON.
      folder: where its images are.
      config: the model's. Of its categories those that the file lacks are left out of the results.
      max_dets: detections an image that count, ascending.
      sigmas: one of each keypoint; None is COCO's 17.
      verbose: 0 hides the progress bar.

    Returns:
      The tables of `coco_metrics.score`, the COCO results in the file's category ids, and one message for each image
      that could not be read (it counts as an image without detections: the score is partial).

    Raises:
      ValueError: a missing or unusable file or folder, an annotation that cannot be scored (before anything is
        predicted), or a category of the file that the model does not know.
    """
    ground_truth = reader.read_annotations(annotations)
    if not os.path.isdir(folder):
        raise ValueError(f"images is {folder!r}; there is no such folder.")
    note = categories.match_model(config, ground_truth).note
    if note:
        LOG.warning("%s", note)
    if not ground_truth["annotations"]:
        raise ValueError(f"annotations {annotations} has no annotations to score.")
    iou_types, where = _iou_types(ground_truth, config), f"annotations {annotations}"
    truth = coco_metrics.load_truth(ground_truth, iou_types, sigmas, where=where)
    results, failures = predict_files(predict, list_images(ground_truth, folder), config, verbose=verbose)
    results = translated(results, ground_truth, config)
    if any("keypoints" in result for result in results):
        iou_types += ("keypoints",)
        truth = coco_metrics.load_truth(ground_truth, iou_types, sigmas, where=where)
    return coco_metrics.score_truth(truth, results, iou_types, max_dets, sigmas), results, failures


def translated(results: list[dict], ground_truth: dict, config: ModelConfig) -> list[dict]:
    """Results of a model in the category ids of a file; those of categories that the file lacks are left out.

    Args:
      results: COCO results in the model's ids.
      ground_truth: a COCO dictionary.
      config: the model's.

    Returns:
      The results, see `categories.match_model`.

    Raises:
      ValueError: the file has a category that the model does not know.
    """
    matched = categories.match_model(config, ground_truth).ids
    ids = dict(zip(coco_results.category_ids(config), matched, strict=True))
    known = [(result, ids[result["category_id"]]) for result in results]
    return [result | {"category_id": category_id} for result, category_id in known if category_id is not None]


def score_results(
    ground_truth: dict,
    results: list[dict],
    config: ModelConfig,
    max_dets: Sequence[int] = (1, 10, 100),
    *,
    sigmas: Sequence[float] | None = None,
) -> dict[str, dict]:
    """Scores COCO results by what the model and the file have: boxes, masks, keypoints.

    Args:
      ground_truth: a COCO dictionary.
      results: COCO results of its images and categories.
      config: the model's.
      max_dets: detections an image that count, ascending.
      sigmas: one of each keypoint; None is COCO's 17.

    Returns:
      The tables of `coco_metrics.score`.

    Raises:
      ValueError: see `coco_metrics.score`.
    """
    iou_types = _iou_types(ground_truth, config) + ("keypoints",) * any("keypoints" in result for result in results)
    return coco_metrics.score(ground_truth, results, iou_types, max_dets, sigmas)


def _iou_types(ground_truth: dict, config: ModelConfig) -> tuple[str, ...]:
    """Boxes, and masks where the model and the file have them."""
    return ("bbox",) + ("segm",) * (config.has_masks and any(map(has_segmentation, ground_truth["annotations"])))
