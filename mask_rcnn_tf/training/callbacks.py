"""Keras callbacks of a training run: checks, log, TensorBoard, pictures. What is stored is in `checkpoint.py`."""

import logging
import math
import os
import pathlib
import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf import visualize
from mask_rcnn_tf.coco.keypoints import keypoint_set
from mask_rcnn_tf.evaluation import CocoEvaluation
from mask_rcnn_tf.training.log_file import LogFile
from mask_rcnn_tf.training.storage import write_atomically as write_atomically  # callers know it here
from mask_rcnn_tf.training.storage import writing
from mask_rcnn_tf.training.tensorboard import EventWriter
from mask_rcnn_tf.whole_files import replacing

LOG = logging.getLogger("mask_rcnn_tf")
NUM_PICTURES = 4
SECONDS_BETWEEN_LINES = 20.0
PICTURE_SCORE = 0.5  # detections below it are not drawn


class StepCallback(keras.callbacks.Callback):
    """Counts steps over all epochs and restarts: `step` is the number of updates that the weights have seen."""

    step = 0

    def on_train_begin(self, logs: dict | None = None):
        """Takes the count from the optimizer, which a checkpoint may have restored."""
        self.step = int(self.model.optimizer.iterations.numpy())

    def on_train_batch_end(self, batch: int, logs: dict | None = None):
        """Counts, and calls `on_step` with the logs (means since the epoch's start)."""
        self.step += 1
        self.on_step(self.step, logs or {})

    def on_step(self, step: int, logs: dict[str, float]):
        """Called after update number `step`, from 1."""


class StopOnNonFinite(StepCallback):
    """Stops the run at the step whose loss is not finite, with the losses by name and the images.

    Nothing is added to the training step: the batch of a step can be made again, because the pipeline is seeded. Place
    it before what stores checkpoints.

    Args:
      batches_from: function of a number of steps, to the `tf.data.Dataset` of batches that follow them, with
        `image_id` int64 [B] in each.
      last_good: function that says which checkpoint is the last; all that are stored have finite weights.
    """

    def __init__(
        self, batches_from: Callable[[int], tf.data.Dataset], last_good: Callable[[], str | None] = lambda: None
    ):
        super().__init__()
        self.batches_from, self.last_good = batches_from, last_good

    def on_step(self, step: int, logs: dict[str, float]):
        """Raises FloatingPointError if a loss is NaN or infinite. Means since the epoch's start stay so."""
        if all(math.isfinite(value) for value in logs.values()):
            return
        image_ids = next(iter(self.batches_from(step - 1)))["image_id"].numpy().tolist()
        bad = ", ".join(name for name, value in logs.items() if not math.isfinite(value))
        losses = ", ".join(f"{name} {value:.6g}" for name, value in logs.items())
        raise FloatingPointError(
            f"step {step}: {bad} not finite, training stopped. Losses (means since the epoch's start): {losses}. "
            f"Image ids of the step: {image_ids}. The last good checkpoint is {self.last_good() or 'none'}; the same "
            "command with a lower config.train.learning_rate, a longer warmup_steps or a clip_norm goes on from it."
        )


class WindowMeans:
    """Means over the last steps, from Keras's running means since the epoch's start."""

    def __init__(self, count: int = 0, sums: dict[str, float] | None = None):
        """Goes on from the `state` of another one."""
        self._count, self._sums = count, sums or {}

    @property
    def state(self) -> tuple[int, dict[str, float]]:
        """Steps and sums at the last call, in JSON types."""
        return self._count, self._sums

    def take(self, count: int, means: dict[str, float]) -> dict[str, float]:
        """Means over the steps since the last call, or since the epoch's start.

        Args:
          count: int, steps since the epoch's start.
          means: dict of float, running means over `count` steps.
        """
        if count <= self._count:
            raise ValueError(f"count is {count}; allowed: above {self._count}, that of the last call in this epoch.")
        sums = {name: value * count for name, value in means.items()}
        window = {name: (value - self._sums.get(name, 0.0)) / (count - self._count) for name, value in sums.items()}
        self._count, self._sums = count, sums
        return window


