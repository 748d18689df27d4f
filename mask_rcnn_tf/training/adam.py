"""Keras's Adam in one pass over the weights."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from mask_rcnn_tf.training.optimizer import places


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class FusedAdam(keras.optimizers.Adam):
    """`keras.optimizers.Adam` whose update of a weight and its two moments is one operation.

    The same numbers but for rounding, and the same variables: checkpoints of one fit the other. Keras makes the update
    from some twenty operations a weight, which go through the weights a dozen times; arguments are Keras's.

    Source: Kingma and Ba, arXiv:1412.6980, the form before section 2.1; `tensorflow/core/kernels/training_ops.cc`.
    """

    def build(self, variables: Sequence[keras.Variable]):
        """Creates the moments of each variable, as Keras does."""
        if self.built:
            return
        super().build(variables)
        self.moments = [
            [slot for slot in self.variables if slot.path.endswith(f"_{name}")] for name in ("momentum", "velocity")
        ]
        self.places = places(variables)

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor):
        """Applies the summed `gradient` to one variable and its moments."""
        if self.amsgrad:
            super().update_step(gradient, variable, learning_rate)
            return
        first, second = (slots[self.places[id(variable)]] for slots in self.moments)
        dtype = variable.dtype
        step = tf.cast(self.iterations.value + 1, dtype)
        tf.raw_ops.ResourceApplyAdam(
            var=variable.handle,
            m=first.value.handle,
            v=second.value.handle,
            beta1_power=tf.pow(tf.cast(self.beta_1, dtype), step),
            beta2_power=tf.pow(tf.cast(self.beta_2, dtype), step),
            lr=tf.cast(learning_rate, dtype),
            beta1=tf.cast(self.beta_1, dtype),
            beta2=tf.cast(self.beta_2, dtype),
            epsilon=tf.cast(self.epsilon, dtype),
            grad=tf.cast(tf.convert_to_tensor(gradient), dtype),
        )
