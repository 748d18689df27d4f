"""One run from its configuration: data, model, optimizer, callbacks, `model.fit`, and what is left in the folder."""

import copy
import json
import logging
import os
import pathlib
import sys

import keras
import tensorflow as tf

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline, records, sources
from mask_rcnn_tf.evaluation import CocoEvaluation, write_json
from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.training import callbacks as run_callbacks
from mask_rcnn_tf.training import checkpoint as run_checkpoint
from mask_rcnn_tf.training.schedule import make_optimizer, make_schedule
from mask_rcnn_tf.training.strategy import check_batch_size, make_strategy
from mask_rcnn_tf.weights.initialization import initialize

LOG = logging.getLogger("mask_rcnn_tf")

# Fields in which a run may differ from the one it continues.
FREE_FIELDS = ("eval.", "train.steps", "train.checkpoint_every", "train.evaluate_every", "train.summary_every")


def train(config: Config, model_dir: str | os.PathLike) -> keras.callbacks.History:
    """Trains, or continues the run that `model_dir` holds, and scores the result.

    Writes to `model_dir`: `config.json` (resolved), `checkpoints/`, `log.jsonl`, `tensorboard/`, `state.json`,
    `best.keras` (best val AP of masks, or of boxes without masks), `predictions.png`, and at the end `model.keras` and
    `metrics.json`. An "epoch" is `config.train.evaluate_every` steps. Killed and started again, it ends in the same
    weights.

    Args:
      config: `Config`; it is copied. The dataset decides `model.num_classes`, `class_names` and `category_ids`.
      model_dir: folder; made if it is missing.

    Returns:
      `keras.callbacks.History` of the steps done by this call.

    Raises:
      ValueError: the configuration does not validate or is not the one of the run in `model_dir`; the batch does not
        divide by the devices; `train.init_from` cannot be loaded (it is read where there is no checkpoint yet).
      FloatingPointError: a loss or a weight is not finite.
    """
    folder = pathlib.Path(model_dir)
    config = resolve(config)
    sources.check(config)  # both files are judged before anything is built
    check_same_run(config, folder)
    folder.mkdir(parents=True, exist_ok=True)
    text = json.dumps(configuration.to_dict(config), indent=2) + "\n"
    run_callbacks.write_atomically(folder / "config.json", text)
    model = build_model(config)
    checkpointing = run_checkpoint.Checkpointing(model, folder, _checkpoint_due(config.train))
    start = int(model.optimizer.iterations.numpy()) if checkpointing.restore() else 0
    if not start and config.train.init_from:
        initialize_from(model, config.train.init_from)
    LOG.info("step %d of %d, %s, %s", start, config.train.steps, model.backbone.dtype_policy.name, folder)
    callbacks = make_callbacks(config, folder, checkpointing)
    if start and start % config.train.evaluate_every == 0 and callbacks["best"].state["evaluated_step"] < start:
        end_epoch(config, model, callbacks, start)  # the kill came between the checkpoint and the end of evaluation
    for first, length, epoch, epochs in segments(start, config.train.steps, config.train.evaluate_every):
        model.fit(
            pipeline.train_dataset(config, first),
            steps_per_epoch=length,
            initial_epoch=epoch,
            epochs=epochs,
            callbacks=list(callbacks.values()),
            shuffle=False,  # the pipeline shuffles
            verbose=1 if sys.stdout.isatty() else 2,
        )
    finish(config, folder, model, callbacks)
    return callbacks["history"]


def resolve(config: Config) -> Config:
    """A validated copy of `config` (`Config`) with the dataset's classes."""
    config = copy.deepcopy(config).validate()
    category_ids, class_names = sources.categories(config)
    model = config.model
    if model.num_classes != len(category_ids):
        LOG.info("num_classes %d becomes %d, as in the data", model.num_classes, len(category_ids))
    model.num_classes, model.category_ids, model.class_names = len(category_ids), category_ids, class_names
    return config.validate()


