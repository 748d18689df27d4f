"""Entries for layers as PyTorch (and Caffe2) store them: convolutions [out, in, k, k], dense layers [out, in]."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.weights.mapping import Entry, Source

SWAP = [1, 0, 3, 2]  # (dx, dy, dw, dh) <-> (dy, dx, dh, dw)


@dataclasses.dataclass(frozen=True)
class Suffixes:
    """How a format ends the names of a layer's tensors."""

    weight: str = ".weight"
    bias: str = ".bias"
    gamma: str = ".weight"
    beta: str = ".bias"
    mean: str = ".running_mean"
    variance: str = ".running_var"


TORCH = Suffixes()


def vector(name, variable):
    """A tensor that both sides store alike."""
    return Entry(variable, (Source(name, tuple(variable.shape)),), lambda a: a, lambda a: a)


def constant(variable, value):
    """A variable that the format has no tensor for, because it is the same number everywhere."""
    return Entry(variable, (), lambda: np.full(variable.shape, value, np.float32))


def conv_kernel(name, variable):
    """[out, in, k, k] and our [k, k, in, out]; with groups, `in` is that of one group on both sides."""
    height, width, inputs, outputs = variable.shape
    return Entry(
        variable,
        (Source(name, (outputs, inputs, height, width)),),
        lambda a: a.transpose(2, 3, 1, 0),
        lambda a: a.transpose(3, 2, 0, 1),
    )


def norm(name, layer, suffixes=TORCH, affine_only=False):
    """A batch norm (frozen or not) or a group norm.

    Args:
      name: what the names of its tensors begin with.
      layer: ours.
      suffixes: `Suffixes`.
      affine_only: the format stores scale and shift alone (Caffe2's AffineChannel): mean and variance are such that
        they change nothing.
    """
    entries = [vector(name + suffixes.gamma, layer.gamma), vector(name + suffixes.beta, layer.beta)]
    if not hasattr(layer, "moving_mean"):
        return entries
    if affine_only:
        return [*entries, constant(layer.moving_mean, 0.0), constant(layer.moving_variance, 1.0 - layer.epsilon)]
    statistics = [vector(name + suffixes.mean, layer.moving_mean)]
    return [*entries, *statistics, vector(name + suffixes.variance, layer.moving_variance)]


def conv_norm(conv_name, norm_name, layer, suffixes=TORCH, affine_only=False):
    """A `ConvNorm`: its kernel, and its bias or the tensors of its norm (see `norm`)."""
    entries = [conv_kernel(conv_name + suffixes.weight, layer.kernel)]
    if layer.norm is None:
        return [*entries, vector(conv_name + suffixes.bias, layer.bias)]
    return entries + norm(norm_name, layer.norm, suffixes, affine_only)


def dense(name, layer, suffixes=TORCH):
    """A fully connected layer [out, in], on inputs that both sides order alike."""
    shape = tuple(layer.kernel.shape[::-1])
    kernel = Entry(layer.kernel, (Source(name + suffixes.weight, shape),), np.transpose, np.transpose)
    return [kernel, vector(name + suffixes.bias, layer.bias)]


def dense_on_map(name, layer, side, suffixes=TORCH):
    """A fully connected layer on a flattened [side, side, c] map: they flatten (c, y, x), we (y, x, c)."""

    def to_ours(a):
        return a.reshape(a.shape[0], -1, side, side).transpose(2, 3, 1, 0).reshape(-1, a.shape[0])

    def to_theirs(a):
        return a.reshape(side, side, -1, a.shape[1]).transpose(3, 2, 0, 1).reshape(a.shape[1], -1)

    shape = tuple(layer.kernel.shape[::-1])
    kernel = Entry(layer.kernel, (Source(name + suffixes.weight, shape),), to_ours, to_theirs)
    return [kernel, vector(name + suffixes.bias, layer.bias)]


def rpn_deltas(name, layer, num_anchors, suffixes=TORCH):
    """The RPN's 1x1 convolution to (dx, dy, dw, dh) of each anchor."""

    def swap(a):
        return a.reshape(num_anchors, 4, *a.shape[1:])[:, SWAP].reshape(a.shape)

    kernel, rows = layer.kernel, 4 * num_anchors
    return [
        Entry(
            kernel,
            (Source(name + suffixes.weight, (rows, kernel.shape[2], 1, 1)),),
            lambda a: swap(a).transpose(2, 3, 1, 0),
            lambda a: swap(a.transpose(3, 2, 0, 1)),
        ),
        Entry(layer.bias, (Source(name + suffixes.bias, (rows,)),), swap, swap),
    ]


def class_logits(name, layer, background_last, suffixes=TORCH):
    """Class logits with background first, as ours, or last."""
    roll = 1 if background_last else 0
    units, rows = layer.kernel.shape
    return [
        Entry(
            layer.kernel,
            (Source(name + suffixes.weight, (rows, units)),),
            lambda a: np.roll(a, roll, 0).T,
            lambda a: np.roll(a.T, -roll, 0),
        ),
        Entry(
            layer.bias,
            (Source(name + suffixes.bias, (rows,)),),
            lambda a: np.roll(a, roll),
            lambda a: np.roll(a, -roll),
        ),
    ]


def box_deltas(name, layer, with_background, suffixes=TORCH):
    """(dx, dy, dw, dh) of each class, with four rows of background first, which nobody reads, or without."""
    units, columns = layer.kernel.shape
    rows = columns + 4 * with_background

    def to_ours(a):
        a = a.reshape(-1, 4, *a.shape[1:])[int(with_background) :, SWAP]
        return a.reshape(columns, *a.shape[2:])

    def to_theirs(a):
        a = a.reshape(-1, 4, *a.shape[1:])[:, SWAP]
        a = np.concatenate([np.zeros_like(a[:1]), a]) if with_background else a
        return a.reshape(rows, *a.shape[2:])

    return [
        Entry(
            layer.kernel,
            (Source(name + suffixes.weight, (rows, units)),),
            lambda a: to_ours(a).T,
            lambda a: to_theirs(a.T),
        ),
        Entry(layer.bias, (Source(name + suffixes.bias, (rows,)),), to_ours, to_theirs),
    ]


def deconv(name, layer, suffixes=TORCH):
    """A 2x2 deconvolution of stride 2, [in, out, 2, 2], and our `Deconv`."""
    inputs, outputs = layer.kernel.shape[2], layer.filters
    kernel = Entry(
        layer.kernel,
        (Source(name + suffixes.weight, (inputs, outputs, 2, 2)),),
        lambda a: a.transpose(0, 2, 3, 1).reshape(1, 1, inputs, 4 * outputs),
        lambda a: a.reshape(inputs, 2, 2, outputs).transpose(0, 3, 1, 2),
    )
    return [kernel, vector(name + suffixes.bias, layer.bias)]


def mask_logits(name, head, with_background, suffixes=TORCH):
    """The mask head's last 1x1 convolution, one row a class, with a first row of background, or without."""
    classes, channels = head.kernel.shape
    rows, first = classes + with_background, int(with_background)

    def with_first(a):
        return np.concatenate([np.zeros_like(a[:1])] * first + [a])

    return [
        Entry(
            head.kernel,
            (Source(name + suffixes.weight, (rows, channels, 1, 1)),),
            lambda a: a[first:, :, 0, 0],
            lambda a: with_first(a)[..., None, None],
        ),
        Entry(head.bias, (Source(name + suffixes.bias, (rows,)),), lambda a: a[first:], with_first),
    ]


def concatenate(parts: Sequence[list[Entry]]) -> list[Entry]:
    """One list of several."""
    return [entry for part in parts for entry in part]
