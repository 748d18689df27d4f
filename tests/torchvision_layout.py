"""Torchvision's names and layouts for our variables, so that `golden/recipe.py` can fill a model."""

import dataclasses
from collections.abc import Callable

import numpy as np
import recipe

SWAP = [1, 0, 3, 2]  # (dx, dy, dw, dh) <-> (dy, dx, dh, dw)


@dataclasses.dataclass
class Tensor:
    """One tensor of torchvision's state_dict and the variable of ours that holds it."""

    name: str
    shape: tuple
    variable: object
    to_ours: Callable
    to_torch: Callable


def _conv(name, variable):
    k, _, inputs, outputs = variable.shape
    return Tensor(
        name, (outputs, inputs, k, k), variable, lambda a: a.transpose(2, 3, 1, 0), lambda a: a.transpose(3, 2, 0, 1)
    )


def _vector(name, variable):
    return Tensor(name, tuple(variable.shape), variable, lambda a: a, lambda a: a)


def _conv_norm(conv_name, norm_name, layer):
    tensors = [_conv(f"{conv_name}.weight", layer.kernel)]
    if layer.norm is None:
        return [*tensors, _vector(f"{conv_name}.bias", layer.bias)]
    names = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
    return tensors + [_vector(f"{norm_name}.{theirs}", getattr(layer.norm, ours)) for theirs, ours in names.items()]


def _backbone(backbone):
    tensors = _conv_norm("backbone.body.conv1", "backbone.body.bn1", backbone.stem)
    for block in backbone.blocks:
        level, index = block.name[1:].split("_")
        prefix = f"backbone.body.layer{int(level) - 1}.{index}"
        for i, conv in enumerate(block.convs, start=1):
            tensors += _conv_norm(f"{prefix}.conv{i}", f"{prefix}.bn{i}", conv)
        if block.shortcut is not None:
            tensors += _conv_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1", block.shortcut)
    return tensors


def _rpn(head):
    tensors = []
    for i, conv in enumerate(head.convs):
        tensors += _conv_norm(f"rpn.head.conv.{i}.0", None, conv)
    tensors += _conv_norm("rpn.head.cls_logits", None, head.objectness)
    anchors = head.num_anchors

    def swap(a):
        return a.reshape(anchors, 4, *a.shape[1:])[:, SWAP].reshape(a.shape)

    weight = _conv("rpn.head.bbox_pred.weight", head.deltas.kernel)
    ours, theirs = weight.to_ours, weight.to_torch
    weight.to_ours, weight.to_torch = lambda a: ours(swap(a)), lambda a: swap(theirs(a))
    return [*tensors, weight, Tensor("rpn.head.bbox_pred.bias", (4 * anchors,), head.deltas.bias, swap, swap)]


def _box(head):
    def fc6(a):
        return a.reshape(a.shape[0], -1, 7, 7).transpose(2, 3, 1, 0).reshape(-1, a.shape[0])

    def fc6_back(a):
        return a.reshape(7, 7, -1, a.shape[1]).transpose(3, 2, 0, 1).reshape(a.shape[1], -1)

    def deltas(a):  # class-major with background first
        return a.reshape(-1, 4, *a.shape[1:])[1:][:, SWAP].reshape(-1, *a.shape[1:])

    def deltas_back(a):
        a = a.reshape(-1, 4, *a.shape[1:])[:, SWAP]
        return np.concatenate([np.zeros_like(a[:1]), a]).reshape(-1, *a.shape[2:])

    roi = "roi_heads."
    tensors = []
    for name, layer, forth, back in (
        ("box_head.fc6", head.fcs[0], fc6, fc6_back),
        ("box_head.fc7", head.fcs[1], np.transpose, np.transpose),
        ("box_predictor.cls_score", head.classes, np.transpose, np.transpose),
    ):
        tensors.append(Tensor(f"{roi}{name}.weight", layer.kernel.shape[::-1], layer.kernel, forth, back))
        tensors.append(_vector(f"{roi}{name}.bias", layer.bias))
    units, rows = head.deltas.kernel.shape[0], head.deltas.kernel.shape[1] + 4
    name = f"{roi}box_predictor.bbox_pred"
    kernel, bias = head.deltas.kernel, head.deltas.bias
    tensors.append(Tensor(f"{name}.weight", (rows, units), kernel, lambda a: deltas(a).T, lambda a: deltas_back(a.T)))
    tensors.append(Tensor(f"{name}.bias", (rows,), bias, deltas, deltas_back))
    return tensors


def _mask(head):
    tensors = []
    for i, conv in enumerate(head.convs):
        tensors += _conv_norm(f"roi_heads.mask_head.{i}.0", None, conv)
    channels = head.channels
    predictor = "roi_heads.mask_predictor"

    def forth(a):
        return a.transpose(0, 2, 3, 1).reshape(1, 1, channels, 4 * channels)

    def back(a):
        return a.reshape(channels, 2, 2, channels).transpose(0, 3, 1, 2)

    deconv = f"{predictor}.conv5_mask"
    tensors.append(Tensor(f"{deconv}.weight", (channels, channels, 2, 2), head.deconv.kernel, forth, back))
    tensors.append(
        Tensor(
            f"{deconv}.bias",
            (channels,),
            head.deconv.bias,
            lambda a: np.tile(a, 4),
            lambda a: a.reshape(4, channels).sum(0),  # right for gradients, which is what it is used for
        )
    )
    logits = f"{predictor}.mask_fcn_logits"
    tensors.append(
        Tensor(
            f"{logits}.weight",
            (head.num_classes + 1, channels, 1, 1),
            head.kernel,
            lambda a: a[1:, :, 0, 0],
            lambda a: np.concatenate([np.zeros_like(a[:1]), a])[..., None, None],
        )
    )
    tensors.append(
        Tensor(
            f"{logits}.bias",
            (head.num_classes + 1,),
            head.bias,
            lambda a: a[1:],
            lambda a: np.concatenate([np.zeros_like(a[:1]), a]),
        )
    )
    return tensors


def tensors(model):
    """Every tensor of torchvision's `maskrcnn_resnet50_fpn` with its place in our model."""
    return (
        _backbone(model.backbone)
        + _pyramid(model.pyramid)
        + _rpn(model.rpn_head)
        + _box(model.box_head)
        + (_mask(model.mask_head))
    )


def _pyramid(pyramid):
    result = []
    for i, (lateral, output) in enumerate(zip(pyramid.laterals, pyramid.outputs_, strict=True)):
        result += _conv_norm(f"backbone.fpn.inner_blocks.{i}.0", None, lateral)
        result += _conv_norm(f"backbone.fpn.layer_blocks.{i}.0", None, output)
    return result


def fill(model):
    """Gives the model the recipe's weights."""
    for tensor in tensors(model):
        tensor.variable.assign(tensor.to_ours(recipe.fill_array(tensor.name, tensor.shape)))
    return model
