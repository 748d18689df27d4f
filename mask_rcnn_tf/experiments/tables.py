"""What is compared: variants of one configuration, a table of the paper each.

A variant is the fields in which it differs, by their dotted names; a value may be a function of the configuration that
is compared. The paper's figures are COCO AP of ResNets trained for days: what is compared with them is their order.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from mask_rcnn_tf.config import Config

Fields = Mapping[str, Any]
MASK, BOX, KEYPOINT = ("segm", "AP"), ("bbox", "AP"), ("keypoints", "AP")


@dataclasses.dataclass(frozen=True)
class Table:
    """One comparison.

    Attributes:
      title: what is compared, and where the paper has it.
      variants: the fields of each; the first is what the others are compared with.
      figures: what is shown, of the run's `metrics.json`; the first is drawn, and is what `paper` has.
      paper: its figure of a variant, percent.
      fields: of all variants.
      training: how a variant is trained that is not trained end to end, "separate" or "four_steps"
        (`training.four_steps`).
    """

    title: str
    variants: Mapping[str, Fields]
    figures: tuple[tuple[str, str], ...] = (MASK, ("segm", "AP50"), BOX)
    paper: Mapping[str, float] = dataclasses.field(default_factory=dict)
    fields: Fields = dataclasses.field(default_factory=dict)
    training: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _operator(operator: str, reduction: str = "max") -> Fields:
    return {"model.roi.operator": operator, "model.roi.reduction": reduction}


def _coarsest(config: Config) -> tuple[str, ...]:
    return config.model.backbone.out_levels[-1:]


def _all_sizes(config: Config) -> tuple[tuple[float, ...], ...]:
    return (tuple(size for of_level in config.model.anchors.sizes for size in of_level),)


def _around(config: Config) -> tuple[int, ...]:
    side = config.model.preprocess.short_side
    return tuple(round(side * factor) for factor in (5 / 6, 1, 7 / 6))


def _square_canvas(config: Config) -> tuple[tuple[int, int], ...]:
    side = 32 * math.ceil(config.model.preprocess.max_side / 32)
    return ((side, side),)


def _unscaled(config: Config) -> tuple[float, float]:
    """Of images on that canvas, the scale at which a square one has the short side that it is predicted with."""
    scale = config.model.preprocess.short_side / _square_canvas(config)[0][0]
    return (scale, scale)


def _five_times(config: Config) -> int:
    return 5 * config.train.steps


SEVERAL_CLASSES = {  # which are told apart later than they are found
    "data.shapes.one_class": False,
    "train.steps": _five_times,
    "train.evaluate_every": _five_times,
}
ONE_COARSE_LEVEL = {
    "model.fpn.enabled": False,
    "model.backbone.out_levels": _coarsest,
    "model.rpn.levels": _coarsest,
    "model.roi.levels": _coarsest,
    "model.anchors.sizes": _all_sizes,
}

TABLES = {
    "roi_operator": Table(
        "RoIAlign, RoIWarp, RoIPool (Table 2c)",
        {
            "align_average": _operator("align", "average"),
            "align_max": _operator("align"),
            "warp_average": _operator("warp", "average"),
            "warp_max": _operator("warp"),
            "pool_max": _operator("pool"),
        },
        paper={"align_average": 30.3, "align_max": 30.2, "warp_average": 27.1, "warp_max": 27.2, "pool_max": 26.9},
    ),
    "stride_32": Table(
        "RoIAlign and RoIPool on features of stride 32 (Table 2d)",
        {"align": _operator("align", "average"), "pool": _operator("pool")},
        paper={"align": 30.9, "pool": 23.6},
        fields=ONE_COARSE_LEVEL,
    ),
    "mask_loss": Table(
        "a sigmoid a class, and a softmax over classes (Table 2b)",
        {"sigmoid": {}, "softmax": {"model.mask_head.activation": "softmax"}},
        paper={"sigmoid": 30.3, "softmax": 24.8},
        fields=SEVERAL_CLASSES,
    ),
    "mask_classes": Table(
        "a mask a class, and one for all classes (section 4.1)",
        {"class_specific": {}, "class_agnostic": {"model.mask_head.class_agnostic": True}},
        paper={"class_specific": 30.3, "class_agnostic": 29.7},
        fields=SEVERAL_CLASSES,
    ),
    "mask_head": Table(
        "convolutions, and fully connected layers (Table 2e)",
        {"fcn": {}, "mlp_2": {"model.mask_head.num_fcs": 2}, "mlp_3": {"model.mask_head.num_fcs": 3}},
        paper={"fcn": 33.6, "mlp_2": 31.5, "mlp_3": 31.5},
    ),
    "with_mask": Table(
        "boxes trained with masks, and alone (Table 3)",
        {"with_masks": {}, "boxes_alone": {"model.mask_head.enabled": False}},
        figures=(BOX, ("bbox", "AP50"), MASK),
        paper={"with_masks": 38.2, "boxes_alone": 37.3},
    ),
    "tasks": Table(
        "masks and keypoints together, and each alone (compare Table 5)",
        {
            "masks_and_keypoints": {},
            "masks": {"model.keypoint_head.enabled": False},
            "keypoints": {"model.mask_head.enabled": False},
        },
        figures=(BOX, MASK, KEYPOINT),
        fields={"model.keypoint_head.enabled": True},
    ),
    "training": Table(
        "end to end, RPN and heads separately, in four steps (Table 8; Ren et al., arXiv:1506.01497, section 3.2)",
        {"end_to_end": {}, "separate": {}, "four_steps": {}},
        paper={"end_to_end": 37.6, "separate": 37.0},
        training={"separate": "separate", "four_steps": "four_steps"},
    ),
    "cascade": Table(
        "one box head, and three in a cascade (Cai and Vasconcelos, arXiv:1712.00726)",
        {
            "one_stage": {},
            "cascade": {"model.box_head.class_agnostic": True, "model.box_head.cascade_ious": (0.6, 0.7)},
        },
        figures=(BOX, ("bbox", "AP75"), MASK),
    ),
    "test_augmentation": Table(
        "one view of an image, and six merged (Table 8)",
        {"plain": {}, "augmented": {"eval.augmentation.short_sides": _around}},
        paper={"plain": 40.3, "augmented": 41.8},
    ),
    "copy_paste": Table(
        "without and with objects of other images (Ghiasi et al., arXiv:2012.07177)",
        {"plain": {}, "copy_paste": {"data.copy_paste": 0.5}},
        # Pasting needs the jitter, and the jitter one canvas: both variants have them.
        fields={"data.scale_jitter": _unscaled, "data.canvases": _square_canvas},
    ),
}
