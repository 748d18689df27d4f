"""One run from its configuration: data, model, optimizer, callbacks, `model.fit`, and what is left in the folder."""

import copy
import functools
import json
import logging
import math
import os
import pathlib
import sys
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline, proposals, repeats, sources, transforms
from mask_rcnn_tf.evaluation import CocoEvaluation, coco_metrics
from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.prediction import make_predictor
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.training import callbacks as run_callbacks
from mask_rcnn_tf.training import checkpoint as run_checkpoint
from mask_rcnn_tf.training import run_folder, run_lock, run_report
from mask_rcnn_tf.training.averages import AveragedWeights, UseAverages, UseWeights
from mask_rcnn_tf.training.checkpoint_files import CheckpointFiles
from mask_rcnn_tf.training.keypoints import resolve_keypoints
from mask_rcnn_tf.training.run_folder import find_start
from mask_rcnn_tf.training.schedule import make_optimizer, make_schedule
from mask_rcnn_tf.training.stopping import AllowStop, Stopping
from mask_rcnn_tf.training.storage import check_folder, reason, write_atomically
from mask_rcnn_tf.training.strategy import check_batch_size, check_norms, make_strategy
from mask_rcnn_tf.weights.initialization import initialize

LOG = logging.getLogger("mask_rcnn_tf")


def train(config: Config, model_dir: str | os.PathLike) -> keras.callbacks.History:
    """Trains, or continues the run that `model_dir` holds, and scores the result.

    Writes to `model_dir`: `config.json` (resolved), `checkpoints/`, `log.jsonl`, `tensorboard/`, `state.json`,
    `best.keras` (best val AP of masks, or of boxes without masks), `predictions.png`, and at the end `model.keras`,
    `metrics.json` and `report.html`. What Keras calls an epoch is `config.train.evaluate_every` steps.
    Killed and started again, it ends in the same weights.

    Args:
      config: `Config`; it is copied. The dataset decides `model.num_classes`, `class_names` and `category_ids`.
      model_dir: folder; made if it is missing.

    Returns:
      `keras.callbacks.History` of the steps done by this call.

    Raises:
      ValueError: an argument is of another kind; the configuration does not validate or is not the one of the run
        in `model_dir`; the batch does not divide by the devices; `train.init_from` cannot be loaded (it is read where
        there is no checkpoint yet); the folder holds a run and no whole checkpoint; another process trains in it.
      FloatingPointError: a loss or a weight is not finite.
      OSError: something cannot be written, as on a full disk.
      KeyboardInterrupt, SystemExit: Ctrl-C, SIGTERM or SIGHUP came, to the main thread; the step that was at
        work is stored.
    """
    check_kind("config", config, Config, "a Config")
    check_kind("model_dir", model_dir, PATH, "the path of a folder")
    folder, stopping = pathlib.Path(model_dir), Stopping()
    with stopping.handled(lambda: _where(folder, config.train.steps)):
        stopping.allow(at_once=True)
        resolved = resolve(config)
        truth = sources.check(resolved)  # both files are judged before anything is built
        resolve_steps(resolved)
        proposals.check(resolved)
        folder.mkdir(parents=True, exist_ok=True)
        run_folder.check_places(folder)
        with run_lock.locked(folder):
            try:
                return _train(resolved, folder, stopping, truth)
            except tf.errors.DataLossError as error:
                raise ValueError(
                    f"config.data.data_dir is {config.data.data_dir!r}; what was prepared there is damaged "
                    f"({reason(error)}); tools/data_cache.py removes it, and then it is prepared again."
                ) from error


def _where(folder, steps):
    """What is stored of a run, in words."""
    stored = CheckpointFiles(folder / "checkpoints").steps()
    if not stored:
        return f"no step is stored in {folder} yet; the same command begins again"
    return f"step {stored[-1]} of {steps} is stored in {folder}; the same command continues from there"


