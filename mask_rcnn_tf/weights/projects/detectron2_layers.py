"""Detectron2's names of a model's tensors: what a checkpoint is read off, and where each of its tensors goes.

Source: `detectron2/modeling/backbone/{resnet,fpn}.py`, `proposal_generator/rpn.py`,
`roi_heads/{roi_heads,box_head,fast_rcnn,mask_head,keypoint_head}.py`.
"""

import dataclasses
import math
import re

import keras
import numpy as np

from mask_rcnn_tf.config import AnchorConfig, BackboneConfig, ModelConfig
from mask_rcnn_tf.models.backbones.resnet import EXPANSION
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.norms import FrozenBatchNorm
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Tensors
from mask_rcnn_tf.weights.projects import torch_layouts as layouts

BOTTOM_UP = "backbone.bottom_up."
PLAIN = "backbone."  # of a backbone without a pyramid
ROI_BODY = "roi_heads."  # C5 of a C4 model
RPN = "proposal_generator.rpn_head"
BOX_HEAD, PREDICTOR = "roi_heads.box_head", "roi_heads.box_predictor"
MASK_HEAD, KEYPOINT_HEAD = "roi_heads.mask_head", "roi_heads.keypoint_head"
CASCADE_IOUS = (0.6, 0.7)  # of the stages after the first: `detectron2/config/defaults.py`, ROI_BOX_CASCADE_HEAD
STEM = "stem.conv1.weight"
CELL_ANCHORS = "proposal_generator.anchor_generator.cell_anchors"


