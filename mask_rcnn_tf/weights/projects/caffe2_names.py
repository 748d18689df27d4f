"""Caffe2's blob names (Detectron, and the ImageNet backbones of Detectron2's zoo) under Detectron2's module names.

Source: `detectron2/checkpoint/c2_model_loading.py`; Detectron's `detectron/modeling/{ResNet,FPN,*_heads}.py`.
"""

import re

from mask_rcnn_tf.weights.mapping import Tensors

BRANCHES = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
# What follows a layer's name. An AffineChannel is written `_bn_s`, `_bn_b`, as a batch norm's scale and shift are; it
# has no statistics. `_riv` says "running inverse variance" and holds the variance: Caffe2's SpatialBN takes it for one,
# and Detectron2 copies it into `running_var` as it is.
LEAVES = {
    "w": "weight",
    "b": "bias",
    "bn_s": "norm.weight",
    "bn_b": "norm.bias",
    "bn_rm": "norm.running_mean",
    "bn_riv": "norm.running_var",
    "bn_gamma": "norm.weight",
    "bn_beta": "norm.bias",
    "bn_running_mean": "norm.running_mean",
    "bn_running_var": "norm.running_var",
    "gn_s": "norm.weight",
    "gn_b": "norm.bias",
}
LEAF = "|".join(sorted(LEAVES, key=len, reverse=True))
STATISTICS = re.compile(r".*_bn_(rm|riv|running_mean|running_var)")
# Layers by what their names match; the leaf follows the match. The model's parts are in Detectron2's order.
LAYERS = (
    (r"(?:res_)?conv1", "backbone.bottom_up.stem.conv1"),
    (r"(res[2-5])_(\d+)_(branch1|branch2[abc])", None),
    (r"fpn_inner_res([2-5])_\d+_sum(?:_lateral)?", r"backbone.fpn_lateral\1"),
    (r"fpn_res([2-5])_\d+_sum", r"backbone.fpn_output\1"),
    (r"conv_rpn_fpn2", "proposal_generator.rpn_head.conv"),
    (r"rpn_cls_logits_fpn2", "proposal_generator.rpn_head.objectness_logits"),
    (r"rpn_bbox_pred_fpn2", "proposal_generator.rpn_head.anchor_deltas"),
    (r"head_conv(\d+)", r"roi_heads.box_head.conv\1"),
    (r"fc6", "roi_heads.box_head.fc1"),
    (r"fc7", "roi_heads.box_head.fc2"),
    (r"cls_score", "roi_heads.box_predictor.cls_score"),
    (r"bbox_pred", "roi_heads.box_predictor.bbox_pred"),
    (r"_\[mask\]_fcn(\d+)", r"roi_heads.mask_head.mask_fcn\1"),
    (r"conv5_mask", "roi_heads.mask_head.deconv"),
    (r"mask_fcn_logits", "roi_heads.mask_head.predictor"),
    (r"conv_fcn(\d+)", r"roi_heads.keypoint_head.conv_fcn\1"),
    (r"kps_score_lowres", "roi_heads.keypoint_head.score_lowres"),
    (r"kps_score", "roi_heads.keypoint_head.score"),
)


def rename(tensors: Tensors) -> Tensors:
    """The tensors under Detectron2's names, in the layout they came in; names that are not known stay.

    Norms that are AffineChannels are called `.affine` where Detectron2 says `.norm`: their mean and variance are not
    missing, they do not exist.

    Args:
      tensors: arrays by Caffe2's names.

    Returns:
      The same arrays.
    """
    affine = not any(STATISTICS.fullmatch(name) for name in tensors)
    return {_rename(name, affine): value for name, value in tensors.items()}


def _rename(name: str, affine: bool) -> str:
    for pattern, replacement in LAYERS:
        match = re.fullmatch(f"{pattern}_({LEAF})", name)
        if match:
            leaf = LEAVES[match[match.lastindex]]
            if affine and "_bn_" in name:
                leaf = leaf.replace("norm.", "affine.")
            if replacement is None:
                layer = f"backbone.bottom_up.{match[1]}.{match[2]}.{BRANCHES[match[3]]}"
            else:
                layer = match.expand(replacement)
            return f"{layer}.{leaf}"
    return name
