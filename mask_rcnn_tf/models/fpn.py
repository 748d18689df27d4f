"""Feature pyramid network (Lin et al., arXiv:1612.03144) over C2..C5."""

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class FeaturePyramid(keras.layers.Layer):
    """1x1 laterals, nearest top-down sums, 3x3 outputs, and P6 as a 1x1 max-pool of stride 2 over P5.

    Args:
      channels: of every level.
      norm: one of `config.NORMS`, after laterals and outputs (no ReLU).
      norm_momentum: of a trainable batch norm.

    Source: `detectron2/modeling/backbone/fpn.py`; `torchvision/ops/feature_pyramid_network.py`.
    """

    def __init__(self, channels=256, norm="none", norm_momentum=0.9, **kwargs):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.channels, self.norm_name, self.norm_momentum = channels, norm, norm_momentum
        self.upsample = upsample_nearest  # an export may set a form of it that its runtime is faster at
        # Caffe2's XavierFill: uniform with variance 1 / fan_in.
        fill = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform", seed=None)

        def conv(name, kernel_size):
            return ConvNorm(
                channels,
                kernel_size,
                norm=norm,
                norm_momentum=norm_momentum,
                kernel_initializer=fill.clone(),
                name=name,
                dtype=self.dtype_policy,
            )

        self.laterals = [conv(f"lateral{level}", 1) for level in range(2, 6)]
        self.outputs_ = [conv(f"output{level}", 3) for level in range(2, 6)]

    def build(self, input_shape):
        """Builds from the shapes of {"C2": [B, h, w, c], ..., "C5"}."""
        for level, lateral, output in zip(range(2, 6), self.laterals, self.outputs_, strict=True):
            lateral.build(input_shape[f"C{level}"])
            output.build((None, None, None, self.channels))

    def call(self, features, training=False):
        """Runs the pyramid.

        Args:
          features: {"C2".."C5"}, [B, h, w, c].
          training: Python bool.

        Returns:
          {"P2".."P6"}, [B, h, w, channels]; P2 has the size of C2, P6 half that of P5, rounded up.
        """
        pyramid, above = {}, None
        for level, lateral, output in reversed(list(zip(range(2, 6), self.laterals, self.outputs_, strict=True))):
            inner = lateral(features[f"C{level}"], training=training)
            if above is not None:
                inner += self.upsample(above, tf.shape(inner)[1:3])
            above = inner
            pyramid[f"P{level}"] = output(inner, training=training)
        pyramid["P6"] = pyramid["P5"][:, ::2, ::2]  # what a 1x1 max-pool of stride 2 keeps
        return {name: pyramid[name] for name in sorted(pyramid)}

    def compute_output_shape(self, input_shape):
        """Shapes of P2..P6; P6 is half of P5, rounded up."""
        shapes = {f"P{level}": (*input_shape[f"C{level}"][:3], self.channels) for level in range(2, 6)}
        batch, *sides, channels = shapes["P5"]
        return {**shapes, "P6": (batch, *(None if side is None else -(-side // 2) for side in sides), channels)}

    def get_config(self):
        """Keras's configuration."""
        return {
            **super().get_config(),
            "channels": self.channels,
            "norm": self.norm_name,
            "norm_momentum": self.norm_momentum,
        }


def upsample_nearest(inputs, shape):
    """Doubles [B, h, w, c] by repetition and cuts to `shape` (int32 [2], 2h or 2h-1 by 2w or 2w-1).

    Equals the references' nearest interpolation, index floor(i * h / H): for H = 2h - 1 too that is floor(i / 2) for
    every i < H.
    """
    inputs = tf.repeat(tf.repeat(inputs, 2, axis=1), 2, axis=2)
    return inputs[:, : shape[0], : shape[1]]
