"""Normalisation layers: frozen, plain and synchronised batch norm, group norm."""

from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.ops.batch_norm import batch_norm
from mask_rcnn_tf.ops.devices import has_gpu

GROUPS = 32  # of group norm (Wu and He, arXiv:1803.08494); fewer where the channels do not divide


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class FrozenBatchNorm(keras.layers.Layer):
    """Batch norm whose four tensors never change: statistics and scale come with pretrained weights.

    Unlike `BatchNormalization(trainable=False)` it stays frozen when somebody sets `model.trainable = True`.

    Args:
      epsilon: added to the variance; part of the weight format (Detectron2 1e-5, torchvision's COCO_V1 0).

    Source: `detectron2/layers/batch_norm.py`, FrozenBatchNorm2d.
    """

    def __init__(self, epsilon: float = 1e-5, **kwargs: Any):
        super().__init__(**kwargs)
        self.epsilon = epsilon
        self.supports_jit = True

    def build(self, input_shape: tuple):
        """Creates gamma, beta, moving_mean and moving_variance, float32 [channels], none trainable."""
        for name, initial in (
            ("gamma", "ones"),
            ("beta", "zeros"),
            ("moving_mean", "zeros"),
            ("moving_variance", "ones"),
        ):
            weight = self.add_weight(
                shape=(input_shape[-1],),
                initializer=initial,
                name=name,
                trainable=False,
                autocast=False,
                dtype="float32",
            )
            setattr(self, name, weight)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Normalises [..., channels]."""
        scale, shift = scale_and_shift(self)
        return inputs * tf.cast(scale, inputs.dtype) + tf.cast(shift, inputs.dtype)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class RowBatchNorm(keras.layers.BatchNormalization):
    """Batch norm that can leave rows out of its statistics, on one replica or synchronised over all.

    Keras's own `mask` is not synchronised, and gives variance 0 where it leaves nothing; here the running statistics
    then stand in and stay as they are. With all rows on one replica it is `ops.batch_norm`, on a CPU.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, valid: tf.Tensor | None = None) -> tf.Tensor:
        """Normalises [n, h, w, channels]; `valid` is bool [n], or None for all rows."""
        trains = training and self.trainable
        if not trains or (valid is None and (self.synchronized or has_gpu())):
            return super().call(inputs, training=training)
        gamma, beta = tf.convert_to_tensor(self.gamma), tf.convert_to_tensor(self.beta)
        if valid is None:
            outputs, mean, variance = batch_norm(inputs, gamma, beta, self.epsilon)
        else:
            outputs = tf.cast(inputs, tf.float32)
            mean, variance = self._row_moments(outputs, tf.cast(valid, tf.float32))
            outputs = tf.nn.batch_normalization(outputs, mean, variance, beta, gamma, self.epsilon)
        for running, value in ((self.moving_mean, mean), (self.moving_variance, variance)):
            running.assign(running * self.momentum + value * (1.0 - self.momentum))
        return tf.cast(outputs, inputs.dtype)

    def _row_moments(self, inputs, weights):
        pixels = tf.cast(tf.shape(inputs)[1] * tf.shape(inputs)[2], tf.float32)
        weighted = inputs * weights[:, None, None, None]
        sums = [tf.reduce_sum(weighted, [0, 1, 2]), tf.reduce_sum(weighted * inputs, [0, 1, 2])]
        sums = tf.concat([*sums, [tf.reduce_sum(weights) * pixels]], 0)
        if self.synchronized:
            sums = sum_over_replicas(sums)
        count = tf.maximum(sums[-1], 1.0)
        mean, square = tf.split(sums[:-1] / count, 2)
        variance = tf.maximum(square - mean * mean, 0.0)
        some = sums[-1] > 0
        return tf.where(some, mean, self.moving_mean), tf.where(some, variance, self.moving_variance)


def sum_over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of a tensor over the replicas of `tf.distribute`, on each of them."""
    context = tf.distribute.get_replica_context()
    # None in Keras's symbolic build.
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return context.all_reduce(tf.distribute.ReduceOp.SUM, value)


def is_identity(norm: keras.layers.Layer) -> bool:
    """True as long as no pretrained statistics were loaded into a batch norm (eager only)."""
    initial = {"gamma": 1.0, "moving_variance": 1.0, "beta": 0.0, "moving_mean": 0.0}
    values = {name: getattr(norm, name) for name in initial}  # gamma and beta are None where there is none
    return all(bool(tf.reduce_all(value == initial[name])) for name, value in values.items() if value is not None)


def scale_and_shift(norm: keras.layers.Layer) -> tuple[tf.Tensor, tf.Tensor]:
    """The two float32 [channels] tensors that a batch norm in inference multiplies by and adds."""
    scale = tf.convert_to_tensor(norm.gamma) * tf.math.rsqrt(tf.convert_to_tensor(norm.moving_variance) + norm.epsilon)
    return scale, tf.convert_to_tensor(norm.beta) - tf.convert_to_tensor(norm.moving_mean) * scale


def make_norm(
    norm: str, channels: int, epsilon: float, momentum: float, dtype: str | keras.DTypePolicy
) -> keras.layers.Layer | None:
    """Builds the normalisation layer called `norm` (see `validation.NORMS`) for [..., channels], or None for "none"."""
    if norm == "none":
        return None
    if norm == "frozen_batch_norm":
        layer = FrozenBatchNorm(epsilon, name="norm", dtype=dtype)
    elif norm == "group_norm":
        groups = next(groups for groups in range(min(GROUPS, channels), 0, -1) if channels % groups == 0)
        layer = keras.layers.GroupNormalization(groups, epsilon=epsilon, name="norm", dtype=dtype)
    else:
        layer = RowBatchNorm(
            momentum=momentum, epsilon=epsilon, synchronized=norm == "sync_batch_norm", name="norm", dtype=dtype
        )
    layer.build((None, None, None, channels))
    return layer
