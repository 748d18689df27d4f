"""Writes what an RPN proposes on the images of a COCO file, for models that are trained on stored proposals."""

import os

import numpy as np

from mask_rcnn_tf.coco import proposals as coco_proposals
from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation.image_files import list_images
from mask_rcnn_tf.evaluation.predicting import Predict, predict_each
from mask_rcnn_tf.progress import Progress


def write_proposals(
    predict: Predict, annotations: str, folder: str, config: ModelConfig, path: str | os.PathLike, verbose: int = 1
) -> tuple[int, list[str]]:
    """Predicts the images of a COCO file by an RPN alone and writes its proposals.

    Args:
      predict: of a model that finds proposals, such as `make_predictor(rpn_alone(model))`.
      annotations: path of the COCO JSON; of its annotations nothing is read.
      folder: of its images.
      config: of that model.
      path: of the .npz file that is to be, see `coco.proposals`.
      verbose: 0 hides the progress.

    Returns:
      How many proposals were written, and one message for each image that could not be read, which has none.

    Raises:
      ValueError: a missing or unusable annotation file or folder.
    """
    listed = reader.read_annotations(annotations)
    if not os.path.isdir(folder):
        raise ValueError(f"images is {folder!r}; there is no such folder.")
    sizes = {image["id"]: (image["height"], image["width"]) for image in listed["images"]}
    files, rows, failures = list_images(listed, folder), [], []
    progress = Progress(len(files), "image", verbose=verbose)
    for outcome in predict_each(predict, files, config):
        progress.add(1)
        failures += [outcome.error] * bool(outcome.error)
        boxes = np.array([result["bbox"] for result in outcome.results], np.float64).reshape(-1, 4)
        corners = np.stack([boxes[:, 1], boxes[:, 0], boxes[:, 1] + boxes[:, 3], boxes[:, 0] + boxes[:, 2]], 1)
        scores = np.array([result["score"] for result in outcome.results], np.float32)
        rows.append((outcome.file.image_id, sizes[outcome.file.image_id], corners.astype(np.float32), scores))
    coco_proposals.write(path, rows)
    return sum(len(row[3]) for row in rows), failures
