"""Feature pyramid network (Lin et al., arXiv:1612.03144) over the levels of a backbone."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.ops.shapes import sizes
from mask_rcnn_tf.ops.turns import after


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class FeaturePyramid(keras.layers.Layer):
    """1x1 laterals, nearest top-down sums, 3x3 outputs, and one level more as a 1x1 max-pool of stride 2 over the last.

    Args:
      spec: {level: (stride, channels)} of the backbone, finest first, each stride twice that before it. Level C<n>
        becomes P<n>, n being the logarithm of the stride.
      channels: of every level.
      norm: one of `validation.NORMS`, after laterals and outputs (no ReLU).
      norm_momentum: of a trainable batch norm.

    Source: `detectron2/modeling/backbone/fpn.py`; `torchvision/ops/feature_pyramid_network.py`.
    """

    def __init__(
        self,
        spec: Mapping[str, tuple[int, int]],
        channels: int = 256,
        norm: str = "none",
        norm_momentum: float = 0.9,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.channels = channels
        self.inputs_ = tuple(spec)
        self.upsample = upsample_nearest  # an export may set a form of it that its runtime is faster at
        numbers = [int(stride).bit_length() - 1 for stride, _ in spec.values()]
        self.names = tuple(f"P{number}" for number in numbers)
        self.last = f"P{numbers[-1] + 1}"
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

        self.laterals = [conv(f"lateral{number}", 1) for number in numbers]
        self.outputs_ = [conv(f"output{number}", 3) for number in numbers]
        self.spec = {
            name: (2**number, channels)
            for name, number in zip((*self.names, self.last), (*numbers, numbers[-1] + 1), strict=True)
        }

    def build(self, input_shape: Mapping[str, tuple]):
        """Builds from the shapes of {level: [B, h, w, c]}."""
        for level, lateral, output in zip(self.inputs_, self.laterals, self.outputs_, strict=True):
            lateral.build(input_shape[level])
            output.build((None, None, None, self.channels))

    def call(self, features: Mapping[str, tf.Tensor], training: bool = False) -> dict[str, tf.Tensor]:
        """Runs the pyramid.

        Args:
          features: {level: [B, h, w, c]} of the backbone.
          training: Python bool.

        Returns:
          {level of `spec`: [B, h, w, channels]}; sizes are those of the features, the last half of that before it,
          rounded up.
        """
        sums, pyramid = [], {}
        for source, lateral in reversed(list(zip(self.inputs_, self.laterals, strict=True))):
            inner = lateral(features[source], training=training)
            if sums:
                inner += self.upsample(sums[-1], sizes(inner)[1:3])
            sums.append(inner)
        for name, inner, output in zip(self.names, reversed(sums), self.outputs_, strict=True):
            pyramid[name] = output(after(inner, *pyramid.values()), training=training)
        pyramid[self.last] = pyramid[self.names[-1]][:, ::2, ::2]  # what a 1x1 max-pool of stride 2 keeps
        return {name: pyramid[name] for name in self.spec}

    def compute_output_shape(self, input_shape: Mapping[str, tuple]) -> dict[str, tuple]:
        """Shapes of the levels; the last is half of that before it, rounded up."""
        shapes = {
            name: (*input_shape[source][:3], self.channels)
            for source, name in zip(self.inputs_, self.names, strict=True)
        }
        batch, *sides, channels = shapes[self.names[-1]]
        return {**shapes, self.last: (batch, *(None if side is None else -(-side // 2) for side in sides), channels)}


def upsample_nearest(inputs: tf.Tensor, shape: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """Doubles [B, h, w, c] by repetition and cuts to `shape` (2h or 2h-1 by 2w or 2w-1).

    Equals the references' nearest interpolation, index floor(i * h / H): for H = 2h - 1 too that is floor(i / 2) for
    every i < H.
    """
    batch, height, width, channels = sizes(inputs)
    # A row twice side by side is, read on, two rows; a pixel twice in its channels two pixels. `tf.repeat` makes ten
    # times as many operations.
    rows = tf.reshape(tf.concat([inputs, inputs], 2), [batch, 2 * height, width, channels])
    doubled = tf.reshape(tf.concat([rows, rows], 3), [batch, 2 * height, 2 * width, channels])
    return _cut(doubled, (2 * height, 2 * width), shape)


def upsample_by_resize(inputs: tf.Tensor, shape: Sequence[int | tf.Tensor]) -> tf.Tensor:
    """`upsample_nearest` as one operation of four dimensions, for runtimes of exported files."""
    _, height, width, _ = sizes(inputs)
    # Not `tf.image.resize`, whose pixels have centres: ONNX has no name for that rule any more.
    doubled = tf.raw_ops.ResizeNearestNeighbor(images=inputs, size=[2 * height, 2 * width])
    return _cut(doubled, (2 * height, 2 * width), shape)


def _cut(doubled, sides, shape):
    """The upper left `shape` (h, w) of what has these sides; itself where it is known to have no more."""
    known = all(isinstance(side, int) for side in (*sides, *shape))
    return doubled if known and sides == (*shape,) else doubled[:, : shape[0], : shape[1]]