def read_backbone(tensors: Tensors, prefix: str, backbone: BackboneConfig, last: int = 5) -> None:
    """Reads a ResNet's or ResNeXt's dimensions off its tensors.

    Args:
      tensors: arrays by name.
      prefix: what the names of the backbone begin with.
      backbone: a `BackboneConfig`; it is changed.
      last: stage where it ends; what the configuration says of later ones stays.

    Raises:
      CheckpointError: a tensor that is needed for it is missing or is no convolution.
    """
    backbone.stem_channels, _, backbone.stem_kernel, _ = conv_shape(tensors, f"{prefix}stem.conv1")
    stages = [f"{_stage_prefix(tensors, prefix, i)}res{i}" for i in range(2, last + 1)]
    blocks = [_count(tensors, rf"{re.escape(stage)}\.(\d+)\..*") for stage in stages]
    convs = 3 if f"{prefix}res2.0.conv3.weight" in tensors else 2
    backbone.block = "bottleneck" if convs == 3 else "basic"
    expansion = 4 if convs == 3 else 1
    channels = [conv_shape(tensors, f"{stage}.0.conv{convs}")[0] // expansion for stage in stages]
    backbone.stage_blocks = (*blocks, *backbone.stage_blocks[last - 1 :])
    backbone.stage_channels = (*channels, *backbone.stage_channels[last - 1 :])
    if convs == 3:
        width, inputs = conv_shape(tensors, f"{prefix}res2.0.conv2")[:2]
        backbone.groups = max(width // inputs, 1)
        backbone.width_per_group = 64 * width // (backbone.groups * max(backbone.stage_channels[0], 1))


def _stage_prefix(tensors: Tensors, prefix: str, level: int) -> str:
    """What the names of a stage begin with: C5 of a C4 model is not in the backbone."""
    return ROI_BODY if level == 5 and has_roi_body(tensors) else prefix


def has(tensors: Tensors, part: str) -> bool:
    """Whether there is a tensor of a part, such as `RPN`."""
    return any(name.startswith(f"{part}.") for name in tensors)


def has_roi_body(tensors: Tensors) -> bool:
    """Whether it is a C4 model, whose C5 runs on RoIs."""
    return any(name.startswith(f"{ROI_BODY}res5.") for name in tensors)


def prefix_of(tensors: Tensors) -> str:
    """What the names of a backbone begin with: Detectron2's with a pyramid or without, or a bare backbone's."""
    for prefix in ("", PLAIN):
        if f"{prefix}{STEM}" in tensors:
            return prefix
    return BOTTOM_UP


def read_heads(tensors: Tensors, model: ModelConfig) -> None:
    """Reads the dimensions and norms of pyramid and heads off their tensors; without a box head it is an RPN alone.

    Args:
      tensors: arrays by name.
      model: a `ModelConfig`; it is changed.

    Raises:
      CheckpointError: a tensor that is needed for it is missing or is of no use.
    """
    if model.fpn.enabled:
        model.fpn.channels = conv_shape(tensors, "backbone.fpn_lateral2")[0]
        model.fpn.norm = norm_kind(tensors, "backbone.fpn_lateral2")
    if has(tensors, RPN):
        model.rpn.num_convs = _count(tensors, rf"{re.escape(RPN)}\.conv\.conv(\d+)\.weight") or 1
        model.rpn.channels = conv_shape(tensors, _rpn_conv(model.rpn.num_convs, 0))[0]
    if has(tensors, PREDICTOR):
        _read_box_head(tensors, model)
    mask = model.mask_head
    mask.enabled = has(tensors, MASK_HEAD)
    if mask.enabled:
        mask.num_convs = _count(tensors, rf"{re.escape(MASK_HEAD)}\.mask_fcn(\d+)\.weight")
        mask.channels = _shape(tensors, f"{MASK_HEAD}.deconv.weight", 4)[1]
        mask.norm = norm_kind(tensors, f"{MASK_HEAD}.mask_fcn1")
    convs = rf"{re.escape(KEYPOINT_HEAD)}\.conv_fcn(\d+)\.weight"
    layouts.read_keypoint_head(tensors, convs, f"{KEYPOINT_HEAD}.score_lowres", model)


def box_stages(tensors: Tensors) -> list[str]:
    """What follows `BOX_HEAD` and `PREDICTOR` in the names of each stage: ".0", ".1", ... of a cascade, or ""."""
    return [f".{i}" for i in range(_count(tensors, rf"{re.escape(PREDICTOR)}\.(\d+)\..*"))] or [""]


def _read_box_head(tensors, model):
    box, stages = model.box_head, box_stages(tensors)
    box.class_agnostic = len(stages) > 1
    if stages != [""] and len(stages) != 1 + len(CASCADE_IOUS):
        raise CheckpointError(
            f"The checkpoint is a cascade of {len(stages)} stages; allowed: {1 + len(CASCADE_IOUS)}, whose IoUs and "
            "delta weights are known."
        )
    box.cascade_ious = CASCADE_IOUS if box.class_agnostic else ()
    name = f"{BOX_HEAD}{stages[0]}"
    box.num_convs = _count(tensors, rf"{re.escape(name)}\.conv(\d+)\.weight")
    if box.num_convs:
        box.conv_channels = conv_shape(tensors, f"{name}.conv1")[0]
    box.norm = norm_kind(tensors, f"{name}.conv1")
    box.num_fcs = _count(tensors, rf"{re.escape(name)}\.fc(\d+)\.weight")
    if not box.average:
        box.fc_channels, inputs = _shape(tensors, f"{name}.fc1.weight", 2)
        channels = model.fpn.channels if model.fpn.enabled else EXPANSION * model.backbone.stage_channels[3]
        box.pool_size = math.isqrt(inputs // (box.conv_channels if box.num_convs else channels)) or 1


def read_anchors(tensors: Tensors, anchors: AnchorConfig) -> bool:
    """Reads sizes and ratios off the anchors of a cell, which files of before 2020 hold.

    Args:
      tensors: arrays by name.
      anchors: changed, if the file has them.

    Returns:
      Whether it has.

    Raises:
      CheckpointError: they are not sizes times ratios, or not the same ratios on every level.
    """
    count = len(anchors.sizes)
    levels = [tensors.get(f"{CELL_ANCHORS}.{i}") for i in range(count)]
    if any(level is None or level.ndim != 2 or level.shape[1:] != (4,) or not level.any() for level in levels):
        return False
    grids = [_sizes_and_ratios(level.astype(np.float64)) for level in levels]
    if any(grid is None or grid[1] != grids[0][1] for grid in grids):
        raise CheckpointError(
            f"{CELL_ANCHORS}.0 to .{count - 1} are no anchors that this version has; allowed: on each level, for each "
            "size, for each ratio, with the same ratios everywhere."
        )
    anchors.sizes, anchors.ratios = tuple(sizes for sizes, _ in grids), grids[0][1]
    return True


def _sizes_and_ratios(cells: np.ndarray) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """What [A, 4] (x1, y1, x2, y2) were made of, for each size, for each ratio; None if not of that."""
    width, height = (cells[:, 2:] - cells[:, :2]).T
    if not (width > 0).all() or not (height > 0).all() or np.abs(cells[:, :2] + cells[:, 2:]).max() > 1e-3:
        return None
    sizes, ratios = np.sqrt(width * height), height / width
    same = np.isclose(sizes, sizes[0], rtol=1e-4)
    count = len(cells) if same.all() else int(np.argmin(same))  # ratios: anchors before the size changes
    if len(cells) % count:
        return None
    sizes, ratios = sizes.reshape(-1, count), ratios.reshape(-1, count)
    if not np.allclose(sizes, sizes[:, :1], rtol=1e-4) or not np.allclose(ratios, ratios[:1], rtol=1e-4):
        return None
    return tuple(float(f"{x:.6g}") for x in sizes[:, 0]), tuple(float(f"{x:.6g}") for x in ratios[0])


def norm_kind(tensors: Tensors, conv: str) -> str:
    """The norm of a convolution, as the configuration calls it; a batch norm of Detectron2's heads is synchronised."""
    if f"{conv}.norm.running_mean" in tensors:
        return "sync_batch_norm"
    return "group_norm" if f"{conv}.norm.weight" in tensors else "none"


def conv_shape(tensors: Tensors, conv: str) -> tuple[int, ...]:
    """[out, in, k, k] of a convolution. Raises CheckpointError where it is missing or has another rank."""
    return _shape(tensors, f"{conv}.weight", 4)


def _shape(tensors: Tensors, name: str, rank: int) -> tuple[int, ...]:
    shape = tensors[name].shape if name in tensors else ()
    if len(shape) != rank or 0 in shape:
        came = list(shape) if name in tensors else "missing"
        raise CheckpointError(f"{name}, by which the model's dimensions are known, is {came}; allowed: {rank} axes.")
    return shape


def _count(tensors: Tensors, pattern: str) -> int:
    """How many different numbers the names have where the pattern's group is."""
    matches = (re.fullmatch(pattern, name) for name in tensors)
    return len({match[1] for match in matches if match})


def backbone_entries(model: MaskRCNN, prefix: str, tensors: Tensors) -> list[Entry]:
    """Entries of a `ResNet`, and of the C5 that runs on RoIs.

    Args:
      model: `MaskRCNN`.
      prefix: what the backbone's names begin with.
      tensors: arrays by name; they tell an AffineChannel from a norm, and where a C5 on RoIs is.

    Raises:
      CheckpointError: AffineChannels, and batch norms that train.
    """
    backbone, affine = model.backbone, f"{prefix}stem.conv1.affine.weight" in tensors
    if affine and not isinstance(backbone.stem.norm, FrozenBatchNorm):
        raise CheckpointError(
            "The backbone's norms are AffineChannels, without the statistics that a norm could go on training from; "
            "allowed for config.model.backbone.norm: 'frozen_batch_norm'."
        )

    def conv_norm(name: str, layer: keras.layers.Layer) -> list[Entry]:
        return layouts.conv_norm(name, f"{name}.{'affine' if affine else 'norm'}", layer, affine_only=affine)

    entries = conv_norm(f"{prefix}stem.conv1", backbone.stem)
    for block in layouts.resnet_blocks(model):
        level, index = block.name[1:].split("_")
        name = f"{_stage_prefix(tensors, prefix, int(level))}res{level}.{index}"
        for i, conv in enumerate(block.convs, start=1):
            entries += conv_norm(f"{name}.conv{i}", conv)
        if block.shortcut is not None:
            entries += conv_norm(f"{name}.shortcut", block.shortcut)
    return entries


@dataclasses.dataclass(frozen=True)
class Rows:
    """How a project orders the rows of its last layers.

    Args:
      background_first: whether the class logits begin with background, and deltas and masks have rows for it; else the
        logits end with it, and the others have none.
      anchors_by_size: whether a cell's anchors are counted for each size, for each ratio; else as ours.
    """

    background_first: bool
    anchors_by_size: bool


DETECTRON = Rows(background_first=True, anchors_by_size=False)  # `generate_anchors`: for each ratio, for each scale
DETECTRON2 = Rows(background_first=False, anchors_by_size=True)


def head_entries(model: MaskRCNN, tensors: Tensors, rows: Rows) -> list[Entry]:
    """Entries of everything but the backbone.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name.
      rows: the project's.

    Raises:
      CheckpointError: the RPN is for another number of anchors than the model's configuration has.
    """
    if model.rpn_head is not None:
        layouts.check_anchors(tensors, f"{RPN}.objectness_logits.weight", model.config.anchors)
    return layouts.concatenate(
        [
            *([] if model.pyramid is None else _pyramid(model.pyramid)),
            *([] if model.rpn_head is None else _rpn(model.rpn_head, model.config.anchors, rows)),
            *([] if model.box_head is None else _box_head(model.box_head, rows)),
            *([] if model.mask_head is None else _mask_head(model.mask_head, rows)),
            [] if model.keypoint_head is None else _keypoint_head(model.keypoint_head),
        ]
    )


def _pyramid(pyramid: keras.layers.Layer) -> list[list[Entry]]:
    parts = []
    for level, lateral, output in zip(range(2, 6), pyramid.laterals, pyramid.outputs_, strict=True):
        parts.append(_conv(f"backbone.fpn_lateral{level}", lateral))
        parts.append(_conv(f"backbone.fpn_output{level}", output))
    return parts


def _rpn(head: keras.layers.Layer, anchors: AnchorConfig, rows: Rows) -> list[list[Entry]]:
    parts = [_conv(_rpn_conv(len(head.convs), i), conv) for i, conv in enumerate(head.convs)]
    order = layouts.rows_by_size(len(anchors.sizes[0]), len(anchors.ratios)) if rows.anchors_by_size else None
    return [*parts, layouts.rpn_outputs(f"{RPN}.objectness_logits", f"{RPN}.anchor_deltas", head, order)]


def _box_head(head: keras.layers.Layer, rows: Rows) -> list[list[Entry]]:
    stages = head.each_stage()
    names = [f".{i}" for i in range(len(stages))] if len(stages) > 1 else [""]
    return [part for name, stage in zip(names, stages, strict=True) for part in _box_stage(stage, name, rows)]


def _box_stage(head: keras.layers.Layer, stage: str, rows: Rows) -> list[list[Entry]]:
    box_head, predictor = f"{BOX_HEAD}{stage}", f"{PREDICTOR}{stage}"
    parts = [_conv(f"{box_head}.conv{i}", conv) for i, conv in enumerate(head.convs, start=1)]
    for i, fc in enumerate(head.fcs, start=1):
        name = f"{box_head}.fc{i}"
        parts.append(layouts.dense_on_map(name, fc, head.pool_size) if i == 1 else layouts.dense(name, fc))
    background = rows.background_first
    parts.append(layouts.class_logits(f"{predictor}.cls_score", head.classes, background_last=not background))
    return [*parts, layouts.box_deltas(f"{predictor}.bbox_pred", head.deltas, with_background=background)]


def _mask_head(head: keras.layers.Layer, rows: Rows) -> list[list[Entry]]:
    parts = [_conv(f"{MASK_HEAD}.mask_fcn{i}", conv) for i, conv in enumerate(head.convs, start=1)]
    parts.append(layouts.deconv(f"{MASK_HEAD}.deconv", head.deconv))
    return [*parts, layouts.mask_logits(f"{MASK_HEAD}.predictor", head, with_background=rows.background_first)]


def _keypoint_head(head: keras.layers.Layer) -> list[Entry]:
    convs = [f"{KEYPOINT_HEAD}.conv_fcn{i}" for i, _ in enumerate(head.convs, start=1)]
    return layouts.keypoint_head(convs, f"{KEYPOINT_HEAD}.score_lowres", head)


def _conv(name: str, layer: keras.layers.Layer) -> list[Entry]:
    return layouts.conv_norm(name, f"{name}.norm", layer)


def _rpn_conv(count: int, i: int) -> str:
    return f"{RPN}.conv" if count == 1 else f"{RPN}.conv.conv{i}"
