"""The 2x2 deconvolution of stride 2 that doubles the mask head's resolution."""

from typing import Any

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class Deconv(keras.layers.Layer):
    """2x2 transposed convolution of stride 2, bias, ReLU.

    Its windows do not overlap, so that it is a 1x1 convolution to four times the channels, then depth to space: the
    form in which every runtime is fast.

    Args:
      filters: output channels.
      kernel_initializer: a Keras initializer for the kernel [1, 1, in, 4 * filters]; the bias starts at 0.

    Source: `torch.nn.ConvTranspose2d(in, filters, 2, 2)`, as in both references' mask heads.
    """

    def __init__(
        self, filters: int, kernel_initializer: str | keras.initializers.Initializer = "he_normal", **kwargs: Any
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.filters, self.kernel_initializer = filters, keras.initializers.get(kernel_initializer)

    def build(self, input_shape: tuple):
        """Creates kernel [1, 1, in, 4 * filters], its last axis in (dy, dx, filter) order, and bias [filters]."""
        shape = (1, 1, input_shape[-1], 4 * self.filters)
        self.kernel = self.add_weight(shape=shape, initializer=self.kernel_initializer, name="kernel", autocast=False)
        # One bias for the four positions, as in a deconvolution: four of them would drift apart in training.
        self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[n, h, w, c] -> [n, 2h, 2w, filters], the same with and without training."""
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), inputs.dtype)
        bias = tf.cast(tf.tile(tf.convert_to_tensor(self.bias), [4]), inputs.dtype)
        outputs = tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "VALID"), bias)
        if training:  # a gradient needs the result alone; the other way round both are kept for it
            return tf.nn.relu(tf.nn.depth_to_space(outputs, 2))
        return tf.nn.depth_to_space(tf.nn.relu(outputs), 2)  # convolution, bias and ReLU become one operation

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Twice the sides."""
        batch, *sides, _ = input_shape
        return (batch, *(None if side is None else 2 * side for side in sides), self.filters)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "filters": self.filters, "kernel_initializer": initializer}