def check_same_run(config: Config, folder: pathlib.Path):
    """Raises ValueError, naming the fields, if `folder` (a Path) holds checkpoints of another configuration."""
    path = folder / "config.json"
    if not path.exists() or tf.train.latest_checkpoint(str(folder / "checkpoints")) is None:
        return
    ours = _flatten(json.loads(json.dumps(configuration.to_dict(config))))
    try:  # a field that is newer than the run has its default
        stored = configuration.from_dict(configuration.Config, json.loads(path.read_text()))
    except ValueError as error:
        raise ValueError(f"model_dir is {str(folder)!r}, whose config.json is not of this version: {error}") from None
    theirs = _flatten(json.loads(json.dumps(configuration.to_dict(stored))))
    changed = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    changed = [name for name in changed if not name.startswith(FREE_FIELDS)]
    if changed:
        name = changed[0]
        raise ValueError(
            f"model_dir is {str(folder)!r}, which holds a run with another configuration ({', '.join(changed)} differ: "
            f"{name} was {theirs.get(name)!r} and is {ours.get(name)!r}); allowed: a new folder, or the same "
            "configuration except eval, train.steps, checkpoint_every, evaluate_every and summary_every."
        )


def _flatten(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {name: leaf for key, value in values.items() for name, leaf in _flatten(value, f"{prefix}{key}.").items()}


def build_model(config: Config) -> MaskRCNN:
    """A compiled `MaskRCNN` with random weights (by `config.train.seed`), on all devices."""
    keras.utils.set_random_seed(config.train.seed)
    strategy = make_strategy()
    check_batch_size(config.train.batch_size, strategy)
    with strategy.scope():
        model = MaskRCNN(config.model)
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
    config: Config, folder: pathlib.Path, checkpointing: run_checkpoint.Checkpointing
) -> dict[str, keras.callbacks.Callback]:
    """The callbacks of a run by name, in the order in which they must be called."""
    train = config.train
    truth = sources.ground_truth(config, "val")
    iou_types = config.model.iou_types
    evaluation = CocoEvaluation(
        pipeline.val_dataset(config),
        truth,
        sources.category_ids(config, "val"),
        iou_types,
        max_dets=config.eval.max_dets,
        sigmas=config.data.keypoint_sigmas or None,
        verbose=int(sys.stdout.isatty()),
    )
    log = run_callbacks.StepLog(folder, train.summary_every, make_schedule(train), train.batch_size)
    pictured = sources.dataset(config, "val").take(run_callbacks.NUM_PICTURES).map(records.decoded)
    images = [(int(record["image_id"]), record["image"]) for record in pictured.as_numpy_iterator()]
    return {
        "stop": run_callbacks.StopOnNonFinite(lambda step: pipeline.train_dataset(config, step)),
        "evaluation": evaluation,
        "log": log,  # after the evaluation, whose figures it writes
        "checkpoint": checkpointing,  # after the check of the loss
        "pictures": run_callbacks.PredictionPictures(folder, images, evaluation, truth, log.writer),
        "best": run_checkpoint.BestModel(folder, f"val_{iou_types[-1]}_AP"),  # last: says that the epoch's end is done
        "history": keras.callbacks.History(),
    }


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
    """Scores the final weights, unless the last epoch's end just did, and writes `model.keras` and `metrics.json`."""
    evaluation = callbacks["evaluation"]
    if not evaluation.metrics:
        end_epoch(config, model, callbacks, config.train.steps)
    run_checkpoint.save_model(model, folder / "model.keras")
    write_json(evaluation.metrics, folder / "metrics.json")
    for kind in ("bbox", "segm"):
        if kind in evaluation.metrics:
            LOG.info("%s AP %.4f, AP50 %.4f", kind, evaluation.metrics[kind]["AP"], evaluation.metrics[kind]["AP50"])
