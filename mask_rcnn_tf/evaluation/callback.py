"""Scores a model on a labelled dataset, alone or after every epoch of `fit`."""

import logging
import pathlib
from collections.abc import Callable, Sequence
from numbers import Integral

import keras
import numpy as np
import tensorflow as tf
from pycocotools import coco

from mask_rcnn_client import unpad
from mask_rcnn_tf.arguments import PATH, SEQUENCE, check_kind
from mask_rcnn_tf.coco import categories
from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.evaluation import coco_metrics, equal_scores, judges
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.progress import Progress
from mask_rcnn_tf.untuned import untuned

LOG = logging.getLogger("mask_rcnn_tf")
DATASET = "a tf.data.Dataset, such as val_dataset(config)"
Predict = Callable[[list[np.ndarray]], list[dict]]


def predict_results(
    model: keras.Model,
    dataset: tf.data.Dataset,
    category_ids: Sequence[int | None],
    verbose: int = 1,
    predict: Predict | None = None,
) -> list[dict]:
    """Runs a model over a dataset and collects COCO results in original pixels.

    Args:
      model: a `MaskRCNN`.
      dataset: finite batches of the pipeline: `image`, `image_shape`, `original_shape`, `image_id`; labels are unused.
      category_ids: the file's id of classes 1..C.
      verbose: 0 hides the progress.
      predict: from uint8 images to detections an image in their pixels, as `mask_rcnn_tf.make_predictor` gives it: the
        dataset then has whole images, `image` uint8 [h, w, 3] and `image_id`, such as `val_images(config)`.

    Returns:
      COCO results of all images, in the dataset's order. Scores that say nothing are warned of in the log.

    Raises:
      ValueError: an argument is of another kind, the dataset is infinite, or a class has no category id.
    """
    _check_kinds(model, dataset)
    cardinality = int(dataset.cardinality())
    if cardinality == tf.data.INFINITE_CARDINALITY:
        raise ValueError("dataset is infinite; allowed: a dataset that ends, such as val_dataset(config).")
    detection = model.config.detection
    progress = Progress(cardinality if cardinality > 0 else None, "batch", verbose=verbose)
    results = []
    for batch in untuned(dataset):
        found = _predict_batch(model, batch) if predict is None else [_predict_image(predict, batch)]
        for image_id, original_shape, detections in found:
            results += coco_results.to_results(
                detections, image_id, original_shape, category_ids, detection.mask_threshold, detection.paste
            )
        progress.add(1)
    if note := equal_scores.note(results):
        LOG.warning("%s", note)
    return results


def _check_kinds(model: keras.Model, dataset: tf.data.Dataset):
    if not hasattr(model, "config"):  # `evaluation` does not know models
        raise ValueError(f"model is a {type(model).__name__}; allowed: a MaskRCNN.")
    check_kind("dataset", dataset, tf.data.Dataset, DATASET)


def _predict_image(predict: Predict, record: dict[str, tf.Tensor]) -> tuple[int, tuple[int, int], dict]:
    """As `_predict_batch` for one whole image."""
    image = record["image"].numpy()
    return int(record["image_id"]), image.shape[:2], predict([image])[0]


def _predict_batch(model: keras.Model, batch: dict[str, tf.Tensor]) -> list[tuple[int, tuple[int, int], dict]]:
    """Detections of one batch in original pixels: (image id, original (h, w), arrays without padding) an image."""
    inputs = {name: value for name, value in batch.items() if not name.startswith("gt_")}
    # Under a strategy every replica gets the same batch and Keras concatenates the outputs: the first rows are it.
    size = int(batch["image"].shape[0])
    outputs = {name: np.asarray(value)[:size] for name, value in model.predict_on_batch(inputs).items()}
    moved = image_ops.outputs_to_original(outputs, batch["image_shape"], batch["original_shape"])
    outputs = {name: np.asarray(value) for name, value in moved.items()}
    shapes = [tuple(shape) for shape in batch["original_shape"].numpy().tolist()]
    image_ids = batch["image_id"].numpy().tolist()
    return [(image_ids[i], shapes[i], unpad(outputs, i)) for i in range(size)]


