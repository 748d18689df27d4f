"""A `keras.Model` that does not wait for tf.data's tuner when it has predicted or been evaluated."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.untuned import untuned

BATCH_SIZE = 32  # Keras's own


class UntunedModel(keras.Model):
    """Keras's `predict` and `evaluate`, of `untuned` data sets; whatever else Keras takes it is given as it is."""

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] | None = None,
    ) -> Any:
        """As `keras.Model.predict`, whose arguments these are."""
        if _is_arrays(x):
            size = BATCH_SIZE if batch_size is None else batch_size
            x, batch_size = tf.data.Dataset.from_tensor_slices(x).batch(size), None
        return super().predict(_untuned(x), batch_size, verbose, steps, callbacks)

    def evaluate(self, x: Any = None, *args: Any, **options: Any) -> Any:
        """As `keras.Model.evaluate`, whose arguments these are."""
        return super().evaluate(_untuned(x), *args, **options)


def _is_arrays(x):
    values = x.values() if isinstance(x, Mapping) else [x]
    return len(values) > 0 and all(isinstance(value, np.ndarray | tf.Tensor) and value.ndim > 0 for value in values)


def _untuned(x):
    return untuned(x) if isinstance(x, tf.data.Dataset) else x
