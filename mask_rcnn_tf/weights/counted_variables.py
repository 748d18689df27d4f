"""Variables counted while a model is built whose configuration a file says: no file makes more than it may."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import tensorflow as tf

from mask_rcnn_tf.weights.errors import CheckpointError


@contextlib.contextmanager
def counted_variables(most_bytes: int, unset: bool = False) -> Iterator[None]:
    """Variables that are made inside have at most so many bytes together.

    Args:
      most_bytes: of all variables.
      unset: whether they are NaN until they are loaded, so that one that is not is seen; else they have their initial
        values.

    Raises:
      CheckpointError: they need more; the one that is too much is not made.
    """
    left, shapes_alone = most_bytes, tf.Graph()

    def create(next_creator: Callable[..., tf.Variable], **arguments: Any) -> tf.Variable:
        nonlocal left
        value = arguments["initial_value"]
        if callable(value):
            with shapes_alone.as_default():
                spec = tf.convert_to_tensor(value())
            left -= spec.shape.num_elements() * spec.dtype.size
            if left >= 0 and unset:
                filling = float("nan") if spec.dtype.is_floating else 0
                arguments["initial_value"] = tf.fill(spec.shape, tf.constant(filling, spec.dtype))
        if left < 0:
            raise CheckpointError(too_much)
        return next_creator(**arguments)

    too_much = f"its configuration needs more weights than the {most_bytes} bytes of the file"
    try:
        with tf.variable_creator_scope(create):
            yield
    except Exception as error:
        if left < 0:  # Keras wraps what a layer raises
            raise CheckpointError(too_much) from error
        raise
