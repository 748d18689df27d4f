"""Entries for layers as PyTorch (and Caffe2) store them: convolutions [out, in, k, k], dense layers [out, in]."""

import dataclasses
import re
from collections.abc import Sequence

import keras
import numpy as np

from mask_rcnn_tf.config import AnchorConfig, KeypointHeadConfig, ModelConfig
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Source, Tensors

SWAP = [1, 0, 3, 2]  # (dx, dy, dw, dh) <-> (dy, dx, dh, dw)


def vector(name: str, variable: keras.Variable) -> Entry:
    """A tensor that both sides store alike."""
    return Entry(variable, (Source(name, tuple(variable.shape)),), lambda a: a, lambda a: a)


def constant(variable: keras.Variable, value: float) -> Entry:
    """A variable that the format has no tensor for, because it is the same number everywhere."""
    return Entry(variable, (), lambda: np.full(variable.shape, value, np.float32))


def conv_kernel(name: str, variable: keras.Variable) -> Entry:
    """[out, in, k, k] and our [k, k, in, out]; with groups, `in` is that of one group on both sides."""
    height, width, inputs, outputs = variable.shape
    return Entry(
        variable,
        (Source(name, (outputs, inputs, height, width)),),
        lambda a: a.transpose(2, 3, 1, 0),
        lambda a: a.transpose(3, 2, 0, 1),
    )


def norm(name: str, layer: keras.layers.Layer, affine_only: bool = False) -> list[Entry]:
    """A batch norm (frozen or not) or a group norm.

    Args:
      name: what the names of its tensors begin with.
      layer: ours.
      affine_only: the format stores scale and shift alone (Caffe2's AffineChannel): mean and variance are such that
        they change nothing.
    """
    entries = [vector(f"{name}.weight", layer.gamma), vector(f"{name}.bias", layer.beta)]
    if not hasattr(layer, "moving_mean"):
        return entries
    if affine_only:
        return [*entries, constant(layer.moving_mean, 0.0), constant(layer.moving_variance, 1.0 - layer.epsilon)]
    statistics = [vector(f"{name}.running_mean", layer.moving_mean)]
    return [*entries, *statistics, vector(f"{name}.running_var", layer.moving_variance)]


def conv_norm(
    conv_name: str, norm_name: str | None, layer: keras.layers.Layer, affine_only: bool = False
) -> list[Entry]:
    """A `ConvNorm`: its kernel, and its bias or the tensors of its norm (see `norm`)."""
    entries = [conv_kernel(f"{conv_name}.weight", layer.kernel)]
    if layer.norm is None:
        return [*entries, vector(f"{conv_name}.bias", layer.bias)]
    return entries + norm(norm_name, layer.norm, affine_only)


def dense(name: str, layer: keras.layers.Dense) -> list[Entry]:
    """A fully connected layer [out, in], on inputs that both sides order alike."""
    shape = tuple(layer.kernel.shape[::-1])
    kernel = Entry(layer.kernel, (Source(f"{name}.weight", shape),), np.transpose, np.transpose)
    return [kernel, vector(f"{name}.bias", layer.bias)]


def dense_on_map(name: str, layer: keras.layers.Dense, side: int) -> list[Entry]:
    """A fully connected layer on a flattened [side, side, c] map: they flatten (c, y, x), we (y, x, c)."""

    def to_ours(a: np.ndarray) -> np.ndarray:
        return a.reshape(a.shape[0], -1, side, side).transpose(2, 3, 1, 0).reshape(-1, a.shape[0])

    def to_theirs(a: np.ndarray) -> np.ndarray:
        return a.reshape(side, side, -1, a.shape[1]).transpose(3, 2, 0, 1).reshape(a.shape[1], -1)

    shape = tuple(layer.kernel.shape[::-1])
    kernel = Entry(layer.kernel, (Source(f"{name}.weight", shape),), to_ours, to_theirs)
    return [kernel, vector(f"{name}.bias", layer.bias)]


def rpn_outputs(
    objectness: str, deltas: str, head: keras.layers.Layer, order: Sequence[int] | None = None
) -> list[Entry]:
    """The RPN's last 1x1 convolutions: a logit, and (dx, dy, dw, dh), of each anchor of a cell.

    Args:
      objectness, deltas: what the names of their tensors begin with.
      head: ours.
      order: their row of each of our anchors (`rows_by_size`); None where both count alike.
    """
    order = np.arange(head.num_anchors) if order is None else np.asarray(order)
    return [
        *_rows_by_anchor(objectness, head.objectness, order, [0]),
        *_rows_by_anchor(deltas, head.deltas, order, SWAP),
    ]