def _train(config, folder, stopping, truth):
    path, note = find_start(config, folder)
    check_folder(folder / "checkpoints")
    write_atomically(folder / "config.json", json.dumps(configuration.to_dict(config), indent=2) + "\n")
    model = build_model(config)
    checkpointing = run_checkpoint.Checkpointing(model, folder, _checkpoint_due(config.train))
    start = int(model.optimizer.iterations.numpy()) if path and checkpointing.restore(path) else 0
    if not start and config.train.init_from:
        initialize_from(model, config.train.init_from)
    LOG.info("step %d of %d, %s, %s", start, config.train.steps, model.backbone.dtype_policy.name, folder)
    callbacks = make_callbacks(config, folder, checkpointing, stopping, truth)
    resume(config, callbacks, start, note)
    if start and start % config.train.evaluate_every == 0 and callbacks["best"].state["evaluated_step"] < start:
        end_epoch(config, model, callbacks, start)  # the kill came between the checkpoint and the end of evaluation
    for first, length, epoch, epochs in segments(start, config.train.steps, config.train.evaluate_every):
        if callbacks["patience"].is_over:
            break
        model.fit(
            pipeline.train_dataset(config, first),
            steps_per_epoch=length,
            initial_epoch=epoch,
            epochs=epochs,
            callbacks=list(callbacks.values()),
            shuffle=False,  # the pipeline shuffles
            verbose=int(sys.stdout.isatty()),  # elsewhere the log has a line now and then
        )
    finish(config, folder, model, callbacks)
    return callbacks["history"]


def resolve(config: Config) -> Config:
    """A validated copy of `config` (`Config`) with the dataset's classes and keypoints, or the one class of an RPN.

    Raises:
      ValueError: a field is wrong, images may fit no canvas (`transforms.check_canvases`), or the data cannot be read.
    """
    config = copy.deepcopy(config).validate()
    transforms.check_canvases(config)
    category_ids, class_names = sources.categories(config)
    model = config.model
    if not model.has_classes:
        model.class_names = ("object",)
        return config.validate()
    if model.num_classes != len(category_ids):
        LOG.info("num_classes %d becomes %d, as in the data", model.num_classes, len(category_ids))
    model.num_classes, model.category_ids, model.class_names = len(category_ids), category_ids, class_names
    resolve_keypoints(config)
    return config.validate()


def resolve_steps(config: Config):
    """Sets `train.steps` of a resolved configuration, in place, where `train.epochs` says how long a run is."""
    if config.train.epochs:
        images = repeats.epoch_length(config, sources.num_examples(config, "train"))
        config.train.steps = max(1, math.ceil(config.train.epochs * images / config.train.batch_size))


def build_model(config: Config) -> MaskRCNN:
    """A compiled `MaskRCNN` with random weights (by `config.train.seed`), on all devices."""
    keras.utils.set_random_seed(config.train.seed)
    strategy = make_strategy()
    check_batch_size(config, strategy)
    with strategy.scope():
        model = MaskRCNN(config.model)
        model.accumulation_steps = config.train.accumulation_steps
        check_norms(model, strategy)
        # XLA does not compile what `tf.distribute` does between replicas.
        jit_compile = get_kernels(config.model.kernels).compiled and strategy.num_replicas_in_sync == 1
        model.compile(optimizer=make_optimizer(config, model), jit_compile=jit_compile)
    return model


def initialize_from(model: MaskRCNN, path: str):
    """Gives a run the weights of a saved model to start from, and logs which variables keep their random values.

    Args:
      model: `MaskRCNN`, in training.
      path: `config.train.init_from`, a `.keras` file of `MaskRCNN` with any number of classes.

    Raises:
      ValueError: there is no such file, it holds something else, or its weights need another configuration.
    """
    try:
        report = initialize(model, load_model(path, with_optimizer=False))
    except ValueError as error:
        raise ValueError(f"config.train.init_from is {path!r}: {error}") from error
    for line in report.lines():
        LOG.info("init_from %s: %s", path, line)


