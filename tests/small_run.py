"""A small model in place of Mask R-CNN, for tests of what a run stores."""

import json

import keras
import numpy as np

from mask_rcnn_tf.config import Config, to_dict
from mask_rcnn_tf.training.checkpoint import Checkpointing, save_model
from mask_rcnn_tf.training.optimizer import TorchSGD

STATE = {"monitor": "val_segm_AP", "best": 0.5, "best_step": 6, "evaluated_step": 6}


def checkpointing(folder):
    """A model whose layers have names of their own, and what stores it."""
    layers = [keras.layers.Dense(64, name=f"dense{number}") for number in range(3)]
    model = keras.Sequential([keras.Input((8,)), *layers], name="small")
    model.compile(TorchSGD(0.1))
    model.optimizer.build(model.trainable_variables)
    return model, Checkpointing(model, folder, lambda step: True)


def write_run(folder, with_note=True):
    """A run's folder with the checkpoints of steps 3, 6 and 9, whose weights are equal to the step.

    Older versions stored no note with a checkpoint: what it says was in other files only.
    """
    model, callback = checkpointing(folder)
    callback.notes = {"config": lambda: to_dict(Config()), "state": lambda: STATE} if with_note else {}
    for step in (3, 6, 9):
        for variable in model.weights:
            variable.assign(np.full(variable.shape, step))
        model.optimizer.iterations.assign(step)
        callback.on_step(step, {})
    lines = [{"step": step, "loss": 1.0} for step in (3, 6, 9)]
    (folder / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.json").write_text(json.dumps(to_dict(Config())))
    (folder / "state.json").write_text(json.dumps(STATE))
    save_model(model, folder / "best.keras")
