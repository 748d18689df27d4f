"""torchvision's checkpoints: `maskrcnn_resnet50_fpn`, `_v2`, `keypointrcnn_resnet50_fpn`, and `resnet50` backbones.

Source: `torchvision/models/detection/{mask_rcnn,keypoint_rcnn,faster_rcnn,rpn}.py`, `torchvision/models/resnet.py`.
"""

import re

from mask_rcnn_tf.config import load_config
from mask_rcnn_tf.weights.mapping import count_classes
from mask_rcnn_tf.weights.projects import torch_layouts as layouts
from mask_rcnn_tf.weights.projects.coco_categories import set_coco_classes

IGNORED = (
    (r".*\.num_batches_tracked", "counts training steps; nothing reads it"),
    (r"roi_heads\.keypoint_(head|predictor)\..*", "the keypoint head is not built here yet; boxes are complete"),
    (r"backbone\.body\.fc\.(weight|bias)", "ImageNet's classifier"),
)
# Names before torchvision 0.13; its own modules still read them (`_load_from_state_dict`).
RENAMED = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
)
MASK_FCN = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)")
CLASS_WEIGHT = "roi_heads.box_predictor.cls_score.weight"


def prepare(tensors):
    """The tensors under today's names; a bare ResNet's as the backbone's.

    Args:
      tensors: arrays by name.

    Returns:
      The same arrays.
    """
    if "conv1.weight" in tensors:
        return {f"backbone.body.{name}": value for name, value in tensors.items()}
    return {_today(name): value for name, value in tensors.items()}


def _today(name):
    match = MASK_FCN.fullmatch(name)
    if match:
        return f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}"
    for pattern, replacement in RENAMED:
        name = re.sub(f"^{pattern}$", replacement, name)
    return name


def make_config(tensors):
    """The preset that gives the checkpoint's behaviour, with its number of classes.

    A bare backbone gives that of `maskrcnn_resnet50_fpn` with epsilon 1e-5, as a starting point.

    Args:
      tensors: arrays by name, of `prepare`.
    """
    if not any(name.startswith("roi_heads.") for name in tensors):
        config = load_config("torchvision_mask_rcnn_r50_fpn")
        config.model.backbone.norm_epsilon = 1e-5  # 0 belongs to the detectors' COCO_V1 weights alone
        config.model.backbone.stage_blocks = _stage_blocks(tensors)
        if "backbone.body.layer1.0.conv3.weight" not in tensors:
            config.model.backbone.block = "basic"
        return config
    name = "torchvision_mask_rcnn_r50_fpn"
    keypoints = any(name.startswith("roi_heads.keypoint_predictor.") for name in tensors)
    if keypoints:
        name = "torchvision_keypoint_rcnn_r50_fpn"
    elif "rpn.head.conv.1.0.weight" in tensors:
        name = "torchvision_mask_rcnn_r50_fpn_v2"
    config = load_config(name)
    config.model.num_classes = count_classes(tensors, CLASS_WEIGHT)
    if keypoints or config.model.num_classes > 1:  # one class without keypoints is somebody's own, not COCO's person
        set_coco_classes(config.model)
    return config


def _stage_blocks(tensors):
    names = [re.match(r"backbone\.body\.layer(\d)\.(\d+)\.", name) for name in tensors]
    blocks = [(int(match[1]), int(match[2])) for match in names if match]
    return tuple(1 + max((block for stage, block in blocks if stage == i), default=0) for i in range(1, 5))


def make_entries(model, tensors):
    """One entry for each variable that the checkpoint sets.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name, of `prepare`.
    """
    if any(name.startswith("roi_heads.") for name in tensors):
        return all_entries(model)
    return _backbone(model.backbone)


def all_entries(model):
    """One entry for every variable of a `MaskRCNN`, with a way back for each."""
    parts = [_backbone(model.backbone), _pyramid(model.pyramid), _rpn(model.rpn_head)]
    parts.append(_box_head(model.box_head, model.config.box_head.pool_size))
    if model.mask_head is not None:
        parts.append(_mask_head(model.mask_head))
    return layouts.concatenate(parts)


def _backbone(backbone):
    entries = layouts.conv_norm("backbone.body.conv1", "backbone.body.bn1", backbone.stem)
    for block in backbone.blocks:
        level, index = block.name[1:].split("_")
        prefix = f"backbone.body.layer{int(level) - 1}.{index}"
        for i, conv in enumerate(block.convs, start=1):
            entries += layouts.conv_norm(f"{prefix}.conv{i}", f"{prefix}.bn{i}", conv)
        if block.shortcut is not None:
            entries += layouts.conv_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1", block.shortcut)
    return entries


def _pyramid(pyramid):
    entries = []
    for i, (lateral, output) in enumerate(zip(pyramid.laterals, pyramid.outputs_, strict=True)):
        for name, conv in ((f"inner_blocks.{i}", lateral), (f"layer_blocks.{i}", output)):
            entries += layouts.conv_norm(f"backbone.fpn.{name}.0", f"backbone.fpn.{name}.1", conv)
    return entries


def _rpn(head):
    parts = [layouts.conv_norm(f"rpn.head.conv.{i}.0", None, conv) for i, conv in enumerate(head.convs)]
    parts.append(layouts.conv_norm("rpn.head.cls_logits", None, head.objectness))
    parts.append(layouts.rpn_deltas("rpn.head.bbox_pred", head.deltas, head.num_anchors))
    return layouts.concatenate(parts)


def _box_head(head, side):
    name = "roi_heads.box_head"
    parts = [layouts.conv_norm(f"{name}.{i}.0", f"{name}.{i}.1", conv) for i, conv in enumerate(head.convs)]
    # v1 is TwoMLPHead; v2 a Sequential of convolutions, Flatten, and Linear and ReLU in turn.
    fcs = [
        f"{name}.fc{6 + i}" if not head.convs else f"{name}.{len(head.convs) + 1 + 2 * i}" for i in range(len(head.fcs))
    ]
    parts += [
        layouts.dense(name, fc) if i else layouts.dense_on_map(name, fc, side)
        for i, (name, fc) in enumerate(zip(fcs, head.fcs, strict=True))
    ]
    parts.append(layouts.class_logits("roi_heads.box_predictor.cls_score", head.classes, background_last=False))
    parts.append(layouts.box_deltas("roi_heads.box_predictor.bbox_pred", head.deltas, with_background=True))
    return layouts.concatenate(parts)


def _mask_head(head):
    name = "roi_heads.mask_head"
    parts = [layouts.conv_norm(f"{name}.{i}.0", f"{name}.{i}.1", conv) for i, conv in enumerate(head.convs)]
    parts.append(layouts.deconv("roi_heads.mask_predictor.conv5_mask", head.deconv))
    parts.append(layouts.mask_logits("roi_heads.mask_predictor.mask_fcn_logits", head, with_background=True))
    return layouts.concatenate(parts)
