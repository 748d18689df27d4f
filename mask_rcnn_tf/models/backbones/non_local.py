"""Non-local block (Wang, Girshick, Gupta, He, arXiv:1711.07971): every pixel of a map reads all others."""

from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class NonLocal(keras.layers.Layer):
    """Embedded Gaussian: x + W(softmax(theta(x) phi(x)^T) g(x)), each a 1x1 convolution to half the channels and back.

    W starts at 0, so that a new block changes nothing in a backbone that was trained without it.

    Args:
      channels: of the map.

    Source: the paper's equations 1, 4 and 6; section 3.3, Figure 2.
    """

    def __init__(self, channels: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.channels = channels

        def conv(name, filters, initializer):
            return ConvNorm(filters, 1, kernel_initializer=initializer, name=name, dtype=self.dtype_policy)

        normal = keras.initializers.RandomNormal(stddev=0.01)
        self.convs = [conv(name, channels // 2, normal.clone()) for name in ("theta", "phi", "g")]
        self.last = conv("last", channels, "zeros")

    def build(self, input_shape: tuple):
        """Builds for [B, h, w, channels]."""
        for conv in self.convs:
            conv.build(input_shape)
        self.last.build((*input_shape[:3], self.channels // 2))

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """[B, h, w, channels] -> the same shape."""
        shape, half = tf.shape(inputs), self.channels // 2
        theta, phi, g = (tf.reshape(conv(inputs), [shape[0], shape[1] * shape[2], half]) for conv in self.convs)
        # In float32: a share of thousands of pixels is below what bfloat16 tells apart.
        logits = tf.cast(tf.matmul(theta, phi, transpose_b=True), tf.float32)
        shares = tf.cast(tf.nn.softmax(logits), g.dtype)
        read = tf.reshape(tf.matmul(shares, g), [shape[0], shape[1], shape[2], half])
        return inputs + self.last(read)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """That of the input."""
        return input_shape
