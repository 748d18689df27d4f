"""Which devices train together."""

import logging

import tensorflow as tf

LOG = logging.getLogger("mask_rcnn_tf")


def make_strategy() -> tf.distribute.Strategy:
    """A `MirroredStrategy` over all GPUs (without any, all logical CPUs) if there are several, else the default one."""
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    if len(devices) < 2:
        return tf.distribute.get_strategy()
    return tf.distribute.MirroredStrategy([device.name for device in devices])


def check_batch_size(batch_size: int, strategy: tf.distribute.Strategy):
    """Says how a batch is shared.

    Args:
      batch_size: int, images a step over all replicas.
      strategy: `tf.distribute.Strategy`.

    Raises:
      ValueError: replicas would get different numbers of images.
    """
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        raise ValueError(
            f"config.train.batch_size is {batch_size}; allowed: a multiple of {replicas}, the number of replicas "
            "(one a device), which share each batch equally."
        )
    LOG.info("%d replica(s), %d image(s) a step on each", replicas, batch_size // replicas)
