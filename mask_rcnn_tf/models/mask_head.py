"""Mask head: one M x M mask of the class asked for, for every RoI."""

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.deconv import Deconv


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class MaskHead(keras.layers.Layer):
    """3x3 convolutions, a 2x2 deconvolution of stride 2 with ReLU, a 1x1 convolution to one mask a class.

    Args:
      num_classes: C, without background.
      num_convs, channels, norm, norm_momentum: the convolutions; the deconvolution has `channels` too.

    Source: paper, Figure 4 right; `detectron2/modeling/roi_heads/mask_head.py`, MaskRCNNConvUpsampleHead.
    """

    def __init__(self, num_classes, num_convs=4, channels=256, norm="none", norm_momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.num_classes, self.channels = num_classes, channels
        self._arguments = {
            "num_classes": num_classes,
            "num_convs": num_convs,
            "channels": channels,
            "norm": norm,
            "norm_momentum": norm_momentum,
        }
        # Caffe2's MSRAFill: normal with variance 2 / fan_out.
        fill = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        dtype = self.dtype_policy
        self.convs = [
            ConvNorm(
                channels,
                3,
                norm=norm,
                relu=True,
                norm_momentum=norm_momentum,
                kernel_initializer=fill.clone(),
                name=f"conv{i}",
                dtype=dtype,
            )
            for i in range(num_convs)
        ]
        self.deconv = Deconv(channels, fill.clone(), name="deconv", dtype=dtype)

    def build(self, input_shape):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], self.channels)
        self.deconv.build(shape)
        normal = keras.initializers.RandomNormal(stddev=0.001)
        self.kernel = self.add_weight(shape=(self.num_classes, self.channels), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(self.num_classes,), initializer="zeros", name="bias")

    def call(self, pooled, classes, training=False, valid=None):
        """Runs the head.

        Args:
          pooled: [n, side, side, c].
          classes: int32 [n], 1..C; 0 (padding) gives the first class's mask.
          training: Python bool.
          valid: bool [n] or None, see `ConvNorm.call`.

        Returns:
          mask_logits float32 [n, 2 * side, 2 * side] of the given classes.
        """
        outputs = self._upsample(pooled, training, valid)
        # One mask is read: computing the other C - 1 would cost more than the deconvolution.
        index = tf.maximum(classes - 1, 0)
        kernel = tf.gather(tf.convert_to_tensor(self.kernel), index)
        bias = tf.gather(tf.convert_to_tensor(self.bias), index)
        logits = tf.einsum("nhwc,nc->nhw", outputs, tf.cast(kernel, outputs.dtype))
        return tf.cast(logits, tf.float32) + tf.cast(bias, tf.float32)[:, None, None]

    def all_logits(self, pooled):
        """mask_logits float32 [n, 2 * side, 2 * side, C] of every class, for runtimes that gather nothing."""
        outputs = self._upsample(pooled, False, None)
        kernel = tf.cast(tf.transpose(tf.convert_to_tensor(self.kernel))[None, None], outputs.dtype)
        return tf.cast(tf.nn.conv2d(outputs, kernel, 1, "VALID"), tf.float32) + tf.convert_to_tensor(self.bias)

    def _upsample(self, pooled, training, valid):
        for conv in self.convs:
            pooled = conv(pooled, training=training, valid=valid)
        return self.deconv(pooled)

    def compute_output_shape(self, input_shape):
        """Shape of the logits."""
        return (input_shape[0], 2 * input_shape[1], 2 * input_shape[2])

    def get_config(self):
        """Keras's configuration."""
        return {**super().get_config(), **self._arguments}
