"""torchvision's checkpoints: `maskrcnn_resnet50_fpn`, `_v2`, `keypointrcnn_resnet50_fpn`, and `resnet50` backbones.

Source: `torchvision/models/detection/{mask_rcnn,keypoint_rcnn,faster_rcnn,rpn}.py`, `torchvision/models/resnet.py`.
"""

import re

import keras

from mask_rcnn_tf.config import BackboneConfig, Config
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Tensors, count_classes
from mask_rcnn_tf.weights.projects import torch_layouts as layouts
from mask_rcnn_tf.weights.projects.coco_categories import set_coco_classes
from mask_rcnn_tf.weights.projects.project import Project

IGNORED = (
    (r".*\.num_batches_tracked", "counts training steps; nothing reads it"),
    (r"backbone\.body\.fc\.(weight|bias)", "ImageNet's classifier"),
)
# Names before torchvision 0.13; its own modules still read them (`_load_from_state_dict`).
RENAMED = (
    (r"(backbone\.fpn\.(?:inner|layer)_blocks\.\d)\.(weight|bias)", r"\1.0.\2"),
    (r"rpn\.head\.conv\.(weight|bias)", r"rpn.head.conv.0.0.\1"),
)
MASK_FCN = re.compile(r"roi_heads\.mask_head\.mask_fcn(\d)\.(weight|bias)")
CLASS_WEIGHT = "roi_heads.box_predictor.cls_score.weight"
BODY = "backbone.body"
KEYPOINTS, KEYPOINT_SCORE = "roi_heads.keypoint_head", "roi_heads.keypoint_predictor.kps_score_lowres"
V2 = "torchvision_mask_rcnn_r50_fpn_v2"
RESNET50 = (3, 4, 6, 3)  # blocks
TRAINED_EPSILON = 1e-5  # of torch's batch norms; 0 belongs to the detectors' COCO_V1 weights alone, on ResNet-50


def prepare(tensors: Tensors) -> Tensors:
    """The tensors under today's names; a bare ResNet's as the backbone's.

    Args:
      tensors: arrays by name.

    Returns:
      The same arrays.
    """
    if "conv1.weight" in tensors:
        return {f"{BODY}.{name}": value for name, value in tensors.items()}
    return {_today(name): value for name, value in tensors.items()}


def _today(name: str) -> str:
    match = MASK_FCN.fullmatch(name)
    if match:
        return f"roi_heads.mask_head.{int(match[1]) - 1}.0.{match[2]}"
    for pattern, replacement in RENAMED:
        name = re.sub(f"^{pattern}$", replacement, name)
    return name


def make_config(tensors: Tensors) -> Config:
    """The preset that gives the checkpoint's behaviour, with its backbone and its number of classes.

    A bare backbone gives `maskrcnn_resnet50_fpn` around it, as a starting point.

    Args:
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: the classes cannot be counted.
    """
    config = load_config(_preset(tensors))
    model = config.model
    if _is_detector(tensors):
        model.num_classes = count_classes(tensors, CLASS_WEIGHT)
        model.mask_head.enabled = _has(tensors, "roi_heads.mask_head.")
        _check_mask_classes(tensors, model.num_classes)
        layouts.read_keypoint_head(tensors, rf"{re.escape(KEYPOINTS)}\.(\d+)\.weight", KEYPOINT_SCORE, model)
        # One class without keypoints is somebody's own, not COCO's person.
        if model.num_classes > 1 or _has(tensors, KEYPOINT_SCORE):
            set_coco_classes(model)
    _read_backbone(tensors, model.backbone)
    if not _is_detector(tensors) or _norms_trained(tensors) or not _on_resnet50(tensors):
        model.backbone.norm_epsilon = TRAINED_EPSILON
    return config


