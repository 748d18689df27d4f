"""Builds torchvision's own model and loads a checkpoint of it: its .pth, or what `tools/export_weights.py` writes.

Needs torch, torchvision (2.14.1 and 0.29.1 were used) and safetensors.
"""

import json

import torch
import torchvision
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone

MODELS = ("maskrcnn_resnet50_fpn", "maskrcnn_resnet50_fpn_v2", "keypointrcnn_resnet50_fpn")


def read(path):
    """The tensors of a checkpoint, and the configuration (dict) in the metadata of a safetensors file, or {}."""
    if path.suffix != ".safetensors":
        return torch.load(path, map_location="cpu", weights_only=True), {}
    from safetensors import safe_open

    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}
        return tensors, json.loads(file.metadata()["config"])


def keyword_arguments(config):
    """What torchvision's builder is told so that it behaves as a `ModelConfig` (as dict) says.

    Raises:
        ValueError: torchvision cannot do what the configuration asks for.
    """
    if not config:
        return {}
    pre, rpn, roi, detect = (config[name] for name in ("preprocess", "rpn", "roi", "detection"))
    fixed = {
        "roi.aligned": (roi["aligned"], False),
        "roi.sampling_ratio": (roi["sampling_ratio"], 2),
        "detection.paste": (detect["paste"], "integer"),
        "rpn.ranking": (rpn["ranking"], "sigmoid"),
        "anchors.rounded": (config["anchors"]["rounded"], True),
        "anchors.stride_rule": (config["anchors"]["stride_rule"], "grid"),
        "preprocess.channel_order": (pre["channel_order"], "RGB"),
        "preprocess.antialias": (pre["antialias"], False),
        "preprocess.size_rounding": (pre["size_rounding"], "floor"),
        "backbone.stride_in_1x1": (config["backbone"]["stride_in_1x1"], False),
    }
    wrong = [
        f"{name} is {ours!r}, torchvision has {theirs!r}" for name, (ours, theirs) in fixed.items() if ours != theirs
    ]
    if wrong:
        raise ValueError(f"The model does not compute what torchvision computes: {'; '.join(wrong)}.")
    anchors = config["anchors"]
    scale = 255 * pre["pixel_scale"]  # torchvision's to_tensor divides by 255 before mean and std
    return {
        "rpn_anchor_generator": make_anchors(anchors["sizes"], anchors["ratios"]),
        "min_size": pre["short_side"],
        "max_size": pre["max_side"],
        "image_mean": [value / scale for value in pre["mean"]],
        "image_std": [value / scale for value in pre["std"]],
        "rpn_pre_nms_top_n_train": rpn["pre_nms_top_n_train"],
        "rpn_pre_nms_top_n_test": rpn["pre_nms_top_n_test"],
        "rpn_post_nms_top_n_train": rpn["post_nms_top_n_train"],
        "rpn_post_nms_top_n_test": rpn["post_nms_top_n_test"],
        "box_score_thresh": detect["score_threshold"],
        "box_nms_thresh": detect["nms_iou"],
        "box_detections_per_img": detect["max_detections"],
    }


def make_anchors(sizes, ratios=(0.5, 1.0, 2.0)):
    """torchvision's generator of anchors of `sizes` (a tuple for each of P2..P6) and ratios."""
    return AnchorGenerator(tuple(map(tuple, sizes)), (tuple(ratios),) * len(sizes))


def build(name, tensors, options):
    """torchvision's model of a builder's name; `maskrcnn_resnet50_fpn` also on ResNet-101, where the names have it."""
    options = options | {"num_classes": tensors["roi_heads.box_predictor.cls_score.weight"].shape[0]}
    if name == MODELS[0] and "backbone.body.layer3.22.conv1.weight" in tensors:
        backbone = resnet_fpn_backbone(backbone_name="resnet101", weights=None, norm_layer=torch.nn.BatchNorm2d)
        return detection.MaskRCNN(backbone, **options)
    return getattr(detection, name)(weights=None, weights_backbone=None, **options)


def load(name, path, epsilon=None, **options):
    """torchvision's model `name` with the weights of `path` (a pathlib.Path), in evaluation mode.

    Args:
        name: One of MODELS.
        path: .pth or .safetensors.
        epsilon: Of the backbone's batch norm. A checkpoint does not say it: 0 for the COCO_V1 weights of v1 and
            keypoints, and for what was trained from them. None takes the configuration's in a .safetensors.
        **options: Arguments of torchvision's builder.

    Returns:
        torch.nn.Module.
    """
    tensors, config = read(path)
    model = build(name, tensors, keyword_arguments(config) | options)
    model.load_state_dict(tensors)
    epsilon = config["backbone"]["norm_epsilon"] if epsilon is None else epsilon
    for module in model.backbone.body.modules():
        # Without weights the builder takes a batch norm that trains; in evaluation mode it computes the same.
        if isinstance(module, (torch.nn.BatchNorm2d, torchvision.ops.FrozenBatchNorm2d)):
            module.eps = epsilon
    return model.eval()
