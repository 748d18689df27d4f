"""Which devices train together."""

import logging

import keras
import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.models.sublayers import sublayers

LOG = logging.getLogger("mask_rcnn_tf")


def make_strategy() -> tf.distribute.Strategy:
    """A `MirroredStrategy` over all GPUs (without any, all logical CPUs) if there are several, else the default one."""
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_batch_size(config: Config, strategy: tf.distribute.Strategy):
    """Says how a batch is shared.

    Args:
      config: `train.batch_size`, images a step over all replicas, and `train.accumulation_steps` are read.
      strategy: `tf.distribute.Strategy`.

    Raises:
      ValueError: replicas would get different numbers of images, or the parts of a replica would.
    """
    replicas, batch_size, parts = (
        strategy.num_replicas_in_sync,
        config.train.batch_size,
        config.train.accumulation_steps,
    )
    if batch_size % replicas:
        raise ValueError(
            f"config.train.batch_size is {batch_size}; allowed: a multiple of {replicas}, the number of replicas "
            "(one a device), which share each batch equally."
        )
    if batch_size // replicas % parts:
        raise ValueError(
            f"config.train.accumulation_steps is {parts}; allowed: divisors of {batch_size // replicas}, the images a "
            "step on each replica."
        )
    LOG.info("%d replica(s), %d image(s) a step on each", replicas, batch_size // replicas)


def check_norms(model: keras.Model, strategy: tf.distribute.Strategy):
    """Raises ValueError where norms are synchronised over replicas that accumulate gradients: not inside a loop."""
    parts, replicas = model.accumulation_steps, strategy.num_replicas_in_sync
    if parts > 1 and replicas > 1 and any(getattr(layer, "synchronized", False) for _, layer in sublayers(model)):
        raise ValueError(
            f"config.train.accumulation_steps is {parts}; allowed on {replicas} replicas with 'sync_batch_norm': 1."
        )
