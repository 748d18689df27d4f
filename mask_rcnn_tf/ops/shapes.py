"""Sizes of tensors as Python integers where they are known, which leaves nothing to compute in a graph."""

import numpy as np
import tensorflow as tf


def sizes(tensor: tf.Tensor | np.ndarray) -> list[int | tf.Tensor]:
    """The size of each axis: a Python integer, or an int32 scalar where it is known only when the graph runs."""
    known = [*tensor.shape]
    if None not in known:
        return known
    return [size if size is not None else read for size, read in zip(known, tf.unstack(tf.shape(tensor)), strict=True)]
