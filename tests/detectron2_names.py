"""Names and shapes of Detectron2's and Caffe2's tensors, written down from their modules, and a golden's weights."""

import json
import re

import numpy as np
import recipe
from conftest import GOLDEN

NORMS = {
    "": ("bias",),
    "BN": ("norm.weight", "norm.bias", "norm.running_mean", "norm.running_var"),
    "GN": ("norm.weight", "norm.bias"),
}
SMALL = {  # of `shapes`: a model of 0.2 million parameters
    "blocks": (1, 2, 1, 1),
    "outputs": (16, 32, 64, 128),
    "widths": (4, 8, 16, 32),
    "stem": 8,
    "fpn": 16,
    "fc": 24,
    "classes": 5,
}
SMALL_RESNEXT = {**SMALL, "widths": (8, 16, 32, 64), "groups": 4}


def convolution(name, outputs, inputs, side, norm=""):
    """{name: shape} of a `Conv2d`, with bias or the tensors of its norm."""
    return {
        f"{name}.weight": (outputs, inputs, side, side),
        **{f"{name}.{leaf}": (outputs,) for leaf in NORMS[norm]},
    }


def backbone_shapes(
    blocks=(3, 4, 6, 3),
    outputs=(256, 512, 1024, 2048),
    widths=(64, 128, 256, 512),
    stem=64,
    groups=1,
    norm="BN",
    prefix="backbone.bottom_up.",
):
    """{name: shape} of `build_resnet_backbone`."""
    shapes, inputs = convolution(f"{prefix}stem.conv1", stem, 3, 7, norm), stem
    for level, (count, out, width) in enumerate(zip(blocks, outputs, widths, strict=True), start=2):
        for i in range(count):
            name = f"{prefix}res{level}.{i}"
            if i == 0:
                shapes |= convolution(f"{name}.shortcut", out, inputs, 1, norm)
            shapes |= convolution(f"{name}.conv1", width, inputs, 1, norm)
            shapes |= convolution(f"{name}.conv2", width, width // groups, 3, norm)
            shapes |= convolution(f"{name}.conv3", out, width, 1, norm)
            inputs = out
    return shapes


KEYPOINTS = {"weight": (8, 17, 4, 4), "bias": (17,)}  # of a person, from 8 channels


def shapes(
    fpn=256,
    fc=1024,
    classes=80,
    norm="BN",
    head_norm="",
    rpn_convs=1,
    box_convs=0,
    masks=True,
    keypoints=False,
    cascade=0,
    outputs=(256, 512, 1024, 2048),
    **backbone,
):
    """{name: shape} of a `GeneralizedRCNN` of the zoo: without options, that of mask_rcnn_R_50_FPN."""
    found = backbone_shapes(outputs=outputs, norm=norm, **backbone)
    for level, channels in enumerate(outputs, start=2):
        found |= convolution(f"backbone.fpn_lateral{level}", fpn, channels, 1, head_norm)
        found |= convolution(f"backbone.fpn_output{level}", fpn, fpn, 3, head_norm)
    rpn, roi = "proposal_generator.rpn_head", "roi_heads"
    for i in range(rpn_convs):
        found |= convolution(f"{rpn}.conv" if rpn_convs == 1 else f"{rpn}.conv.conv{i}", fpn, fpn, 3)
    found |= convolution(f"{rpn}.objectness_logits", 3, fpn, 1) | convolution(f"{rpn}.anchor_deltas", 12, fpn, 1)
    for stage in [f".{i}" for i in range(cascade)] or [""]:
        found |= box_shapes(f"{roi}.box_head{stage}", fpn, fc, box_convs, head_norm)
        for name, rows in (("cls_score", classes + 1), ("bbox_pred", 4 if cascade else 4 * classes)):
            layer = f"{roi}.box_predictor{stage}.{name}"
            found |= {f"{layer}.weight": (rows, fc), f"{layer}.bias": (rows,)}
    if masks:
        for i in range(4):
            found |= convolution(f"{roi}.mask_head.mask_fcn{i + 1}", fpn, fpn, 3, head_norm)
        found |= {f"{roi}.mask_head.deconv.weight": (fpn, fpn, 2, 2), f"{roi}.mask_head.deconv.bias": (fpn,)}
        found |= convolution(f"{roi}.mask_head.predictor", classes, fpn, 1)
    if keypoints:
        for i in range(8):
            found |= convolution(f"{roi}.keypoint_head.conv_fcn{i + 1}", 8, 8 if i else fpn, 3)
        found |= {f"{roi}.keypoint_head.score_lowres.{name}": shape for name, shape in KEYPOINTS.items()}
    return found


def box_shapes(name, fpn, fc, convs, norm):
    """{name: shape} of a `FastRCNNConvFCHead`."""
    found, units = {}, fpn * 49
    for i in range(convs):
        found |= convolution(f"{name}.conv{i + 1}", fpn, fpn, 3, norm)
    for i in range(1 if convs else 2):
        found |= {f"{name}.fc{i + 1}.weight": (fc, units), f"{name}.fc{i + 1}.bias": (fc,)}
        units = fc
    return found


def plain_shapes(
    kind, fc=1024, classes=80, mask=256, masks=True, anchors=15, norm="BN", outputs=(256, 512, 1024, 2048), **backbone
):
    """{name: shape} of a `GeneralizedRCNN` without a pyramid: kind "c4" or "dc5"."""
    found = backbone_shapes(outputs=outputs, norm=norm, prefix="backbone.", **backbone)
    rpn, roi, c4 = "proposal_generator.rpn_head", "roi_heads", kind == "c4"
    if c4:
        found = {re.sub(r"^backbone\.res5", "roi_heads.res5", name): shape for name, shape in found.items()}
    depth = outputs[2] if c4 else outputs[3]
    found |= convolution(f"{rpn}.conv", depth, depth, 3) | convolution(f"{rpn}.objectness_logits", anchors, depth, 1)
    found |= convolution(f"{rpn}.anchor_deltas", 4 * anchors, depth, 1)
    units = outputs[3]
    for i in range(0 if c4 else 2):
        found |= {
            f"{roi}.box_head.fc{i + 1}.weight": (fc, fc if i else 49 * units),
            f"{roi}.box_head.fc{i + 1}.bias": (fc,),
        }
    for name, rows in (("cls_score", classes + 1), ("bbox_pred", 4 * classes)):
        columns = units if c4 else fc
        found |= {f"{roi}.box_predictor.{name}.weight": (rows, columns), f"{roi}.box_predictor.{name}.bias": (rows,)}
    for i in range(4 if masks and not c4 else 0):
        found |= convolution(f"{roi}.mask_head.mask_fcn{i + 1}", mask, mask if i else units, 3)
    if masks:
        found |= {
            f"{roi}.mask_head.deconv.weight": (units if c4 else mask, mask, 2, 2),
            f"{roi}.mask_head.deconv.bias": (mask,),
        }
        found |= convolution(f"{roi}.mask_head.predictor", classes, mask, 1)
    return found


def backbone_options(options):
    """Those of `shapes` that `backbone_shapes` has too."""
    return {name: value for name, value in options.items() if name in ("blocks", "outputs", "widths", "stem", "groups")}


def fill(named_shapes):
    """The recipe's arrays, whose values follow from names and shapes."""
    return {name: recipe.fill_array(name, shape) for name, shape in named_shapes.items()}


def empty(named_shapes):
    """Arrays of these shapes that take no memory."""
    return {name: np.broadcast_to(np.float32(0), shape) for name, shape in named_shapes.items()}


# Caffe2's names: the leaf of a convolution's norm, by what kind of file it is.
CAFFE2_NORMS = {
    "gamma": {
        "weight": "bn_gamma",
        "bias": "bn_beta",
        "running_mean": "bn_running_mean",
        "running_var": "bn_running_var",
    },
    "s": {"weight": "bn_s", "bias": "bn_b", "running_mean": "bn_rm", "running_var": "bn_riv"},
    "affine": {"weight": "bn_s", "bias": "bn_b"},
    "gn": {"weight": "gn_s", "bias": "gn_b"},
}
CAFFE2_BRANCHES = {"shortcut": "branch1", "conv1": "branch2a", "conv2": "branch2b", "conv3": "branch2c"}


def caffe2_backbone(tensors, kind):
    """A ResNet's arrays under the blob names of Detectron's `ResNet.py`; `kind` is of `CAFFE2_NORMS`."""
    renamed = {}
    for name, value in tensors.items():
        module, _, leaf = name.removeprefix("backbone.bottom_up.").rpartition(".")
        module, norm = module.removesuffix(".norm"), module.endswith(".norm")
        if norm and leaf not in CAFFE2_NORMS[kind]:
            continue
        layer = "conv1"
        if module != "stem.conv1":
            stage, block, conv = module.split(".")
            layer = f"{stage}_{block}_{CAFFE2_BRANCHES[conv]}"
        elif norm and kind != "gn":
            layer = "res_conv1"
        renamed[f"{layer}_{CAFFE2_NORMS[kind][leaf] if norm else 'w'}"] = value
    return renamed


def golden_weights():
    """The recipe's weights of `params_mask.json`, a torchvision model, as Detectron2 would hold them."""
    shapes = {name: entry["shape"] for name, entry in json.loads((GOLDEN / "params_mask.json").read_text()).items()}
    tensors = {}
    for name, array in fill(shapes).items():
        for pattern, replacement in FROM_TORCHVISION:
            name = re.sub(pattern, replacement, name)
        if ".cls_score." in name:
            array = np.concatenate([array[1:], array[:1]])  # background comes last
        elif ".bbox_pred." in name:
            array = array[4:]
        elif ".predictor." in name:
            array = array[1:]
        tensors[name] = array
    return tensors


FROM_TORCHVISION = (
    (r"^backbone\.body\.(conv1|bn1)\.", r"backbone.bottom_up.stem.\1."),
    *((rf"^backbone\.body\.layer{i}\.", f"backbone.bottom_up.res{i + 1}.") for i in range(1, 5)),
    (r"\.bn(\d)\.", r".conv\1.norm."),
    (r"\.downsample\.0\.", ".shortcut."),
    (r"\.downsample\.1\.", ".shortcut.norm."),
    *((rf"^backbone\.fpn\.inner_blocks\.{i}\.0\.", f"backbone.fpn_lateral{i + 2}.") for i in range(4)),
    *((rf"^backbone\.fpn\.layer_blocks\.{i}\.0\.", f"backbone.fpn_output{i + 2}.") for i in range(4)),
    (r"^rpn\.head\.conv\.0\.0\.", "proposal_generator.rpn_head.conv."),
    (r"^rpn\.head\.cls_logits\.", "proposal_generator.rpn_head.objectness_logits."),
    (r"^rpn\.head\.bbox_pred\.", "proposal_generator.rpn_head.anchor_deltas."),
    (r"\.fc6\.", ".fc1."),
    (r"\.fc7\.", ".fc2."),
    *((rf"^roi_heads\.mask_head\.{i}\.0\.", f"roi_heads.mask_head.mask_fcn{i + 1}.") for i in range(4)),
    (r"^roi_heads\.mask_predictor\.conv5_mask\.", "roi_heads.mask_head.deconv."),
    (r"^roi_heads\.mask_predictor\.mask_fcn_logits\.", "roi_heads.mask_head.predictor."),
)