def _rows_by_anchor(name: str, layer: keras.layers.Layer, order: np.ndarray, columns: list[int]) -> list[Entry]:
    """A 1x1 convolution with `len(columns)` rows an anchor; `columns` is its own inverse."""
    back, each = np.argsort(order), len(columns)
    channels, rows = layer.kernel.shape[2], len(order) * each

    def take(a: np.ndarray, anchors: np.ndarray) -> np.ndarray:
        return a.reshape(len(order), each, *a.shape[1:])[anchors][:, columns].reshape(a.shape)

    return [
        Entry(
            layer.kernel,
            (Source(f"{name}.weight", (rows, channels, 1, 1)),),
            lambda a: take(a, order).transpose(2, 3, 1, 0),
            lambda a: take(a.transpose(3, 2, 0, 1), back),
        ),
        Entry(layer.bias, (Source(f"{name}.bias", (rows,)),), lambda a: take(a, order), lambda a: take(a, back)),
    ]


def rows_by_size(num_sizes: int, num_ratios: int) -> np.ndarray:
    """Where a project that counts a cell's anchors for each size, for each ratio has ours.

    Returns:
      int [A]: its row of our anchor i; we count for each ratio, for each size (`ops.anchors.cell_anchors`).

    Source: `detectron2/modeling/anchor_generator.py`, `generate_cell_anchors`.
    """
    return np.arange(num_sizes * num_ratios).reshape(num_sizes, num_ratios).T.ravel()


def check_anchors(tensors: Tensors, name: str, anchors: AnchorConfig) -> None:
    """Makes sure that a configuration has as many anchors a cell as the RPN has rows.

    Args:
      tensors: arrays by name.
      name: of the objectness layer's kernel.
      anchors: of the model.

    Raises:
      CheckpointError: it has more or fewer.
    """
    sizes, ratios = len(anchors.sizes[0]), len(anchors.ratios)
    if name in tensors and tensors[name].ndim == 4 and tensors[name].shape[0] != sizes * ratios:
        raise CheckpointError(
            f"{name} is for {tensors[name].shape[0]} anchors a cell, and config.model.anchors has {sizes * ratios} "
            f"({ratios} ratios, {sizes} sizes a level). The file does not say them; give anchor_sizes, a tuple of "
            "sizes in pixels for each of the RPN's levels, or a configuration with the sizes and ratios."
        )


def class_logits(name: str, layer: keras.layers.Dense, background_last: bool) -> list[Entry]:
    """Class logits with background first, as ours, or last."""
    roll = 1 if background_last else 0
    units, rows = layer.kernel.shape
    return [
        Entry(
            layer.kernel,
            (Source(f"{name}.weight", (rows, units)),),
            lambda a: np.roll(a, roll, 0).T,
            lambda a: np.roll(a.T, -roll, 0),
        ),
        Entry(
            layer.bias,
            (Source(f"{name}.bias", (rows,)),),
            lambda a: np.roll(a, roll),
            lambda a: np.roll(a, -roll),
        ),
    ]


def box_deltas(name: str, layer: keras.layers.Dense, with_background: bool) -> list[Entry]:
    """(dx, dy, dw, dh) of each class, with four rows of background first, which nobody reads, or without."""
    units, columns = layer.kernel.shape
    rows = columns + 4 * with_background

    def to_ours(a: np.ndarray) -> np.ndarray:
        a = a.reshape(-1, 4, *a.shape[1:])[int(with_background) :, SWAP]
        return a.reshape(columns, *a.shape[2:])

    def to_theirs(a: np.ndarray) -> np.ndarray:
        a = a.reshape(-1, 4, *a.shape[1:])[:, SWAP]
        a = np.concatenate([np.zeros_like(a[:1]), a]) if with_background else a
        return a.reshape(rows, *a.shape[2:])

    return [
        Entry(
            layer.kernel,
            (Source(f"{name}.weight", (rows, units)),),
            lambda a: to_ours(a).T,
            lambda a: to_theirs(a.T),
        ),
        Entry(layer.bias, (Source(f"{name}.bias", (rows,)),), to_ours, to_theirs),
    ]