def _check_mask_classes(tensors: Tensors, num_classes: int) -> None:
    """Raises CheckpointError where only the box predictor was made for other classes: its masks mean COCO's still."""
    name = "roi_heads.mask_predictor.mask_fcn_logits.bias"
    if name in tensors and tensors[name].shape != (num_classes + 1,):
        raise CheckpointError(
            f"The box head has {num_classes + 1} classes with the background, {name} has {list(tensors[name].shape)}: "
            "roi_heads.mask_predictor belongs to other classes. Replace it too and train it (MaskRCNNPredictor), or "
            "delete all of roi_heads.mask_head and roi_heads.mask_predictor from the file for a model of boxes alone."
        )


def explain(tensors: Tensors) -> dict[str, str]:
    """Where `make_config` has epsilon and classes from.

    Args:
      tensors: arrays by name, of `prepare`.

    Returns:
      Reasons by field.
    """
    if not _is_detector(tensors):
        epsilon = "assumed: a backbone alone has torch's default"
    elif _norms_trained(tensors):
        epsilon = "from the file: it has num_batches_tracked, its norms trained"
    elif not _on_resnet50(tensors):
        epsilon = "assumed: torch's default; the weights with epsilon 0 are published on ResNet-50 alone"
    elif _preset(tensors) == V2:
        epsilon = "assumed: torch's default, as in every v2"
    else:
        epsilon = (
            "assumed: no num_batches_tracked in the file, so its norms were frozen, as in the published weights and "
            "what was fine-tuned from them; with frozen norms of an ImageNet backbone give norm_epsilon=1e-5"
        )
    return {"backbone.norm_epsilon": epsilon}


def _preset(tensors: Tensors) -> str:
    if _has(tensors, KEYPOINT_SCORE):
        return "torchvision_keypoint_rcnn_r50_fpn"
    return V2 if "rpn.head.conv.1.0.weight" in tensors else "torchvision_mask_rcnn_r50_fpn"


def _has(tensors: Tensors, prefix: str) -> bool:
    return any(name.startswith(prefix) for name in tensors)


def _is_detector(tensors: Tensors) -> bool:
    return _has(tensors, "roi_heads.")


def _norms_trained(tensors: Tensors) -> bool:
    """A `FrozenBatchNorm2d` does not count its steps, a `BatchNorm2d` does."""
    return any(name.startswith(BODY) and name.endswith(".num_batches_tracked") for name in tensors)


def _on_resnet50(tensors: Tensors) -> bool:
    backbone = BackboneConfig()
    _read_backbone(tensors, backbone)
    return (backbone.block, backbone.stage_blocks, backbone.groups) == ("bottleneck", RESNET50, 1)


