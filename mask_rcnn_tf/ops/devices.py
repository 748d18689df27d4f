"""What TensorFlow may compute on."""

import tensorflow as tf


def has_gpu() -> bool:
    """Whether a GPU is visible: what a CPU is bad at is then computed as TensorFlow has it."""
    return bool(tf.config.get_visible_devices("GPU"))
