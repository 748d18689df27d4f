"""What a run stores: checkpoints to resume from, the best model, and where its evaluations stand."""

import json
import logging
import os
import pathlib
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from mask_rcnn_tf.training.callbacks import StepCallback, write_atomically

LOG = logging.getLogger("mask_rcnn_tf")

KEPT = 3  # checkpoints


class Checkpointing(StepCallback):
    """Stores weights, optimizer and step together, and restores them; a kill at any moment leaves a whole checkpoint.

    Variables are stored by their paths, not as a graph of objects: TensorFlow's does not look into Python lists of
    Keras layers, and would leave their weights out (tried). Checkpoints of older versions, by position, are read too.

    Args:
      model: compiled `keras.Model` whose optimizer is built.
      model_dir: folder; gets `checkpoints/`.
      due: function of a step (from 1) that says whether to store after it.
    """

    def __init__(self, model: keras.Model, model_dir: str | os.PathLike, due: Callable[[int], bool]):
        super().__init__()
        self.due = due
        metrics = {id(variable) for variable in model.metrics_variables}
        weights = [variable for variable in model.variables if id(variable) not in metrics]
        self.weights, self.slots = weights, model.optimizer.variables
        self.checkpoint = tf.train.Checkpoint(weights=_by_path(weights), optimizer=_by_path(self.slots))
        folder = str(pathlib.Path(model_dir) / "checkpoints")
        self.manager = tf.train.CheckpointManager(self.checkpoint, folder, max_to_keep=KEPT, checkpoint_name="step")

    def restore(self) -> bool:
        """Restores the newest checkpoint, if there is one.

        Returns:
          True if there was one.

        Raises:
          ValueError: it was stored for another model or optimizer.
        """
        path = self.manager.latest_checkpoint
        if path is None:
            return False
        try:
            self._reader(path).restore(path).assert_consumed()
        except (AssertionError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise ValueError(f"checkpoint {path} is of another model or optimizer: {reason}") from error
        LOG.info("resumed from %s", path)
        return True

    def _reader(self, path):
        """What reads a checkpoint: its names are paths, or positions in older ones."""
        if not any(name.startswith("weights/0/") for name, _ in tf.train.list_variables(path)):
            return self.checkpoint
        positions = {"weights": self.weights, "optimizer": self.slots}
        return tf.train.Checkpoint(**{name: [item.value for item in group] for name, group in positions.items()})

    def on_step(self, step: int, logs: dict):
        """Stores a checkpoint if one is due.

        Raises:
          FloatingPointError: a weight is not finite; nothing is stored then.
        """
        if not self.due(step):
            return
        check_finite(self.weights, step)
        self.manager.save(checkpoint_number=step)


def _by_path(variables):
    """{path: TensorFlow variable}. Raises ValueError: two have one path."""
    named = {variable.path: variable.value for variable in variables}
    if len(named) < len(variables):
        paths = [variable.path for variable in variables]
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
        if self.path.exists():
            self.state.update(json.loads(self.path.read_text()))

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
        write_atomically(self.path, json.dumps(self.state, indent=2) + "\n")


def save_model(model: keras.Model, path: str | os.PathLike):
    """Saves a `.keras` file so that a kill leaves the old one or the new one."""
    path = pathlib.Path(path)
    partial = path.with_name(f"{path.stem}.partial.keras")
    model.save(partial)
    partial.replace(path)
