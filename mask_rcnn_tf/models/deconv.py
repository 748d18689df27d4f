"""The 2x2 deconvolution of stride 2 that doubles the mask head's resolution."""

from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.ops.shapes import sizes


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class Deconv(keras.layers.Layer):
    """2x2 transposed convolution of stride 2, bias, ReLU.

    Its windows do not overlap, so that it is a 1x1 convolution to four times the channels, the four pixels of a cell
    side by side. What reads one pixel at a time, as the mask predictor does, may read them so; `in_places` puts the
    few channels that come out of it where they belong, in place of these, the largest tensor of an inference.

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

    def call(self, inputs: tf.Tensor, whole: bool = False) -> tf.Tensor:
        """[n, h, w, c] -> [n, h, 4w, filters]: the pixels (dy, dx) of a cell, 00, 01, 10, 11, side by side.

        Args:
          inputs: [n, h, w, c].
          whole: Python bool; whether cells stay whole, [n, h, w, 4 * filters].
        """
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), inputs.dtype)
        bias = tf.cast(tf.tile(tf.convert_to_tensor(self.bias), [4]), inputs.dtype)
        outputs = tf.nn.relu(tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "VALID"), bias))
        _, height, width, _ = sizes(inputs)
        return outputs if whole else tf.reshape(outputs, [-1, height, 4 * width, self.filters])

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Four times as many columns."""
        batch, height, width, _ = input_shape
        return (batch, height, None if width is None else 4 * width, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration."""
        initializer = keras.initializers.serialize(self.kernel_initializer)
        return {**super().get_config(), "filters": self.filters, "kernel_initializer": initializer}


def in_places(pixels: tf.Tensor) -> tf.Tensor:
    """What was computed of each pixel of `Deconv`, [n, h, 4w, k], as an image, [n, 2h, 2w, k]."""
    _, height, width, channels = sizes(pixels)
    return tf.nn.depth_to_space(tf.reshape(pixels, [-1, height, width // 4, 4 * channels]), 2)
