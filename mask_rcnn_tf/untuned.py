"""Data sets whose iterators go at once: without tf.data's tuner, which may keep who deletes one waiting."""

import tensorflow as tf


def untuned(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """The data set without tf.data's autotuning, unless its options say whether it is wanted.

    The tuner's thread sleeps 10 ms, then twice as long each time, up to a minute. Deleting an iterator wakes it before
    the flag is set that it looks at (TensorFlow 2.21, `CancellationManager::StartCancelWithStatus`). Where the thread
    is faster it sleeps on, and the deletion waits: `predict` of one image took 0.62 s in place of 0.34 in most calls,
    and a data set that was read for half a minute may take another half. `tf.data.AUTOTUNE` in a map is a call a core
    then.
    """
    if dataset.options().autotune.enabled is not None:
        return dataset
    options = tf.data.Options()
    options.autotune.enabled = False
    return dataset.with_options(options)
