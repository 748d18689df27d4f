"""What a run stores: checkpoints to resume from, the best model, and where its evaluations stand."""

import json
import logging
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.variable_paths import stable_paths
from mask_rcnn_tf.training import run_lock
from mask_rcnn_tf.training.callbacks import StepCallback
from mask_rcnn_tf.training.checkpoint_files import NOTE, CheckpointFiles
from mask_rcnn_tf.training.run_folder import read_object
from mask_rcnn_tf.training.stopping import Stopping
from mask_rcnn_tf.training.storage import write_atomically, writing
from mask_rcnn_tf.whole_files import replacing

LOG = logging.getLogger("mask_rcnn_tf")


class Checkpointing(StepCallback):
    """Stores weights, optimizer and step together, and restores them; a kill at any moment leaves a whole checkpoint.

    Variables are stored by their paths, not as a graph of objects: TensorFlow's does not look into Python lists of
    Keras layers, and would leave their weights out (tried). Checkpoints of older versions, by position, are read too.
    `notes` has functions, by name, whose values (JSON types) are stored with them.

    Args:
      model: compiled `keras.Model` whose optimizer is built.
      model_dir: folder; gets `checkpoints/`.
      due: function of a step (from 1) that says whether to store after it.
    """

    def __init__(self, model: keras.Model, model_dir: str | os.PathLike, due: Callable[[int], bool]):
        super().__init__()
        self.folder, self.due = pathlib.Path(model_dir), due
        metrics = {id(variable) for variable in model.metrics_variables}
        weights = [variable for variable in model.variables if id(variable) not in metrics]
        self.weights, self.slots = weights, model.optimizer.variables
        self.note, self.notes = tf.Variable("", dtype=tf.string), {}
        self.parts = {"weights": _by_path(weights), "optimizer": _by_path(self.slots)}
        self.checkpoint = tf.train.Checkpoint(**self.parts, **{NOTE: self.note})
        self.manager = CheckpointFiles(self.folder / "checkpoints")
        self.stored = None

    def restore(self, path: str | None = None) -> bool:
        """Restores a checkpoint.

        Args:
          path: of a whole one; None for the newest.

        Returns:
          True if there was one.

        Raises:
          ValueError: it was stored for another model or optimizer, or no one is whole.
        """
        path = path or self.manager.newest_whole()
        if path is None:
            return False
        try:
            self._read(path).assert_consumed()
        except (AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} is of another model or optimizer: {reason}") from error
        LOG.info("resumed from %s", path)
        return True

    def _read(self, path):
        """Reads a checkpoint; names in it are paths, or positions in older ones, which have a counter and no note."""
        names = {name.partition("/.")[0] for name, _ in tf.train.list_variables(path)}
        checkpoint = self.checkpoint if NOTE in names else tf.train.Checkpoint(**self.parts)
        if "weights/0" in names:
            positions = {"weights": self.weights, "optimizer": self.slots}
            by_position = {name: [item.value for item in group] for name, group in positions.items()}
            checkpoint = tf.train.Checkpoint(**by_position)
        return checkpoint.restore(path) if "save_counter" in names else checkpoint.read(path)

    def on_step(self, step: int, logs: dict):
        """Stores a checkpoint if one is due. Raises as `store`."""
        if self.due(step):
            self.store(step)

    def store(self, step: int):
        """Stores a checkpoint after `step` (int), once.

        Raises:
          FloatingPointError: a weight is not finite; nothing is stored then.
          OSError: it could not be written; those before stay.
          ValueError: another process trains in the folder.
        """
        if step == self.stored:
            return
        check_finite(self.weights, step)
        self.folder.mkdir(parents=True, exist_ok=True)
        run_lock.ensure(self.folder)
        self.note.assign(json.dumps({name: give() for name, give in self.notes.items()}))
        self.manager.write(self.checkpoint, step)
        self.stored = step


class StopOnRequest(StepCallback):
    """After the step in which somebody asked to stop: stores a checkpoint and ends the run.

    Args:
      stopping: `Stopping`.
      checkpointing: `Checkpointing`, placed before this.
    """

    def __init__(self, stopping: Stopping, checkpointing: Checkpointing):
        super().__init__()
        self.stopping, self.checkpointing = stopping, checkpointing

    def on_train_batch_begin(self, batch: int, logs: dict | None = None):
        """From here on the step is finished first."""
        self.stopping.allow(at_once=False)

    def on_step(self, step: int, logs: dict):
        """Stops if asked to."""
        if self.stopping.requested:
            self.checkpointing.store(step)
            self.stopping.leave()


def _by_path(variables):
    """{path: TensorFlow variable}. Raises ValueError: two have one path."""
    paths = stable_paths(variables)
    named = {path: variable.value for path, variable in zip(paths, variables, strict=True)}
    if len(named) < len(variables):
        twice = sorted({path for path in paths if paths.count(path) > 1})
        raise ValueError(f"variables share the path {', '.join(twice)}; allowed: a name of its own for each layer.")
    return named


def check_finite(variables: Sequence[keras.Variable], step: int):
    """Raises FloatingPointError, naming the first few, if `variables` (Keras variables) hold NaN or infinity."""
    bad = [
        variable.path
        for variable in variables
        if variable.value.dtype.is_floating and not bool(tf.reduce_all(tf.math.is_finite(variable.value)))
    ]
    if bad:
        names = ", ".join(bad[:5]) + (", ..." if len(bad) > 5 else "")
        raise FloatingPointError(f"step {step}: {len(bad)} weights not finite ({names}), training stopped, not stored.")


