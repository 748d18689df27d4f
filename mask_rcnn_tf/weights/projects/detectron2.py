"""Detectron2's model zoo: Mask, Faster, Keypoint and Cascade R-CNN on ResNets, with a pyramid, C4 or DC5; an RPN alone,
detectors on stored proposals; backbones.

Source: `detectron2/checkpoint/{detection_checkpoint,c2_model_loading}.py`, `tools/convert-torchvision-to-d2.py`; see
`detectron2_layers` for the names.
"""

import re
from collections.abc import Sequence

import numpy as np

from mask_rcnn_tf.config import Config, ModelConfig
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Tensors, count_classes
from mask_rcnn_tf.weights.projects import caffe2_names
from mask_rcnn_tf.weights.projects import detectron2_layers as layers
from mask_rcnn_tf.weights.projects.coco_categories import set_coco_classes
from mask_rcnn_tf.weights.projects.project import Project

IGNORED = (
    (r".*_momentum", "Caffe2's optimizer's; training starts afresh"),
    (r".*\.num_batches_tracked", "counts training steps; nothing reads it"),
    (r"proposal_generator\.anchor_generator\.cell_anchors\..*", "anchors are computed from config.model.anchors"),
    (r"pixel_(mean|std)", "the same as in config.model.preprocess, with which they were compared"),
    (r"roi_heads\.keypoint_head\.score\..*", "Caffe2's fixed bilinear doubling, which is built in"),
    (r"(backbone\.bottom_up\.|stem\.)?(linear|fc|fc1000|pred)[._](weight|bias|w|b)", "ImageNet's classifier"),
    (r"backbone\.bottom_up\.stem\.conv1\.bias", "a batch norm follows; Detectron2 leaves it out too"),
)
# What this version does not build, by names that only it has. The first that matches is what the checkpoint is called.
UNSUPPORTED = (
    (r"roi_heads\.mask_(head\.(point|coarse)_head|point_head|coarse_head)\..*", "a PointRend model"),
    (r".*\.conv2_offset\..*", "a model with deformable convolutions"),
    (r"sem_seg_head\..*", "a panoptic or semantic segmentation model"),
    (r"roi_heads\.densepose_.*", "a DensePose model"),
    (r"head\.(cls_subnet|bbox_subnet|cls_score|bbox_pred|ctrness)\..*", "a RetinaNet or FCOS"),
    (r"backbone\.net\..*|backbone\.bottom_up\.(s\d|stem\.conv\.).*", "a model with another backbone than a ResNet"),
)
MASKS = f"{layers.MASK_HEAD}.predictor.weight"
PIXELS = (("pixel_mean", "mean"), ("pixel_std", "std"))  # and their fields of config.model.preprocess


def prepare(tensors: Tensors) -> Tensors:
    """The tensors under Detectron2's names; Caffe2's of the ImageNet backbones are renamed.

    Args:
      tensors: arrays by name.

    Returns:
      The same arrays.

    Raises:
      CheckpointError: it is a detector of the original Detectron.
    """
    if "conv1_w" in tensors and "cls_score_w" in tensors:
        raise CheckpointError(
            "The checkpoint is the original Detectron's, for it has 'cls_score_w'; read it as 'detectron'."
        )
    return caffe2_names.rename(tensors) if "conv1_w" in tensors else tensors