def _read_backbone(tensors: Tensors, backbone: BackboneConfig) -> None:
    """Depth, blocks and widths off names and shapes; what is missing is said when the tensors are assigned."""
    last = 3 if f"{BODY}.layer1.0.conv3.weight" in tensors else 2
    backbone.block, expansion = ("bottleneck", 4) if last == 3 else ("basic", 1)
    backbone.stage_blocks = _stage_blocks(tensors)
    outputs = [_conv_shape(tensors, f"layer{i}.0.conv{last}") for i in range(1, 5)]
    if all(outputs):
        backbone.stage_channels = tuple(max(shape[0] // expansion, 1) for shape in outputs)
    stem, middle = _conv_shape(tensors, "conv1"), _conv_shape(tensors, "layer1.0.conv2")
    if stem:
        backbone.stem_channels, backbone.stem_kernel = stem[0], stem[2]
    if middle and last == 3:
        backbone.groups = max(middle[0] // middle[1], 1)
        backbone.width_per_group = 64 * middle[0] // (backbone.groups * backbone.stage_channels[0])


def _conv_shape(tensors: Tensors, conv: str) -> tuple[int, ...]:
    """[out, in, k, k], or () where there is no such convolution."""
    shape = tensors[f"{BODY}.{conv}.weight"].shape if f"{BODY}.{conv}.weight" in tensors else ()
    return tuple(shape) if len(shape) == 4 and 0 not in shape else ()


def _stage_blocks(tensors: Tensors) -> tuple[int, ...]:
    names = [re.match(r"backbone\.body\.layer(\d)\.(\d+)\.", name) for name in tensors]
    blocks = [(int(match[1]), int(match[2])) for match in names if match]
    return tuple(1 + max((block for stage, block in blocks if stage == i), default=0) for i in range(1, 5))


def make_entries(model: MaskRCNN, tensors: Tensors) -> list[Entry]:
    """One entry for each variable that the checkpoint sets.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: the RPN is for another number of anchors than the model's configuration has.
    """
    if not _is_detector(tensors):
        return _backbone(model)
    layouts.check_anchors(tensors, "rpn.head.cls_logits.weight", model.config.anchors)
    return all_entries(model)


def all_entries(model: MaskRCNN) -> list[Entry]:
    """One entry for every variable of a `MaskRCNN`, with a way back for each.

    Raises:
      CheckpointError: the model has parts that torchvision's have not.
    """
    if model.pyramid is None:
        raise CheckpointError("config.model.fpn.enabled is False; allowed: True, as in torchvision's detectors.")
    if model.backbone.non_local:
        names = model.config.backbone.non_local_after
        raise CheckpointError(f"config.model.backbone.non_local_after is {names}; allowed: none, as in torchvision.")
    parts = [_backbone(model), _pyramid(model.pyramid), _rpn(model.rpn_head)]
    parts.append(_box_head(model.box_head, model.config.box_head.pool_size))
    if model.mask_head is not None:
        parts.append(_mask_head(model.mask_head))
    if model.keypoint_head is not None:
        convs = [f"{KEYPOINTS}.{2 * i}" for i in range(len(model.keypoint_head.convs))]  # ReLUs count in between
        parts.append(layouts.keypoint_head(convs, KEYPOINT_SCORE, model.keypoint_head))
    return layouts.concatenate(parts)


def _backbone(model: MaskRCNN) -> list[Entry]:
    entries = layouts.conv_norm("backbone.body.conv1", "backbone.body.bn1", model.backbone.stem)
    for block in layouts.resnet_blocks(model):
        level, index = block.name[1:].split("_")
        prefix = f"backbone.body.layer{int(level) - 1}.{index}"
        for i, conv in enumerate(block.convs, start=1):
            entries += layouts.conv_norm(f"{prefix}.conv{i}", f"{prefix}.bn{i}", conv)
        if block.shortcut is not None:
            entries += layouts.conv_norm(f"{prefix}.downsample.0", f"{prefix}.downsample.1", block.shortcut)
    return entries


def _pyramid(pyramid: keras.layers.Layer) -> list[Entry]:
    entries = []
    for i, (lateral, output) in enumerate(zip(pyramid.laterals, pyramid.outputs_, strict=True)):
        for name, conv in ((f"inner_blocks.{i}", lateral), (f"layer_blocks.{i}", output)):
            entries += layouts.conv_norm(f"backbone.fpn.{name}.0", f"backbone.fpn.{name}.1", conv)
    return entries


def _rpn(head: keras.layers.Layer) -> list[Entry]:
    parts = [layouts.conv_norm(f"rpn.head.conv.{i}.0", None, conv) for i, conv in enumerate(head.convs)]
    return layouts.concatenate([*parts, layouts.rpn_outputs("rpn.head.cls_logits", "rpn.head.bbox_pred", head)])


def _box_head(head: keras.layers.Layer, side: int) -> list[Entry]:
    layouts.check_box_head(head, "torchvision")
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


def _mask_head(head: keras.layers.Layer) -> list[Entry]:
    if head.fcs or head.activation == "softmax":
        raise CheckpointError(
            "config.model.mask_head has num_fcs, or activation 'softmax', which torchvision has not; allowed: 0, "
            "'sigmoid'."
        )
    name = "roi_heads.mask_head"
    parts = [layouts.conv_norm(f"{name}.{i}.0", f"{name}.{i}.1", conv) for i, conv in enumerate(head.convs)]
    parts.append(layouts.deconv("roi_heads.mask_predictor.conv5_mask", head.deconv))
    parts.append(layouts.mask_logits("roi_heads.mask_predictor.mask_fcn_logits", head, with_background=True))
    return layouts.concatenate(parts)


PROJECT = Project(IGNORED, make_config, make_entries, prepare, explain)