class BestModel(StepCallback):
    """Saves `best.keras` whenever the monitored figure is above all before it, restarts included.

    The best value, its step and the step of the last evaluation are in `state.json`.

    Args:
      model_dir: folder.
      monitor: name in the logs, such as "val_segm_AP"; larger is better.
    """

    def __init__(self, model_dir: str | os.PathLike, monitor: str):
        super().__init__()
        self.folder, self.monitor = pathlib.Path(model_dir), monitor
        self.path = self.folder / "state.json"
        self.state = {"monitor": monitor, "best": None, "best_step": None, "evaluated_step": 0}
        self.damage = ""
        try:
            self.state.update(read_state(self.path) or {})
        except ValueError as error:
            self.damage = str(error)

    def resume(self, step: int, noted: dict[str, Any] | None, evaluated: bool):
        """Makes the state fit the checkpoint that the run goes on from.

        Args:
          step: int, of the checkpoint.
          noted: the state when it was stored, which is used where the file is gone or damaged; None if not known.
          evaluated: whether the log has the evaluation at `step`, where there is one.

        Raises:
          ValueError: the state is damaged, and not known otherwise.
        """
        if self.damage and noted is None:
            raise ValueError(f"{self.damage}; allowed: without it, the next evaluation's model becomes best.keras.")
        if self.damage:
            LOG.warning("%s; it is what it was when the checkpoint of step %d was stored", self.damage, step)
        if noted and (self.damage or not self.path.exists()):
            self.state.update(noted)
        if self.state["best"] is not None and not _is_whole_zip(self.folder / "best.keras"):
            LOG.warning("best.keras of step %s is gone or damaged: the next evaluation's is", self.state["best_step"])
            self.state.update(best=None, best_step=None)
        done = step if evaluated else step - 1
        self.state["evaluated_step"] = min(self.state["evaluated_step"], done)
        self._write()

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Compares, saves, remembers.

        Raises:
          ValueError: the logs lack the figure.
        """
        if self.monitor not in (logs or {}):
            raise ValueError(
                f"monitor is {self.monitor!r}; allowed: a name in the logs: {', '.join(sorted(logs or {}))}."
            )
        value = float(logs[self.monitor])
        if self.state["best"] is None or value > self.state["best"]:
            save_model(self.model, self.folder / "best.keras")
            self.state.update(monitor=self.monitor, best=value, best_step=self.step)
        self.state["evaluated_step"] = self.step
        self._write()

    def waited(self) -> int:
        """Steps since the best evaluation; 0 while the figure is not above 0: such a run has not begun to learn."""
        return self.state["evaluated_step"] - self.state["best_step"] if (self.state["best"] or 0.0) > 0.0 else 0

    def _write(self):
        write_atomically(self.path, json.dumps(self.state, indent=2) + "\n")


class StopWithoutGain(keras.callbacks.Callback):
    """Early stopping: ends training after some evaluations in a row without a better figure.

    Whether a run is over is read off `state.json`'s steps, so that one that is started again knows it too.

    Args:
      best: `BestModel`, placed before this.
      patience: int, evaluations; 0 never stops.
      every: int, steps between two evaluations.
    """

    def __init__(self, best: BestModel, patience: int, every: int):
        super().__init__()
        self.best, self.steps = best, patience * every

    @property
    def is_over(self) -> bool:
        """Whether the evaluations so far end the run."""
        return 0 < self.steps <= self.best.waited()

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Tells Keras to stop."""
        if self.is_over:
            state = self.best.state
            LOG.info(
                "%s has not risen above %.4f, of step %d: the run ends at step %d (config.train.patience)",
                *(state[name] for name in ("monitor", "best", "best_step", "evaluated_step")),
            )
            self.model.stop_training = True


def read_state(path: pathlib.Path) -> dict[str, Any] | None:
    """What `state.json` says; None if there is no file. Raises ValueError if it is damaged."""
    state = read_object(path)
    if state is None:
        return None
    best, best_step, evaluated = (state.get(name) for name in ("best", "best_step", "evaluated_step"))
    numbers = type(evaluated) is int and evaluated >= 0
    is_number = type(best) in (int, float) and abs(best) < 1e300 and type(best_step) is int
    numbers &= is_number or (best is None and best_step is None)
    if not numbers or not isinstance(state.get("monitor"), str):
        raise ValueError(f"{path} is damaged: {str(state)[:100]}")
    return {name: state[name] for name in ("monitor", "best", "best_step", "evaluated_step")}


def _is_whole_zip(path):
    try:
        with zipfile.ZipFile(path) as file:
            return file.testzip() is None
    except (OSError, zipfile.BadZipFile, NotImplementedError, RuntimeError, ValueError, EOFError, zlib.error):
        return False


def save_model(model: keras.Model, path: str | os.PathLike):
    """Saves a `.keras` file so that a kill or a full disk leaves the old one or the new one."""
    path = pathlib.Path(path)
    with writing(path), replacing(path, f"{path.stem}.partial.keras") as partial:
        model.save(partial)
