"""A small model in place of Mask R-CNN, for tests of what a run stores."""

import keras

from mask_rcnn_tf.training.checkpoint import Checkpointing
from mask_rcnn_tf.training.optimizer import TorchSGD


def checkpointing(folder):
    """A model whose layers have names of their own, and what stores it."""
    layers = [keras.layers.Dense(64, name=f"dense{number}") for number in range(3)]
    model = keras.Sequential([keras.Input((8,)), *layers], name="small")
    model.compile(TorchSGD(0.1))
    model.optimizer.build(model.trainable_variables)
    return model, Checkpointing(model, folder, lambda step: True)