class StepLog(StepCallback):
    """Every `every` steps, the losses by name, the learning rate and images/s to `log.jsonl` and TensorBoard.

    After a restart, lines of steps that are done again are removed first, and a window that was begun is finished.

    Args:
      model_dir: folder; gets `log.jsonl` (one JSON object a line) and `tensorboard/`.
      every: int, steps.
      learning_rate: function of a step (from 0) to the learning rate of that update.
      batch_size: int, images a step over all replicas.
    """

    def __init__(
        self, model_dir: str | os.PathLike, every: int, learning_rate: Callable[[int], tf.Tensor], batch_size: int
    ):
        super().__init__()
        self.file = LogFile(pathlib.Path(model_dir) / "log.jsonl")
        self.every, self.learning_rate, self.batch_size = every, learning_rate, batch_size
        self.writer = EventWriter(pathlib.Path(model_dir) / "tensorboard")
        self.said, self.count, self.last, self.begun = 0.0, 0, None, None

    def note(self) -> dict[str, Any]:
        """What a checkpoint keeps of the log: its last line, how many there are, and the window that is begun."""
        means = [float(variable.numpy()) for variable in self.model.metrics_variables]
        window = {"steps": self.step - self.epoch_start, "state": self.means.state, "means": means}
        return {"lines": self.count, "last": self.last, "window": window}

    def resume(self, step: int, note: dict[str, Any], in_epoch: bool):
        """Makes the log what it was when a checkpoint was stored.

        Args:
          step: int, of the checkpoint.
          note: what `note` gave then; {} if nothing did.
          in_epoch: whether the epoch of the checkpoint goes on.
        """
        self.count = self.file.cut(step)
        last = note.get("last")
        if last and last["step"] == step and not self.file.has(step, evaluation=False):
            self.file.add(last)
            self.count += 1
        if self.count < note.get("lines", 0):
            LOG.warning("%s has lost %d lines up to step %d", self.file.path, note["lines"] - self.count, step)
        self.begun = note.get("window") if in_epoch else None

    def on_train_begin(self, logs: dict | None = None):
        """Removes lines beyond the current step."""
        super().on_train_begin(logs)
        self.count = self.file.cut(self.step)

    def on_epoch_begin(self, epoch: int, logs: dict | None = None):
        """Starts the clock and the means again: evaluation is not training time."""
        self.epoch_start = self.window_start = self.step
        self.means, self.clock = WindowMeans(), time.perf_counter()
        if self.begun:
            self.epoch_start -= self.begun["steps"]
            self.means = WindowMeans(*self.begun["state"])
            for variable, value in zip(self.model.metrics_variables, self.begun["means"], strict=True):
                variable.assign(value)
        self.begun = None

    def on_step(self, step: int, logs: dict[str, float]):
        """Writes a point."""
        if step % self.every:
            return
        seconds = time.perf_counter() - self.clock
        point = self.means.take(step - self.epoch_start, logs)
        point["learning_rate"] = float(self.learning_rate(step - 1))
        point["images_per_second"] = (step - self.window_start) * self.batch_size / seconds
        self.last = self.write("train", point)
        self.count += 1
        self.window_start, self.clock = step, time.perf_counter()
        self._say(step, point)

    def _say(self, step, point):
        """Where Keras shows no progress bar, a line now and then."""
        if sys.stdout.isatty() or self.clock < self.said + SECONDS_BETWEEN_LINES:
            return
        self.said = self.clock
        rate, rest = point["images_per_second"], {n: v for n, v in point.items() if n != "images_per_second"}
        LOG.info("step %d, %.1f images/s, %s", step, rate, ", ".join(f"{n} {v:.4g}" for n, v in rest.items()))

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Writes the figures of an evaluation (names that start with `val_`)."""
        figures = {name: float(value) for name, value in (logs or {}).items() if name.startswith("val_")}
        if figures:
            self.file.drop_evaluation(self.step)
            self.write("validation", figures)
            main = {n.removeprefix("val_"): value for n, value in figures.items() if n.endswith(("_AP", "_AP50"))}
            shown = main or dict(list(figures.items())[:1])
            LOG.info("step %d, validation: %s", self.step, ", ".join(f"{n} {v:.4f}" for n, v in shown.items()))

    def write(self, group: str, point: dict[str, float]) -> dict[str, float]:
        """Adds one line, and a TensorBoard scalar for each of `point` (dict of float) under `group`; gives the line."""
        line = {"step": self.step} | {name: float(f"{value:.6g}") for name, value in point.items()}
        self.file.add(line)
        self.writer.scalars(self.step, {f"{group}/{name}": value for name, value in point.items()})
        return line


class PredictionPictures(StepCallback):
    """At each epoch's end, detections on a few images: to TensorBoard and `predictions.png`, truth beside them.

    Args:
      model_dir: folder.
      images: list of (image_id, uint8 [h, w, 3] RGB).
      evaluation: `CocoEvaluation`, placed before this; its `results` are drawn, nothing is predicted twice.
      ground_truth: COCO-format dict.
      writer: `EventWriter`.
    """

    def __init__(
        self,
        model_dir: str | os.PathLike,
        images: list[tuple[int, np.ndarray]],
        evaluation: CocoEvaluation,
        ground_truth: dict,
        writer: EventWriter,
    ):
        super().__init__()
        self.path, self.writer = pathlib.Path(model_dir) / "predictions.png", writer
        self.images, self.evaluation = images, evaluation
        self.names = {category["id"]: category["name"] for category in ground_truth["categories"]}
        has_classes = evaluation.options["iou_types"] != ("proposals",)
        self.predicted_names = self.names if has_classes else {}
        self.skeleton = keypoint_set(ground_truth).skeleton
        shown = {image_id for image_id, _ in images}
        self.truth = [row for row in ground_truth["annotations"] if row["image_id"] in shown]

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Draws."""
        sides = ((self.truth, self.names), (self.evaluation.results, self.predicted_names))
        pairs = [tuple(self._draw(*side, *image) for side in sides) for image in self.images]
        if not pairs:
            return
        sheet = visualize.side_by_side(pairs, ("truth", "prediction"))
        with writing(self.path), replacing(self.path, "predictions.partial.png") as partial:
            visualize.write_image(sheet, partial)
        self.writer.image(self.step, "predictions", sheet)

    def _draw(self, rows, names, image_id, image):
        rows = [row for row in rows if row["image_id"] == image_id and not row.get("iscrowd")]
        return visualize.draw_results(image, rows, names, PICTURE_SCORE, skeleton=self.skeleton)