def make_callbacks(
    config: Config, folder: pathlib.Path, checkpointing: run_checkpoint.Checkpointing, stopping: Stopping, truth: dict
) -> dict[str, keras.callbacks.Callback]:
    """The callbacks of a run by name, in the order in which they must be called; `truth` is of `sources.check`."""
    train = config.train
    iou_types = config.model.iou_types
    augmented = len(config.eval.augmentation.short_sides) > 0
    predictor = functools.partial(make_predictor, augmentation=config.eval.augmentation)
    evaluation = CocoEvaluation(
        pipeline.val_images(config) if augmented else pipeline.val_dataset(config),
        coco_metrics.index(truth, iou_types),
        sources.category_ids(config, "val") if config.model.has_classes else (),
        iou_types,
        max_dets=config.eval.max_dets,
        sigmas=config.model.keypoint_head.sigmas or None,
        judge=config.eval.judge,
        verbose=int(sys.stdout.isatty()),
        make_predictor=predictor if augmented else None,
    )
    averages = AveragedWeights()
    log = run_callbacks.StepLog(folder, train.summary_every, make_schedule(train), train.batch_size)
    pictured = pipeline.val_images(config).take(run_callbacks.NUM_PICTURES)
    images = [(int(record["image_id"]), record["image"]) for record in pictured.as_numpy_iterator()]
    monitor = f"val_{iou_types[-1]}_{coco_metrics.headline(iou_types[-1], config.eval.max_dets)}"
    best = run_checkpoint.BestModel(folder, monitor)
    checkpointing.notes |= {"log": log.note, "state": lambda: best.state, **run_folder.facts(config)}
    return {
        "finite": run_callbacks.StopOnNonFinite(
            lambda step: pipeline.train_dataset(config, step), lambda: checkpointing.manager.latest_checkpoint
        ),
        "averages": UseAverages(averages),
        "may_stop": AllowStop(stopping, at_once=True),
        "evaluation": evaluation,
        "may_not_stop": AllowStop(stopping, at_once=False),
        "log": log,  # after the evaluation, whose figures it writes
        "checkpoint": checkpointing,  # after the check of the loss, and the log, whose window it stores
        "stop": run_checkpoint.StopOnRequest(stopping, checkpointing),
        "pictures": run_callbacks.PredictionPictures(folder, images, evaluation, truth, log.writer),
        "best": best,  # says that the epoch's end is done
        "patience": run_checkpoint.StopWithoutGain(best, train.patience, train.evaluate_every),
        "weights": UseWeights(averages),
        "history": keras.callbacks.History(),
    }


def resume(config: Config, callbacks: dict[str, keras.callbacks.Callback], step: int, note: dict[str, Any]):
    """Makes the log, the state and what else the folder holds fit the checkpoint of `step` (int) and its note."""
    log = callbacks["log"]
    log.resume(step, note.get("log", {}), in_epoch=step % config.train.evaluate_every > 0)
    if step:
        callbacks["best"].resume(step, note.get("state"), log.file.has(step, evaluation=True))


def _checkpoint_due(train):
    # Before each evaluation as well: a kill during it costs no training.
    return lambda step: step % train.checkpoint_every == 0 or step % train.evaluate_every == 0 or step == train.steps


def segments(start: int, steps: int, every: int) -> list[tuple[int, int, int, int]]:
    """Splits what is left into calls of `fit`, in which all epochs have the same length.

    Args:
      start: int, steps done.
      steps: int, steps of the run.
      every: int, steps of a whole epoch; epochs end at its multiples, and at `steps`.

    Returns:
      List of (first step, steps an epoch, initial epoch, epoch to stop before).
    """
    parts = []
    while start < steps:
        epoch, done = divmod(start, every)
        count = 1 if done else max(1, (steps - start) // every)
        length = min(every - done, steps - start)
        parts.append((start, length, epoch, epoch + count))
        start += length * count
    return parts


def end_epoch(config: Config, model: MaskRCNN, callbacks: dict[str, keras.callbacks.Callback], step: int):
    """Does what `fit` does at the end of the epoch that ends at `step`: evaluation, log, pictures, best model."""
    group = keras.callbacks.CallbackList(list(callbacks.values()), model=model)
    group.on_train_begin()
    group.on_epoch_end((step - 1) // config.train.evaluate_every, {})


def finish(config: Config, folder: pathlib.Path, model: MaskRCNN, callbacks: dict[str, keras.callbacks.Callback]):
    """Scores the final weights, unless the last epoch's end just did, and writes them, their figures, the report."""
    evaluation = callbacks["evaluation"]
    if not evaluation.metrics:
        end_epoch(config, model, callbacks, int(model.optimizer.iterations.numpy()))
    with AveragedWeights().used(model):
        run_checkpoint.save_model(model, folder / "model.keras")
    write_atomically(folder / "metrics.json", json.dumps(evaluation.metrics))
    run_report.write(config, folder, evaluation, callbacks["best"].state)
