"""The report of a run, `report.html`, and what the run says at its end."""

import logging
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from mask_rcnn_tf import report
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import records, sources
from mask_rcnn_tf.evaluation import CocoEvaluation, coco_metrics
from mask_rcnn_tf.report import settings, words
from mask_rcnn_tf.training.log_file import LogFile
from mask_rcnn_tf.training.storage import write_atomically

LOG = logging.getLogger("mask_rcnn_tf")
NAME = "report.html"
FILES = (
    ("model.keras", "the model with the weights of the last step"),
    ("best.keras", "the model with the weights that scored best on the validation images"),
    ("metrics.json", "the figures of model.keras"),
    ("predictions.png", "annotations beside predictions of a few validation images"),
    ("log.jsonl", "losses, learning rate and scores over the steps, a line of JSON each"),
    ("tensorboard", "the same for `tensorboard --logdir`"),
    ("config.json", "the whole configuration"),
    ("state.json", "the best score and its step"),
    ("checkpoints", "what the same command continues from"),
)


def write(config: Config, folder: pathlib.Path, evaluation: CocoEvaluation, state: dict[str, Any]):
    """Writes `report.html` of a run that has ended, and logs where everything lies and what the figures mean.

    Args:
      config: resolved.
      folder: of the run.
      evaluation: of the final weights.
      state: of `BestModel`.

    Raises:
      OSError: it cannot be written.
    """
    path = folder / NAME
    facts = report.Facts(
        title=f"{config.name or 'Mask R-CNN'}: {folder.name or folder.resolve().name}",
        about=_about(config, evaluation, state),
        metrics=evaluation.metrics,
        truth=evaluation.truth,
        results=evaluation.results,
        max_dets=config.eval.max_dets[-1],
        read_images=lambda image_ids: _read_images(config, image_ids),
        settings=settings.of_run(config),
        files=[(name, about) for name, about in FILES if (folder / name).exists()],
        notes=_notes(config),
        lines=[content for content, _ in LogFile(folder / "log.jsonl").lines()],
        training=_training_data(config),
        model=str(folder / "model.keras"),  # whose figures these are
    )
    page, lines = report.render(facts)
    write_atomically(path, page)
    if classes := coco_metrics.format_classes(evaluation.metrics):
        LOG.info("in per cent\n%s", classes)
    for line in (*lines, *_places(folder, state)):
        LOG.info("%s", line)


def _about(config, evaluation, state):
    steps, count = config.train.steps, len(evaluation.truth.imgs)
    text = f"How the weights after step {steps} (model.keras) do on {count} validation images"
    text += f" of {config.data.val_annotations}" if config.data.val_annotations else ""
    if state["best"] is None:
        return f"{text}."
    kind, _, name = state["monitor"].removeprefix("val_").partition("_")
    figure = f"{words.KINDS[kind]} {name}"
    same = "are the same" if state["best_step"] == steps else f"are of step {state['best_step']}"
    return f"{text}. Those with the best {figure}, {state['best']:.3f} (best.keras), {same}."


def _notes(config):
    counts, shared, notes = sources.report(config, "val"), sources.shared_images(config), []
    if counts.images > counts.used_images:
        left = f"{counts.images - counts.used_images} of {counts.images} images cannot be read"
        notes.append(f"The score is partial: {left}, and their objects count as not found.")
    if shared:
        notes.append(
            f"{len(shared)} validation images are trained on too (first: {shared[0]}): the figures do not say how well "
            "the model does on images that it has not seen."
        )
    return notes


def _training_data(config):
    counts = sources.report(config, "train")
    ids, names = sources.category_ids(config, "train"), sources.categories(config)[1]
    pairs = zip(ids, names or map(str, ids), strict=True)
    by_class = {name: counts.per_category.get(number, 0) for number, name in pairs}
    return report.TrainingData(counts.used_images, counts.used_annotations, by_class, counts.sizes)


def _read_images(config: Config, image_ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray | str]]:
    """Validation images by their ids, in the order of the file."""
    wanted, kind = tf.constant(image_ids, tf.int64), config.model.preprocess.pixels
    chosen = sources.dataset(config, "val").filter(lambda record: tf.reduce_any(record["image_id"] == wanted))
    missing = set(image_ids)
    for record in chosen:
        missing.discard(image_id := int(record["image_id"]))
        yield image_id, records.decoded(record, kind)["image"].numpy()
    yield from ((image_id, "it cannot be read.") for image_id in sorted(missing))


def _places(folder, state):
    lines = [
        f"report: {folder / NAME}, with curves, confusions and the worst images",
        f"last weights: {folder / 'model.keras'}",
    ]
    if (folder / "best.keras").exists():
        lines.append(f"best weights on validation, of step {state['best_step']}: {folder / 'best.keras'}")
    return lines
