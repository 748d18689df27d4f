"""Weights and images of `golden_cascade.npz`: a narrow Cascade R-CNN R50-FPN under Detectron2's names. NumPy only."""

import re

import recipe

SCENES = (("cascade1", 160, 192), ("cascade2", 128, 192))  # of `recipe.make_scene`
CANVAS = (160, 192)
STD = (57.375, 57.12, 58.395)  # of BGR levels, as Detectron2's ResNeXts have it
NUM_CLASSES, STEM, RES2, WIDTH, FPN, FC = 6, 16, 32, 8, 32, 64
TOP_N, SAMPLES, DETECTIONS = (300, 150), 64, 30  # before and after NMS; RoIs an image; detections

# Detectron2's -> the names that the recipe's rules are written for
RECIPE_NAMES = (
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"^backbone\.bottom_up\.stem\.", "backbone.body."),
    (r"^backbone\.fpn_lateral(\d)\.", r"backbone.fpn.inner_blocks.\1."),
    (r"^backbone\.fpn_output(\d)\.", r"backbone.fpn.layer_blocks.\1."),
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn.head.conv.0.0."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn.head.cls_logits."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.head.bbox_pred."),
    (r"^(roi_heads\.box_\w+)\.\d\.", r"\1."),
    *((rf"^roi_heads\.mask_head\.mask_fcn{i + 1}\.", f"roi_heads.mask_head.{i}.0.") for i in range(4)),
    (r"^roi_heads\.mask_head\.deconv\.", "roi_heads.mask_predictor.conv5_mask."),
    (r"^roi_heads\.mask_head\.predictor\.", "roi_heads.mask_predictor.mask_fcn_logits."),
)


def fill_array(name, shape):
    """The recipe's array for one of Detectron2's names; each name has values of its own."""
    known = name
    for pattern, replacement in RECIPE_NAMES:
        known = re.sub(pattern, replacement, known)
    return recipe.fill_array(known, shape, key=f"{name} of ")


def scenes():
    """Images, boxes (x1, y1, x2, y2), masks and labels 1..C."""
    return [recipe.make_scene(*scene) for scene in SCENES]
