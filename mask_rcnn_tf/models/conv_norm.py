"""Convolution with symmetric padding, followed by a normalisation and an activation: the brick of every stage."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.norms import FrozenBatchNorm, make_norm, scale_and_shift
from mask_rcnn_tf.ops import conv_forms
from mask_rcnn_tf.ops.devices import has_gpu
from mask_rcnn_tf.ops.scaled_conv import scaled_conv2d
from mask_rcnn_tf.ops.wide_conv import is_wide, wide_conv2d


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class ConvNorm(keras.layers.Layer):
    """Convolution, padded alike on every side to keep its input's (never TensorFlow's "SAME"), then norm, then ReLU.

    A batch norm that does not train is folded into the kernel on the fly: the weights are multiplied instead of the
    feature map, after which TensorFlow fuses convolution, bias and ReLU.

    Args:
      filters: output channels.
      kernel_size: odd side of the kernel.
      stride: of the convolution.
      groups: of channels that are convolved apart (ResNeXt, arXiv:1611.05431).
      dilation: pixels from one cell of the kernel to the next; with stride 1.
      norm: one of `validation.NORMS`; there is a bias only with "none", as in the references.
      relu: whether a ReLU follows.
      norm_epsilon, norm_momentum: of the norm; momentum is the share of the running statistics that stays.
      kernel_initializer: a Keras initializer; biases start at 0.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int,
        stride: int = 1,
        *,
        norm: str = "none",
        relu: bool = False,
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.9,
        kernel_initializer: str | keras.initializers.Initializer = "he_normal",
        groups: int = 1,
        dilation: int = 1,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters, self.kernel_size, self.stride, self.relu, self.groups = filters, kernel_size, stride, relu, groups
        self.dilation = dilation
        self.norm_name, self.norm_epsilon, self.norm_momentum = norm, norm_epsilon, norm_momentum
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.norm = None
        self.form = conv_forms.NATIVE  # a model sets that of its kernels
        self.supports_jit = True

    def build(self, input_shape: tuple):
        """Creates kernel [k, k, in / groups, filters], bias [filters] or the norm's weights."""
        side = self.kernel_size
        # Float32 whatever the dtype: folding multiplies in float32 and rounds once.
        self.kernel = self.add_weight(
            shape=(side, side, input_shape[-1] // self.groups, self.filters),
            initializer=self.kernel_initializer,
            name="kernel",
            autocast=False,
        )
        if self.norm_name == "none":
            self.bias = self.add_weight(shape=(self.filters,), initializer="zeros", name="bias", autocast=False)
        self.norm = make_norm(self.norm_name, self.filters, self.norm_epsilon, self.norm_momentum, self.dtype_policy)

    def call(self, inputs: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None) -> tf.Tensor:
        """Applies the layer.

        Args:
          inputs: [n, h, w, channels].
          training: Python bool; a trainable batch norm then uses and updates batch statistics.
          valid: bool [n]; rows that count for batch statistics (padded RoIs do not). None: all.

        Returns:
          [n, ceil(h / stride), ceil(w / stride), filters].
        """
        kernel, dilation = self.kernel, self.dilation
        if training and dilation > 1 and not has_gpu():
            # On a CPU TensorFlow's dilated convolution has no gradient.
            kernel, dilation = with_holes(tf.convert_to_tensor(kernel), dilation), 1
        if self.norm is None:
            outputs = self._convolve(inputs, kernel, dilation, self.bias, training=training)
        elif self._folds(training):
            scale, shift = scale_and_shift(self.norm)
            outputs = self._convolve(inputs, kernel, dilation, shift, scale, training)
        else:
            outputs = self._convolve(inputs, kernel, dilation, training=training)
            if isinstance(self.norm, keras.layers.GroupNormalization):
                outputs = self.norm(outputs)
            else:
                outputs = self.norm(outputs, training=training, valid=valid)
        return tf.nn.relu(outputs) if self.relu else outputs

    def _folds(self, training):
        if isinstance(self.norm, keras.layers.GroupNormalization):
            return False
        return isinstance(self.norm, FrozenBatchNorm) or not (training and self.norm.trainable)

    def _convolve(self, inputs, kernel, dilation, bias=None, scale=None, training=False):
        pad, stride = self.kernel_size // 2, self.stride
        if stride > 1 and pad:
            # Not as the convolution's own explicit padding: its gradient is not oneDNN's then, and adds in bfloat16
            # (TensorFlow 2.21; 9 % off float64 for 0.4 %).
            inputs = tf.pad(inputs, [[0, 0], [pad, pad], [pad, pad], [0, 0]])
        elif stride > 1 and self.form.thin is not None:
            inputs, stride = self.form.thin(inputs, stride), 1
        # Stride 1 with an odd kernel: SAME is symmetric, and spares a copy.
        padding = "SAME" if stride == 1 else "VALID"
        plain = training and self.trainable and self.groups == dilation == 1
        if scale is not None and plain:
            outputs = scaled_conv2d(inputs, tf.convert_to_tensor(kernel), scale, stride=stride, padding=padding)
        else:
            kernel = tf.cast(tf.convert_to_tensor(kernel if scale is None else kernel * scale), inputs.dtype)
            if plain and stride == 1 and self.form.wide and is_wide(kernel) and not has_gpu():
                outputs = wide_conv2d(inputs, kernel)
            else:
                outputs = self._convolve_groups(inputs, kernel, stride, padding, dilation)
        return outputs if bias is None else tf.nn.bias_add(outputs, tf.cast(tf.convert_to_tensor(bias), inputs.dtype))

    def _convolve_groups(self, inputs, kernel, stride, padding, dilation):
        if self.groups == 1 or not self.form.splits_groups:
            return tf.nn.conv2d(inputs, kernel, stride, padding, dilations=dilation)
        parts = zip(tf.split(inputs, self.groups, -1), tf.split(kernel, self.groups, -1), strict=True)
        return tf.concat(
            [tf.nn.conv2d(part, weights, stride, padding, dilations=dilation) for part, weights in parts], -1
        )

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape after padding, kernel and stride."""
        batch, height, width, _ = input_shape
        sides = [None if side is None else -(-side // self.stride) for side in (height, width)]
        return (batch, *sides, self.filters)

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "stride": self.stride,
            "norm": self.norm_name,
            "relu": self.relu,
            "norm_epsilon": self.norm_epsilon,
            "norm_momentum": self.norm_momentum,
            "groups": self.groups,
            "dilation": self.dilation,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def convolve_together(layers: Sequence[ConvNorm], inputs: tf.Tensor) -> list[tf.Tensor]:
    """What 1x1 layers without norm and ReLU give for the same inputs, by one convolution where their form says so.

    Args:
      layers: of one dtype, stride 1, one group.
      inputs: [n, h, w, channels].

    Returns:
      [n, h, w, filters] of each.
    """
    if not layers[0].form.together:
        return [layer(inputs) for layer in layers]
    inputs = tf.cast(inputs, layers[0].compute_dtype)
    kernel, bias = (
        tf.cast(tf.concat([tf.convert_to_tensor(getattr(layer, name)) for layer in layers], -1), inputs.dtype)
        for name in ("kernel", "bias")
    )
    outputs = tf.nn.bias_add(tf.nn.conv2d(inputs, kernel, 1, "VALID"), bias)
    return tf.split(outputs, [layer.filters for layer in layers], -1)


def with_holes(kernel: tf.Tensor, dilation: int) -> tf.Tensor:
    """The kernel [k, k, i, o] of a dilated convolution as that of a plain one, k + (k - 1) * (dilation - 1) a side."""
    side, _, inputs, outputs = kernel.shape
    cells = tf.reshape(kernel, [side, 1, side, 1, inputs, outputs])
    apart = [0, dilation - 1]
    wide = tf.reshape(
        tf.pad(cells, [[0, 0], apart, [0, 0], apart, [0, 0], [0, 0]]),
        [side * dilation, side * dilation, inputs, outputs],
    )
    wide_side = side * dilation - (dilation - 1)
    return wide[:wide_side, :wide_side]
