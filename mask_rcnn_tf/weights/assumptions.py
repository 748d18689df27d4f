"""What weights depend on and their tensors do not say: each setting, its value, and where the value comes from."""

import operator
from typing import Any

from mask_rcnn_tf.config import ModelConfig

# What a report says in one line, and its fields of `ModelConfig`.
TOPICS = {
    "norms": ("backbone.norm", "backbone.norm_epsilon"),
    "strides": ("backbone.stride_in_1x1", "backbone.c5_dilation"),
    "pixels": tuple(f"preprocess.{name}" for name in ("channel_order", "pixel_scale", "mean", "std")),
    "image size": tuple(f"preprocess.{name}" for name in ("short_side", "max_side", "size_rounding", "antialias")),
    "anchors": tuple(f"anchors.{name}" for name in ("sizes", "ratios", "rounded", "stride_rule")),
    "RoIAlign": tuple(f"roi.{name}" for name in ("aligned", "sampling_ratio", "level_rule")),
    "box deltas": ("box_head.delta_weights",),
    "cascade": ("box_head.cascade_ious", "box_head.cascade_delta_weights"),
    "detections": tuple(f"detection.{name}" for name in ("score_threshold", "nms_iou", "max_detections", "paste")),
    "classes": ("class_names", "category_ids"),
}
SHOWN = 6  # values of a tuple that a line has


def explain(config: ModelConfig, reasons: dict[str, str], otherwise: str) -> list[str]:
    """The settings that the weights depend on, in words.

    Args:
      config: of the model.
      reasons: where the values of some fields come from, by field.
      otherwise: where all the others come from.

    Returns:
      A line for each topic and reason.
    """
    lines = []
    there = {"cascade": bool(config.box_head.cascade_ious), "anchors": config.rpn.enabled}
    there |= dict.fromkeys(("RoIAlign", "box deltas", "classes"), config.has_classes)
    for topic, fields in TOPICS.items():
        if not there.get(topic, True):
            continue
        grouped: dict[str, list[str]] = {}
        for field in fields:
            value = _show(operator.attrgetter(field)(config))
            grouped.setdefault(reasons.get(field, otherwise), []).append(f"{field}={value}")
        lines += [f"{topic}: {', '.join(values)} ({reason})" for reason, values in grouped.items()]
    return lines


def _show(value: Any) -> str:
    if isinstance(value, tuple) and len(value) > SHOWN:
        return f"({', '.join(map(repr, value[:SHOWN]))} and {len(value) - SHOWN} more)"
    return repr(value)
