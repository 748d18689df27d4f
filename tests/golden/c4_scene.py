"""Weights and images of `golden_c4.npz`: narrow Mask R-CNNs on C4 and on dilated C5, Detectron2's names. NumPy only."""

import re

import numpy as np
import recipe

SCENES = (("c4a", 160, 192), ("c4b", 128, 184))  # of `recipe.make_scene`
CANVAS = (160, 192)
STD = (57.375, 57.12, 58.395)  # of BGR levels, as Detectron2's ResNeXts have it
NUM_CLASSES, STEM, RES2, WIDTH, FC, MASK = 6, 16, 32, 8, 64, 16
TOP_N, SAMPLES, DETECTIONS = (400, 100), 64, 20  # before and after NMS; RoIs an image; detections

# Detectron2's -> the names that the recipe's rules are written for
RECIPE_NAMES = (
    (r"\.conv(\d)\.norm\.", r".bn\1."),
    (r"\.shortcut\.norm\.", ".downsample.1."),
    (r"^backbone\.stem\.", "backbone.body."),
    (r"^proposal_generator\.rpn_head\.conv\.", "rpn.head.conv.0.0."),
    (r"^proposal_generator\.rpn_head\.objectness_logits\.", "rpn.head.cls_logits."),
    (r"^proposal_generator\.rpn_head\.anchor_deltas\.", "rpn.head.bbox_pred."),
    (r"^roi_heads\.mask_head\.deconv\.", "roi_heads.mask_predictor.conv5_mask."),
    (r"^roi_heads\.mask_head\.predictor\.", "roi_heads.mask_predictor.mask_fcn_logits."),
)


def fill_array(name, shape):
    """The recipe's array for one of Detectron2's names; each name has values of its own."""
    known = name
    for pattern, replacement in RECIPE_NAMES:
        known = re.sub(pattern, replacement, known)
    array = recipe.fill_array(known, shape, key=f"{name} of ")
    # A mean over a map is smaller than what fully connected layers give: without it all scores are alike.
    averaged = "box_predictor" in name and name.endswith("weight") and shape[1] == 8 * RES2
    return array * np.float32(3) if averaged else array


def scenes():
    """Images, boxes (x1, y1, x2, y2), masks and labels 1..C."""
    return [recipe.make_scene(*scene) for scene in SCENES]