def check_box_head(head: keras.layers.Layer, project: str) -> None:
    """Raises CheckpointError: the box head is a cascade or class-agnostic, which the project has not."""
    if head.class_agnostic:
        raise CheckpointError(
            f"config.model.box_head is class-agnostic or a cascade, which {project} has not; allowed: class_agnostic "
            "False, and no cascade_ious."
        )


def deconv(name: str, layer: keras.layers.Layer) -> list[Entry]:
    """A 2x2 deconvolution of stride 2, [in, out, 2, 2], and our `Deconv`."""
    inputs, outputs = layer.kernel.shape[2], layer.filters
    kernel = Entry(
        layer.kernel,
        (Source(f"{name}.weight", (inputs, outputs, 2, 2)),),
        lambda a: a.transpose(0, 2, 3, 1).reshape(1, 1, inputs, 4 * outputs),
        lambda a: a.reshape(inputs, 2, 2, outputs).transpose(0, 3, 1, 2),
    )
    return [kernel, vector(f"{name}.bias", layer.bias)]


def mask_logits(name: str, head: keras.layers.Layer, with_background: bool) -> list[Entry]:
    """The mask head's last 1x1 convolution, one row a class, with a first row of background, or without."""
    classes, channels = head.kernel.shape
    rows, first = classes + with_background, int(with_background)

    def with_first(a: np.ndarray) -> np.ndarray:
        return np.concatenate([np.zeros_like(a[:1])] * first + [a])

    return [
        Entry(
            head.kernel,
            (Source(f"{name}.weight", (rows, channels, 1, 1)),),
            lambda a: a[first:, :, 0, 0],
            lambda a: with_first(a)[..., None, None],
        ),
        Entry(head.bias, (Source(f"{name}.bias", (rows,)),), lambda a: a[first:], with_first),
    ]


def keypoint_head(convs: Sequence[str], score: str, head: keras.layers.Layer) -> list[Entry]:
    """The keypoint head: its convolutions, and its deconvolution [in, J, 4, 4].

    Args:
      convs: what the names of the convolutions' tensors begin with.
      score: what those of the deconvolution begin with.
      head: ours.
    """
    parts = [conv_norm(name, None, conv) for name, conv in zip(convs, head.convs, strict=True)]
    # [4, 4, J, in] of ours: as a convolution from J channels, which a deconvolution is the transpose of.
    return concatenate([*parts, [conv_kernel(f"{score}.weight", head.kernel), vector(f"{score}.bias", head.bias)]])


def read_keypoint_head(tensors: Tensors, pattern: str, score: str, model: ModelConfig) -> None:
    """Reads the dimensions of a keypoint head off its tensors; J other than a person's loses the person's names.

    Args:
      tensors: arrays by name.
      pattern: of the names of its convolutions, a regular expression with the number as its group.
      score: what the names of the deconvolution's tensors begin with.
      model: a `ModelConfig`; it is changed.

    Raises:
      CheckpointError: the deconvolution has not four axes.
    """
    weight = tensors.get(f"{score}.weight")
    if weight is None:
        model.keypoint_head.enabled = False
        return
    if weight.ndim != 4 or 0 in weight.shape:
        raise CheckpointError(f"{score}.weight is {list(weight.shape)}; allowed: 4 axes, [channels, keypoints, 4, 4].")
    matches = (re.fullmatch(pattern, name) for name in tensors)
    channels, count = weight.shape[:2]
    same = model.keypoint_head if model.keypoint_head.num_keypoints == count else KeypointHeadConfig()
    model.keypoint_head = dataclasses.replace(
        same,
        enabled=True,
        num_keypoints=count,
        channels=channels,
        num_convs=len({match[1] for match in matches if match}),
    )


def resnet_blocks(model: keras.Model) -> list[keras.layers.Layer]:
    """Residual blocks of a `MaskRCNN`'s backbone, in order, and of the C5 that runs on RoIs."""
    return [*model.backbone.blocks, *(() if model.roi_body is None else model.roi_body.blocks)]


def concatenate(parts: Sequence[list[Entry]]) -> list[Entry]:
    """One list of several."""
    return [entry for part in parts for entry in part]