def make_config(tensors: Tensors) -> Config:
    """The preset that gives the checkpoint's behaviour, with dimensions, norms and classes as its tensors have them.

    A bare backbone gives a Mask R-CNN to be trained from it. Tensors do not tell strides and pixel statistics: those
    of a zoo's model of that kind are taken (`docs/weights.md`), so that for `scratch_mask_rcnn_R_50_FPN_9x_*` the
    configuration has to be given.

    Args:
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: an architecture that this version does not build, or tensors are missing that every one has.
    """
    refuse(tensors, UNSUPPORTED)
    prefix = layers.prefix_of(tensors)
    config, alone = load_config(_preset(tensors, prefix)), _is_rpn_alone(tensors)
    model = config.model
    layers.read_backbone(tensors, prefix, model.backbone, int(model.backbone.out_levels[-1][1:]) if alone else 5)
    if prefix == "":
        _set_torchvision_backbone(model)
    elif model.backbone.groups > 1:
        _set_resnext(model, affine=f"{prefix}stem.conv1.affine.weight" in tensors)
    if is_detector(tensors):
        model.rpn.enabled = not _is_fast(tensors)
        check_parts(tensors, model.rpn.enabled, box_head=not alone)
        read_detector(tensors, model, layers.DETECTRON2)
        layers.read_anchors(tensors, model.anchors)
        if model.fpn.norm == "sync_batch_norm":
            model.backbone.norm = "sync_batch_norm"
    for name, field in _pixels(tensors):
        setattr(model.preprocess, field, tuple(round(float(x), 4) for x in tensors[name].ravel()))
    return config


def explain(tensors: Tensors) -> dict[str, str]:
    """Which settings `make_config` has read off the tensors.

    Args:
      tensors: arrays by name, of `prepare`.

    Returns:
      Reasons by field.
    """
    reasons = {f"preprocess.{field}": f"from the file: its {name}" for name, field in _pixels(tensors)}
    anchors = load_config(_preset(tensors, layers.prefix_of(tensors))).model.anchors if is_detector(tensors) else None
    if anchors is not None and layers.read_anchors(tensors, anchors):
        reasons |= dict.fromkeys(("anchors.sizes", "anchors.ratios"), "from the file: its cell_anchors")
    return reasons


def _pixels(tensors: Tensors) -> list[tuple[str, str]]:
    return [(name, field) for name, field in PIXELS if name in tensors and tensors[name].size == 3]


def refuse(tensors: Tensors, unsupported: Sequence[tuple[str, str]]) -> None:
    """Raises CheckpointError if names say that the model has parts that this version does not build.

    Args:
      tensors: arrays by name.
      unsupported: regular expressions of whole names, each with what the model is called.
    """
    for pattern, architecture in unsupported:
        found = next((name for name in tensors if re.fullmatch(pattern, name)), None)
        if found is not None:
            raise CheckpointError(
                f"The checkpoint is {architecture}, for it has {found!r}; this version builds Mask, Keypoint, "
                "Faster and Cascade R-CNN on a ResNet or ResNeXt with a feature pyramid, and on C4 and dilated C5."
            )


def is_detector(tensors: Tensors) -> bool:
    """Whether there is more than a backbone."""
    return any(name.startswith(("backbone.fpn_", "proposal_generator.", "roi_heads.")) for name in tensors)


def check_parts(tensors: Tensors, rpn: bool = True, box_head: bool = True) -> None:
    """Raises CheckpointError: there is no region proposal network, or no box head, and there shall be one."""
    for prefix, part, needed in (
        (layers.RPN, "region proposal network", rpn),
        (layers.PREDICTOR, "box head", box_head),
    ):
        if needed and not layers.has(tensors, prefix):
            raise CheckpointError(f"The checkpoint has no {part}: no name begins with {prefix!r}.")


def _is_rpn_alone(tensors: Tensors) -> bool:
    """Whether it is a ProposalNetwork: what has lost its box head alone has other heads, or their C5, still."""
    return layers.has(tensors, layers.RPN) and not any(name.startswith("roi_heads.") for name in tensors)


def _is_fast(tensors: Tensors) -> bool:
    """Whether it is a detector with a pyramid on stored proposals (PrecomputedProposals)."""
    no_rpn = not any(name.startswith("proposal_generator.") for name in tensors)
    return no_rpn and layers.has(tensors, "backbone.fpn_lateral2")


