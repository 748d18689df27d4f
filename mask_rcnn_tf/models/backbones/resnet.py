"""ResNet backbone (He et al., arXiv:1512.03385) with bottleneck or basic blocks, C2..C5."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.models.backbones.levels import level_shapes
from mask_rcnn_tf.models.backbones.non_local import NonLocal
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
      dilation: of the 3x3s, with stride 1.

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
        dilation: int = 1,
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
                dilation=dilation if kernel_size > 1 else 1,
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

    def call(self, inputs: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None) -> tf.Tensor:
        """[n, h, w, channels] -> [n, h / stride, w / stride, filters]; valid as in `ConvNorm.call`."""
        outputs = inputs
        for conv in self.convs:
            outputs = conv(outputs, training=training, valid=valid)
        shortcut = inputs
        if self.shortcut is not None:
            shortcut = self.shortcut(inputs, training=training, valid=valid)
        return tf.nn.relu(outputs + shortcut)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape after the stride."""
        sides = [None if side is None else -(-side // self.stride) for side in input_shape[1:3]]
        return (input_shape[0], *sides, self.filters)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class ResNet(keras.layers.Layer):
    """Stem and up to four stages.

    Args:
      block: "bottleneck" or "basic".
      stage_blocks, stage_channels: blocks and inner channels of C2..C5.
      out_levels: names of the stages it gives; it ends with the last of them.
      c5_dilation: of C5's 3x3s; its stride is 1 with 2.
      non_local_after: names of blocks ("c4_4" is the fifth of C4) that a `NonLocal` follows.
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
        out_levels: Sequence[str] = ("C2", "C3", "C4", "C5"),
        c5_dilation: int = 1,
        non_local_after: Sequence[str] = (),
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
        self.out_levels, self.frozen_stages = tuple(out_levels), frozen_stages
        self.stage_blocks = tuple(stage_blocks[: max(int(name[1:]) for name in out_levels) - 1])
        norms = {"norm": norm, "norm_epsilon": norm_epsilon, "norm_momentum": norm_momentum, "dtype": self.dtype_policy}
        self.stem = ConvNorm(stem_channels, stem_kernel, 2, relu=True, name="stem", **norms)
        options = {**norms, "stride_in_1x1": stride_in_1x1, "groups": groups, "width_per_group": width_per_group}
        # One flat list: Keras saves the weights of lists of layers, not of lists of lists.
        self.blocks, strides, inputs = [], [4], stem_channels
        for level, (count, channels) in enumerate(zip(self.stage_blocks, stage_channels, strict=False), start=2):
            dilation = c5_dilation if level == 5 else 1
            stride = 2 if level > 2 and dilation == 1 else 1
            self.blocks += make_stage(
                level, count, channels, inputs, stride, bottleneck=block == "bottleneck", dilation=dilation, **options
            )
            strides.append(strides[-1] * stride)
            inputs = self.blocks[-1].filters
        self._strides = tuple(strides)  # of the stem and each stage
        readers = [block for block in self.blocks if block.name in non_local_after]
        self.non_local = [
            NonLocal(block.filters, name=f"{block.name}_non_local", dtype=self.dtype_policy) for block in readers
        ]

    @property
    def spec(self) -> dict[str, tuple[int, int]]:
        """{level: (stride, channels)} of what the backbone gives, finest first."""
        numbers = {name: int(name[1:]) for name in self.out_levels}
        return {name: (self._strides[i - 1], self.channels_of(i)) for name, i in numbers.items()}

    def channels_of(self, level: int) -> int:
        """Output channels of C<level>; level 1 is the stem."""
        if level == 1:
            return self.stem.filters
        return self.blocks[sum(self.stage_blocks[: level - 1]) - 1].filters

    def build(self, input_shape: tuple):
        """Builds every block for [n, h, w, 3]."""
        self.stem.build(input_shape)
        build_blocks(self.blocks, (None, None, None, self.stem.filters))
        for layer in self.non_local:
            layer.build((None, None, None, layer.channels))
        # Only now: variables that are made later would train all the same (Keras 3).
        frozen = self.frozen_stages
        stem = [self.stem] if frozen else []
        for layer in stem + self.blocks[: sum(self.stage_blocks[: max(frozen - 1, 0)])] + self.non_local:
            layer.trainable = isinstance(layer, NonLocal) and int(layer.name[1]) > frozen

    def call(self, image: tf.Tensor, training: bool = False) -> dict[str, tf.Tensor]:
        """Runs the backbone.

        Args:
          image: [B, H, W, 3], normalised.
          training: Python bool.

        Returns:
          {"C2": [B, H/4, W/4, c], "C3": .../8, "C4": .../16, "C5": .../32}, those of `out_levels`, sizes rounded up.
        """
        outputs = self.stem(image, training=training)
        # Zeros are as good as -inf around the pool: ReLU came before.
        outputs = tf.nn.max_pool2d(tf.pad(outputs, [[0, 0], [1, 1], [1, 1], [0, 0]]), 3, 2, "VALID")
        features, blocks, readers = {}, iter(self.blocks), {layer.name: layer for layer in self.non_local}
        for level, count in enumerate(self.stage_blocks, start=2):
            for i in range(count):
                outputs = next(blocks)(outputs, training=training)
                if f"c{level}_{i}_non_local" in readers:
                    outputs = readers[f"c{level}_{i}_non_local"](outputs)
            features[f"C{level}"] = outputs
        return {name: features[name] for name in self.out_levels}

    def compute_output_shape(self, input_shape: tuple) -> dict[str, tuple]:
        """Shapes of the levels."""
        return level_shapes(self.spec, input_shape)


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class RoiBody(keras.layers.Layer):
    """A ResNet's C5 on pooled RoIs, whose sides it halves: box and mask head share it.

    Args:
      inputs: channels of the pooled features.
      block, stage_blocks, stage_channels, stride_in_1x1, norm, norm_epsilon, norm_momentum, groups, width_per_group:
        see `ResNet`, of which the last of four stages is built.
      frozen_stages: 5 for a body that does not train.

    Source: paper, Figure 4 left; `detectron2/modeling/roi_heads/roi_heads.py`, Res5ROIHeads.
    """

    def __init__(
        self,
        inputs: int,
        block: str = "bottleneck",
        stage_blocks: Sequence[int] = (3, 4, 6, 3),
        stage_channels: Sequence[int] = (64, 128, 256, 512),
        *,
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
        self.inputs_, self.frozen_stages = inputs, frozen_stages
        self.blocks = make_stage(
            5,
            stage_blocks[3],
            stage_channels[3],
            inputs,
            stride=2,
            bottleneck=block == "bottleneck",
            stride_in_1x1=stride_in_1x1,
            norm=norm,
            norm_epsilon=norm_epsilon,
            norm_momentum=norm_momentum,
            groups=groups,
            width_per_group=width_per_group,
            dtype=self.dtype_policy,
        )

    def build(self, input_shape: tuple):
        """Builds every block for [n, side, side, inputs]."""
        build_blocks(self.blocks, input_shape)
        for block in self.blocks if self.frozen_stages >= 5 else ():
            block.trainable = False

    def call(self, pooled: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None) -> tf.Tensor:
        """[n, side, side, inputs] -> [n, side / 2, side / 2, channels]; valid bool [n] or None: see `ConvNorm.call`."""
        for block in self.blocks:
            pooled = block(pooled, training=training, valid=valid)
        return pooled

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Half the sides, rounded up."""
        return (input_shape[0], *(-(-side // 2) for side in input_shape[1:3]), self.blocks[-1].filters)


def make_stage(
    level: int, count: int, channels: int, inputs: int, stride: int, *, bottleneck: bool, **options: Any
) -> list[ResidualBlock]:
    """The blocks of a stage.

    Args:
      level: its number, 2 to 5.
      count: blocks.
      channels: inner ones.
      inputs: channels of what comes in.
      stride: of the first block.
      bottleneck: the kind of blocks.
      options: of `ResidualBlock`.
    """
    filters = channels * (EXPANSION if bottleneck else 1)
    return [
        ResidualBlock(
            channels,
            1 if i else stride,
            bottleneck,
            project=i == 0 and (stride > 1 or inputs != filters),
            name=f"c{level}_{i}",
            **options,
        )
        for i in range(count)
    ]


def build_blocks(blocks: Sequence[ResidualBlock], input_shape: tuple):
    """Builds blocks that follow each other."""
    for block in blocks:
        block.build(input_shape)
        input_shape = block.compute_output_shape(input_shape)