def evaluate(
    model: keras.Model,
    dataset: tf.data.Dataset,
    ground_truth: dict | str | pathlib.Path,
    category_ids: Sequence[int | None] = (),
    iou_types: Sequence[str] = ("bbox", "segm"),
    max_dets: Sequence[int] | None = None,
    *,
    sigmas: Sequence[float] | None = None,
    judge: str = judges.PYCOCOTOOLS,
    verbose: int = 1,
) -> tuple[dict[str, dict], list[dict]]:
    """Average precision of a model on a dataset.

    Args:
      model: a `MaskRCNN`.
      dataset: finite batches of the pipeline, such as `val_dataset(config)`.
      ground_truth: a COCO-format dict of the same images, or the path of its JSON file.
      category_ids: the file's id of classes 1..C, None for one that it lacks; () matches the model's classes with the
        file's categories, see `categories.match_model`.
      iou_types: any of "bbox", "segm", "keypoints", "proposals".
      max_dets: detections an image that count, ascending; None: COCO's 1, 10, 100, or LVIS's 300.
      sigmas: one of each keypoint; None is COCO's 17.
      judge: the program that scores, see `coco_metrics.score`.
      verbose: 0 hides the progress.

    Returns:
      The tables of `coco_metrics.score`, and the COCO results that were scored.

    Raises:
      ValueError: see `predict_results` and `coco_metrics.score`.
    """
    _check_kinds(model, dataset)
    judges.check(judge)
    truth = coco_metrics.load_truth(ground_truth, iou_types, sigmas)
    results = predict_results(model, dataset, category_ids or _matched_ids(model, truth), verbose)
    return coco_metrics.score_truth(truth, results, iou_types, max_dets, sigmas, judge=judge), results


def _matched_ids(model: keras.Model, truth: coco.COCO) -> tuple[int | None, ...]:
    """The truth's ids of the model's classes 1..C; proposals keep the model's one."""
    if not model.config.has_classes:
        return coco_results.category_ids(model.config)
    matched = categories.match_model(model.config, truth.dataset)
    if matched.note:
        LOG.warning("%s", matched.note)
    return matched.ids


class CocoEvaluation(keras.callbacks.Callback):
    """Puts COCO's figures into the logs of an epoch: `val_bbox_AP`, `val_segm_AP`, `val_segm_AP50`, ...

    Place it before callbacks that read them, such as `ModelCheckpoint(monitor="val_segm_AP", mode="max")`. The last
    tables and results stay in `metrics` and `results`.
    """

    def __init__(
        self,
        dataset: tf.data.Dataset,
        ground_truth: dict | str | pathlib.Path | coco.COCO,
        category_ids: Sequence[int | None] = (),
        iou_types: Sequence[str] = ("bbox", "segm"),
        every: int = 1,
        output: str | pathlib.Path | None = None,
        *,
        prefix: str = "val_",
        max_dets: Sequence[int] | None = None,
        sigmas: Sequence[float] | None = None,
        judge: str = judges.PYCOCOTOOLS,
        verbose: int = 1,
        make_predictor: Callable[[keras.Model], Predict] | None = None,
    ):
        """Args are those of `evaluate`, and:

        Args:
          ground_truth: may also be what `coco_metrics.load_truth` gave for these `iou_types` and `sigmas`.
          every: epochs between two evaluations; epochs between them have no figures in their logs.
          output: JSON file of the COCO results, overwritten each time; `{epoch}` in it becomes the epoch's number.
          prefix: of the names in the logs.
          make_predictor: from the model to `predict` of `predict_results`, for test-time augmentation, such as
            `functools.partial(mask_rcnn_tf.make_predictor, augmentation=config.eval.augmentation)`.

        Raises:
          ValueError: an argument is of another kind, `every` is below 1, or an annotation cannot be scored: now, not at
            the end of an epoch.
        """
        super().__init__()
        check_kind("dataset", dataset, tf.data.Dataset, DATASET)
        check_kind("category_ids", category_ids, SEQUENCE, "a list or tuple of the file's ids")
        check_kind("every", every, Integral, "a whole number of epochs")
        check_kind("output", output, (*PATH, type(None)), "a path, or None")
        check_kind("make_predictor", make_predictor, (Callable, type(None)), "a function, or None")
        if every < 1:
            raise ValueError(f"every is {every!r}; allowed: 1 or more epochs.")
        self.dataset, self.every, self.category_ids, self.verbose = dataset, every, category_ids, verbose
        self.options = {"iou_types": iou_types, "max_dets": max_dets, "sigmas": sigmas, "judge": judge}
        judges.check(judge)
        is_loaded = isinstance(ground_truth, coco.COCO)
        self.truth = ground_truth if is_loaded else coco_metrics.load_truth(ground_truth, iou_types, sigmas)
        self.output, self.prefix = output, prefix
        self.metrics, self.results = {}, []
        self.make_predictor, self._predict = make_predictor, None

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Scores the model and adds the figures to `logs`."""
        if (epoch + 1) % self.every:
            return
        category_ids = self.category_ids or _matched_ids(self.model, self.truth)
        if self.make_predictor is not None and self._predict is None:
            self._predict = self.make_predictor(self.model)
        self.results = predict_results(self.model, self.dataset, category_ids, self.verbose, self._predict)
        self.metrics = coco_metrics.score_truth(self.truth, self.results, **self.options)
        if self.output is not None:
            coco_results.write_json(self.results, str(self.output).format(epoch=epoch + 1))
        if logs is not None:
            for kind in self.options["iou_types"]:
                logs.update({f"{self.prefix}{kind}_{name}": value for name, value in self.metrics[kind].items()})