def read_detector(tensors: Tensors, model: ModelConfig, rows: layers.Rows) -> None:
    """Reads heads and classes off the tensors, with COCO's names and ids where the number is COCO's.

    Args:
      tensors: arrays by name.
      model: a `ModelConfig`; it is changed.
      rows: the project's.

    Raises:
      CheckpointError: a tensor that is needed for it is missing, or masks are not one a class.
    """
    layers.read_heads(tensors, model)
    if not model.has_classes:
        model.class_names = ("object",)
        return
    first = f"{layers.PREDICTOR}{layers.box_stages(tensors)[0]}"
    model.num_classes = count_classes(tensors, f"{first}.cls_score.weight")
    background, boxes = int(rows.background_first), tensors.get(f"{first}.bbox_pred.weight")
    if boxes is not None and model.num_classes > 1 and boxes.shape[:1] == (4 * (1 + background),):
        model.box_head.class_agnostic = True
    counted, wanted = tensors[MASKS].shape[:1] if MASKS in tensors else (), model.num_classes + background
    if model.num_classes > 1 and counted in ((1,), (2,)) and counted != (wanted,):
        raise CheckpointError(
            f"The checkpoint is class-agnostic: {MASKS} has {counted[0]} rows for {model.num_classes} classes; this "
            f"version builds {wanted}."
        )
    if model.num_classes > 1 or _has_keypoints(tensors):  # one class is a person only where it has joints
        set_coco_classes(model)


def _has_keypoints(tensors: Tensors) -> bool:
    return any(name.startswith("roi_heads.keypoint_head.") for name in tensors)


def _preset(tensors: Tensors, prefix: str) -> str:
    deep = 101 if f"{prefix}res4.22.conv1.weight" in tensors else 50
    if _is_rpn_alone(tensors):
        return f"rpn_r50_{'c4' if prefix == layers.PLAIN else 'fpn'}"
    if prefix == layers.PLAIN:
        return f"detectron2_mask_rcnn_r{deep}_{'c4' if layers.has_roi_body(tensors) else 'dc5'}"
    if _has_keypoints(tensors):
        return "detectron2_keypoint_rcnn_r50_fpn"
    if layers.norm_kind(tensors, f"{prefix}stem.conv1") == "group_norm":
        return "detectron2_mask_rcnn_r50_fpn_gn"
    width, inputs = layers.conv_shape(tensors, f"{prefix}res2.0.conv2")[:2]
    if width != inputs:
        return "detectron2_mask_rcnn_x101_32x8d_fpn"
    if len(layers.box_stages(tensors)) > 1 and deep == 50:
        return "detectron2_cascade_mask_rcnn_r50_fpn"
    if _is_fast(tensors) and is_detector(tensors) and deep == 50:
        return "detectron2_fast_rcnn_r50_fpn"
    return f"detectron2_mask_rcnn_r{deep}_fpn"


def _set_torchvision_backbone(model: ModelConfig) -> None:
    """What `tools/convert-torchvision-to-d2.py` says about its backbones."""
    model.preprocess.channel_order, model.backbone.stride_in_1x1 = "RGB", False
    model.preprocess.mean, model.preprocess.std = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)


def _set_resnext(model: ModelConfig, affine: bool) -> None:
    """ResNeXts stride in the 3x3; those whose norms are AffineChannels were trained without a standard deviation."""
    model.backbone.stride_in_1x1 = False
    model.preprocess.std = (1.0, 1.0, 1.0) if affine else (57.375, 57.12, 58.395)


def make_entries(model: MaskRCNN, tensors: Tensors) -> list[Entry]:
    """One entry for each variable that the checkpoint sets.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: the checkpoint's pixel statistics or number of anchors are not those of the model's
        configuration.
    """
    for name, field in PIXELS:
        ours, theirs = getattr(model.config.preprocess, field), tensors.get(name)
        if theirs is not None and (theirs.size != 3 or not np.allclose(theirs.ravel(), ours, rtol=1e-4)):
            raise CheckpointError(
                f"{name} of the checkpoint is {theirs.ravel().tolist()}; allowed: config.model.preprocess.{field}, "
                f"which is {list(ours)}."
            )
    entries = layers.backbone_entries(model, layers.prefix_of(tensors), tensors)
    return entries + (layers.head_entries(model, tensors, layers.DETECTRON2) if is_detector(tensors) else [])


PROJECT = Project(IGNORED, make_config, make_entries, prepare, explain)
