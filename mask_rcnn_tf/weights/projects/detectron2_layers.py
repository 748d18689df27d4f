"""Detectron2's names of a model's tensors: what a checkpoint is read off, and where each of its tensors goes.

Source: `detectron2/modeling/backbone/{resnet,fpn}.py`, `proposal_generator/rpn.py`,
`roi_heads/{box_head,fast_rcnn,mask_head}.py`.
"""

import math
import re

from mask_rcnn_tf.models.norms import FrozenBatchNorm
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.projects import torch_layouts as layouts

BOTTOM_UP = "backbone.bottom_up."
RPN = "proposal_generator.rpn_head"
BOX_HEAD, PREDICTOR = "roi_heads.box_head", "roi_heads.box_predictor"
MASK_HEAD = "roi_heads.mask_head"


def read_backbone(tensors, prefix, backbone):
    """Reads a ResNet's or ResNeXt's dimensions off its tensors.

    Args:
      tensors: arrays by name.
      prefix: what the names of the backbone begin with.
      backbone: a `BackboneConfig`; it is changed.

    Raises:
      CheckpointError: a tensor that is needed for it is missing or is no convolution.
    """
    backbone.stem_channels, _, backbone.stem_kernel, _ = conv_shape(tensors, f"{prefix}stem.conv1")
    backbone.stage_blocks = tuple(_count(tensors, rf"{re.escape(prefix)}res{i}\.(\d+)\..*") for i in range(2, 6))
    last = 3 if f"{prefix}res2.0.conv3.weight" in tensors else 2
    backbone.block = "bottleneck" if last == 3 else "basic"
    expansion = 4 if last == 3 else 1
    outputs = [conv_shape(tensors, f"{prefix}res{i}.0.conv{last}")[0] for i in range(2, 6)]
    backbone.stage_channels = tuple(channels // expansion for channels in outputs)
    if last == 3:
        width, inputs = conv_shape(tensors, f"{prefix}res2.0.conv2")[:2]
        backbone.groups = max(width // inputs, 1)
        backbone.width_per_group = 64 * width // (backbone.groups * max(backbone.stage_channels[0], 1))


def read_heads(tensors, model):
    """Reads the dimensions and norms of pyramid and heads off their tensors.

    Args:
      tensors: arrays by name.
      model: a `ModelConfig`; it is changed.

    Raises:
      CheckpointError: a tensor that is needed for it is missing or is of no use.
    """
    model.fpn.channels = conv_shape(tensors, "backbone.fpn_lateral2")[0]
    model.fpn.norm = norm_kind(tensors, "backbone.fpn_lateral2")
    model.rpn.num_convs = _count(tensors, rf"{re.escape(RPN)}\.conv\.conv(\d+)\.weight") or 1
    model.rpn.channels = conv_shape(tensors, _rpn_conv(model.rpn.num_convs, 0))[0]
    box, mask = model.box_head, model.mask_head
    box.num_convs = _count(tensors, rf"{re.escape(BOX_HEAD)}\.conv(\d+)\.weight")
    if box.num_convs:
        box.conv_channels = conv_shape(tensors, f"{BOX_HEAD}.conv1")[0]
    box.norm = norm_kind(tensors, f"{BOX_HEAD}.conv1")
    box.num_fcs = _count(tensors, rf"{re.escape(BOX_HEAD)}\.fc(\d+)\.weight")
    box.fc_channels, inputs = _shape(tensors, f"{BOX_HEAD}.fc1.weight", 2)
    box.pool_size = math.isqrt(inputs // (box.conv_channels if box.num_convs else model.fpn.channels)) or 1
    mask.enabled = any(name.startswith(f"{MASK_HEAD}.") for name in tensors)
    if mask.enabled:
        mask.num_convs = _count(tensors, rf"{re.escape(MASK_HEAD)}\.mask_fcn(\d+)\.weight")
        mask.channels = _shape(tensors, f"{MASK_HEAD}.deconv.weight", 4)[1]
        mask.norm = norm_kind(tensors, f"{MASK_HEAD}.mask_fcn1")


def norm_kind(tensors, conv):
    """The norm of a convolution, one of `config.NORMS`; a batch norm of Detectron2's heads is a synchronised one."""
    if f"{conv}.norm.running_mean" in tensors:
        return "sync_batch_norm"
    return "group_norm" if f"{conv}.norm.weight" in tensors else "none"


def conv_shape(tensors, conv):
    """[out, in, k, k] of a convolution. Raises CheckpointError where it is missing or has another rank."""
    return _shape(tensors, f"{conv}.weight", 4)


def _shape(tensors, name, rank):
    shape = tensors[name].shape if name in tensors else ()
    if len(shape) != rank or 0 in shape:
        came = list(shape) if name in tensors else "missing"
        raise CheckpointError(f"{name}, by which the model's dimensions are known, is {came}; allowed: {rank} axes.")
    return shape


def _count(tensors, pattern):
    """How many different numbers the names have where the pattern's group is."""
    matches = (re.fullmatch(pattern, name) for name in tensors)
    return len({match[1] for match in matches if match})


def backbone_entries(backbone, prefix, tensors):
    """Entries of a `ResNet`.

    Args:
      backbone: ours.
      prefix: what its names begin with.
      tensors: arrays by name; they tell an AffineChannel from a norm.

    Raises:
      CheckpointError: AffineChannels, and batch norms that train.
    """
    affine = f"{prefix}stem.conv1.affine.weight" in tensors
    if affine and not isinstance(backbone.stem.norm, FrozenBatchNorm):
        raise CheckpointError(
            "The backbone's norms are AffineChannels, without the statistics that a norm could go on training from; "
            "allowed for config.model.backbone.norm: 'frozen_batch_norm'."
        )

    def conv_norm(name, layer):
        return layouts.conv_norm(name, f"{name}.{'affine' if affine else 'norm'}", layer, affine_only=affine)

    entries = conv_norm(f"{prefix}stem.conv1", backbone.stem)
    for block in backbone.blocks:
        level, index = block.name[1:].split("_")
        name = f"{prefix}res{level}.{index}"
        for i, conv in enumerate(block.convs, start=1):
            entries += conv_norm(f"{name}.conv{i}", conv)
        if block.shortcut is not None:
            entries += conv_norm(f"{name}.shortcut", block.shortcut)
    return entries


def head_entries(model, background_first):
    """Entries of everything but the backbone.

    Args:
      model: `MaskRCNN`.
      background_first: whether the class logits begin with background, and deltas and masks have rows for it (original
        Detectron); else the logits end with it, and the others have none.
    """
    parts = []
    for level, lateral, output in zip(range(2, 6), model.pyramid.laterals, model.pyramid.outputs_, strict=True):
        parts.append(_conv(f"backbone.fpn_lateral{level}", lateral))
        parts.append(_conv(f"backbone.fpn_output{level}", output))
    rpn, box, mask = model.rpn_head, model.box_head, model.mask_head
    parts += [_conv(_rpn_conv(len(rpn.convs), i), conv) for i, conv in enumerate(rpn.convs)]
    parts.append(_conv(f"{RPN}.objectness_logits", rpn.objectness))
    parts.append(layouts.rpn_deltas(f"{RPN}.anchor_deltas", rpn.deltas, rpn.num_anchors))
    parts += [_conv(f"{BOX_HEAD}.conv{i}", conv) for i, conv in enumerate(box.convs, start=1)]
    for i, fc in enumerate(box.fcs, start=1):
        name = f"{BOX_HEAD}.fc{i}"
        parts.append(
            layouts.dense_on_map(name, fc, model.config.box_head.pool_size) if i == 1 else layouts.dense(name, fc)
        )
    parts.append(layouts.class_logits(f"{PREDICTOR}.cls_score", box.classes, background_last=not background_first))
    parts.append(layouts.box_deltas(f"{PREDICTOR}.bbox_pred", box.deltas, with_background=background_first))
    if mask is not None:
        parts += [_conv(f"{MASK_HEAD}.mask_fcn{i}", conv) for i, conv in enumerate(mask.convs, start=1)]
        parts.append(layouts.deconv(f"{MASK_HEAD}.deconv", mask.deconv))
        parts.append(layouts.mask_logits(f"{MASK_HEAD}.predictor", mask, with_background=background_first))
    return layouts.concatenate(parts)


def _conv(name, layer):
    return layouts.conv_norm(name, f"{name}.norm", layer)


def _rpn_conv(count, i):
    return f"{RPN}.conv" if count == 1 else f"{RPN}.conv.conv{i}"
