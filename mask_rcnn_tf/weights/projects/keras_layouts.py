"""Entries for layers as Keras stores them: kernels in our layout, a bias beside every batch norm, `layer/weight`."""

import re
from collections.abc import Callable, Sequence

import keras
import numpy as np

from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Source, Tensors
from mask_rcnn_tf.weights.projects.torch_layouts import resnet_blocks, vector

CAFFE_EPSILON = 1e-3  # Keras's default, with which every model of `caffe_names` was built
CAFFE_BLOCK = r"res([2-5])([a-z])_branch2a/kernel"  # a block's first convolution: level, letter


def conv(name: str, layer: keras.layers.Layer) -> list[Entry]:
    """A convolution or dense layer with a bias, whose shapes are ours."""
    return [vector(f"{name}/kernel", layer.kernel), vector(f"{name}/bias", layer.bias)]


def conv_batch_norm(conv_name: str, norm_name: str, layer: keras.layers.Layer) -> list[Entry]:
    """A convolution with a bias and its batch norm; ours has no bias: it goes into the moving mean.

    Args:
      conv_name, norm_name: names of their layers.
      layer: a `ConvNorm` with a batch norm of any kind.

    Raises:
      CheckpointError: the layer has another norm.
    """
    if not hasattr(layer.norm, "moving_mean"):
        raise CheckpointError(
            f"config.model.backbone.norm is {layer.norm_name!r}; allowed: a batch norm, as the checkpoint has."
        )
    norm = layer.norm
    shape = tuple(norm.moving_mean.shape)
    sources = (Source(f"{norm_name}/moving_mean", shape), Source(f"{conv_name}/bias", shape))
    return [
        vector(f"{conv_name}/kernel", layer.kernel),
        vector(f"{norm_name}/gamma", norm.gamma),
        vector(f"{norm_name}/beta", norm.beta),
        Entry(norm.moving_mean, sources, np.subtract),
        vector(f"{norm_name}/moving_variance", norm.moving_variance),
    ]


def folded(
    conv_name: str, norm_name: str, layer: keras.layers.Layer, kernel_shape: Sequence[int], epsilon: float
) -> list[Entry]:
    """A convolution and its batch norm in inference, as one kernel and bias of ours.

    Args:
      conv_name, norm_name: names of their layers.
      layer: a `ConvNorm` without norm, or a dense layer.
      kernel_shape: of their kernel; ours has the same numbers in the same order.
      epsilon: of their batch norm.
    """
    channels = kernel_shape[-1:]
    kernel, bias = Source(f"{conv_name}/kernel", tuple(kernel_shape)), Source(f"{conv_name}/bias", channels)
    gamma, beta, mean, variance = (
        Source(f"{norm_name}/{weight}", channels) for weight in ("gamma", "beta", "moving_mean", "moving_variance")
    )

    def scale(gamma: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return gamma / np.sqrt(variance.astype(np.float64) + epsilon)

    def to_kernel(kernel: np.ndarray, gamma: np.ndarray, variance: np.ndarray) -> np.ndarray:
        return (kernel * scale(gamma, variance)).reshape(layer.kernel.shape)

    def to_bias(
        bias: np.ndarray, gamma: np.ndarray, beta: np.ndarray, mean: np.ndarray, variance: np.ndarray
    ) -> np.ndarray:
        return (bias - mean) * scale(gamma, variance) + beta

    return [
        Entry(layer.kernel, (kernel, gamma, variance), to_kernel),
        Entry(layer.bias, (bias, gamma, beta, mean, variance), to_bias),
    ]


def resnet(model: MaskRCNN, names: Callable[[int, int, int], tuple[str, str]]) -> list[Entry]:
    """Every variable of a `ResNet`, and of a C5 that runs on RoIs.

    Args:
      model: ours, whose backbone has a batch norm of any kind.
      names: a function of (level, index, i) that names a convolution and its norm: the stem is (1, 0, 1); in block
        `index` of C<level>, convolutions are i = 1, 2, 3 and the shortcut is 0.
    """
    entries = conv_batch_norm(*names(1, 0, 1), model.backbone.stem)
    for block in resnet_blocks(model):
        level, index = map(int, block.name[1:].split("_"))
        for i, layer in enumerate(block.convs, start=1):
            entries += conv_batch_norm(*names(level, index, i), layer)
        if block.shortcut is not None:
            entries += conv_batch_norm(*names(level, index, 0), block.shortcut)
    return entries


def caffe_names(level: int, index: int, i: int) -> tuple[str, str]:
    """The names of the original Caffe release, which Keras 2.0 to 2.2 and matterport kept; see `resnet`."""
    if level == 1:
        return "conv1", "bn_conv1"
    suffix = f"{level}{chr(ord('a') + index)}_branch{('1', '2a', '2b', '2c')[i]}"
    return f"res{suffix}", f"bn{suffix}"


def stage_blocks(tensors: Tensors, pattern: str) -> tuple[int, ...]:
    """Blocks of C2..C5, counted in the names.

    Args:
      tensors: arrays by name.
      pattern: matches one name of each block; its groups are the level and the block.

    Raises:
      CheckpointError: a stage has none.
    """
    found = {match.groups() for match in (re.fullmatch(pattern, name) for name in tensors) if match}
    blocks = tuple(sum(level == str(i) for level, _ in found) for i in range(2, 6))
    if 0 in blocks:
        raise CheckpointError(
            f"The checkpoint has {blocks} residual blocks in C2..C5; allowed: at least one in each. Its first names: "
            f"{', '.join(list(tensors)[:5])}."
        )
    return blocks
