"""ResNet backbone (He et al., arXiv:1512.03385) with bottleneck or basic blocks, C2..C5."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm

EXPANSION = 4  # output channels of a bottleneck over its inner channels


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class ResidualBlock(keras.layers.Layer):
    """One residual block.

    Args:
      channels: inner channels; a bottleneck puts out EXPANSION times as many.
      stride: 1 or 2.
      bottleneck: 1x1, 3x3, 1x1 if True; 3x3, 3x3 otherwise.
      project: whether the shortcut is a 1x1 convolution (first block of a stage).
      stride_in_1x1: whether a bottleneck strides in its first 1x1 (MSRA weights) or in its 3x3 (torchvision).
      norm, norm_epsilon, norm_momentum: see `ConvNorm`.
      groups, width_per_group: of a bottleneck's 3x3, which has channels * width_per_group / 64 * groups channels.

    Source: `detectron2/modeling/backbone/resnet.py`, BasicBlock and BottleneckBlock.
    """

    def __init__(
        self,
        channels: int,
        stride: int = 1,
        bottleneck: bool = True,
        *,
        project: bool = False,
        stride_in_1x1: bool = True,
        norm: str = "batch_norm",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.9,
        groups: int = 1,
        width_per_group: int = 64,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.stride, self.filters = stride, channels * EXPANSION if bottleneck else channels

        def conv(name, filters, kernel_size, stride=1, relu=True, groups=1):
            return ConvNorm(
                filters,
                kernel_size,
                stride,
                norm=norm,
                relu=relu,
                norm_epsilon=norm_epsilon,
                norm_momentum=norm_momentum,
                groups=groups,
                name=name,
                dtype=self.dtype_policy,
            )

        if bottleneck:
            width = channels * width_per_group // 64 * groups
            first, second = (stride, 1) if stride_in_1x1 else (1, stride)
            self.convs = [
                conv("conv1", width, 1, first),
                conv("conv2", width, 3, second, groups=groups),
                conv("conv3", self.filters, 1, relu=False),
            ]
        else:
            self.convs = [conv("conv1", channels, 3, stride), conv("conv2", channels, 3, relu=False)]
        self.shortcut = conv("shortcut", self.filters, 1, stride, relu=False) if project else None

    def build(self, input_shape: tuple):
        """Builds the convolutions for [n, h, w, channels]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = conv.compute_output_shape(shape)
        if self.shortcut is not None:
            self.shortcut.build(input_shape)

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """[n, h, w, channels] -> [n, h / stride, w / stride, filters]."""
        outputs = inputs
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        shortcut = inputs if self.shortcut is None else self.shortcut(inputs, training=training)
        return tf.nn.relu(outputs + shortcut)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape after the stride."""
        sides = [None if side is None else -(-side // self.stride) for side in input_shape[1:3]]
        return (input_shape[0], *sides, self.filters)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class ResNet(keras.layers.Layer):
    """Stem and four stages.

    Args:
      block: "bottleneck" or "basic".
      stage_blocks, stage_channels: blocks and inner channels of C2..C5.
      groups, width_per_group: see `ResidualBlock`; (32, 8) makes a ResNeXt 32x8d.
      stem_channels, stem_kernel: the first convolution, stride 2, followed by a 3x3 max-pool of stride 2.
      stride_in_1x1, norm, norm_epsilon, norm_momentum: see `ResidualBlock`.
      frozen_stages: the stem (1), and C2.. (2..5), that do not train; their batch norm uses its running statistics.
    """

    def __init__(
        self,
        block: str = "bottleneck",
        stage_blocks: Sequence[int] = (3, 4, 6, 3),
        stage_channels: Sequence[int] = (64, 128, 256, 512),
        *,
        stem_channels: int = 64,
        stem_kernel: int = 7,
        stride_in_1x1: bool = True,
        norm: str = "frozen_batch_norm",
        norm_epsilon: float = 1e-5,
        norm_momentum: float = 0.9,
        frozen_stages: int = 0,
        groups: int = 1,
        width_per_group: int = 64,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.stage_blocks, self.frozen_stages = tuple(stage_blocks), frozen_stages
        norms = {"norm": norm, "norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum, "dtype": self.dtype_policy}
        self.stem = ConvNorm(stem_channels, stem_kernel, 2, relu=True, name="stem", **norms)
        # One flat list: Keras saves the weights of lists of layers, not of lists of lists.
        self.blocks = []
        for level, (count, channels) in enumerate(zip(stage_blocks, stage_channels, strict=True), start=2):
            for i in range(count):
                stride = 2 if i == 0 and level > 2 else 1
                filters = channels * (EXPANSION if block == "bottleneck" else 1)
                project = i == 0 and (stride > 1 or self.channels_of(level - 1) != filters)
                self.blocks.append(
                    ResidualBlock(
                        channels,
                        stride,
                        block == "bottleneck",
                        project=project,
                        stride_in_1x1=stride_in_1x1,
                        groups=groups,
                        width_per_group=width_per_group,
                        name=f"c{level}_{i}",
                        **norms,
                    )
                )

    @property
    def spec(self) -> dict[str, tuple[int, int]]:
        """{level: (stride, channels)} of what the backbone gives, finest first."""
        levels = range(2, 2 + len(self.stage_blocks))
        return {f"C{level}": (2**level, self.channels_of(level)) for level in levels}

    def channels_of(self, level: int) -> int:
        """Output channels of C<level>; level 1 is the stem."""
        if level == 1:
            return self.stem.filters
        return self.blocks[sum(self.stage_blocks[: level - 1]) - 1].filters

    def build(self, input_shape: tuple):
        """Builds every block for [n, h, w, 3]."""
        self.stem.build(input_shape)
        shape = (None, None, None, self.stem.filters)
        for block in self.blocks:
            block.build(shape)
            shape = block.compute_output_shape(shape)
        # Only now: variables that are made later would train all the same (Keras 3).
        frozen = self.frozen_stages
        stem = [self.stem] if frozen else []
        for layer in stem + self.blocks[: sum(self.stage_blocks[: max(frozen - 1, 0)])]:
            layer.trainable = False

    def call(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Runs the backbone.

        Args:
          image: [B, H, W, 3], normalised.
          training: Python bool.

        Returns:
          {"C2": [B, H/4, W/4, c], "C3": .../8, "C4": .../16, "C5": .../32}, sizes rounded up.
        """
        outputs = self.stem(image, training=training)
        # Zeros are as good as -inf around the pool: ReLU came before.
        outputs = tf.nn.max_pool2d(tf.pad(outputs, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        features, blocks = {}, iter(self.blocks)
        for level, count in enumerate(self.stage_blocks, start=2):
            for _ in range(count):
                outputs = next(blocks)(outputs, training=training)
            features[f"C{level}"] = outputs
        return features

    def compute_output_shape(self, input_shape: tuple) -> dict[str, tuple]:
        """Shapes of C2..C5."""
        batch, *sides, _ = input_shape
        sides = [None if side is None else -(-side // 2) for side in sides]
        shapes = {}
        for name, (_, channels) in self.spec.items():
            sides = [None if side is None else -(-side // 2) for side in sides]
            shapes[name] = (batch, *sides, channels)
        return shapes
