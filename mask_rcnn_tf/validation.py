"""What one field of the configuration asks of others; what a field may hold by itself is in its metadata (`fields`)."""

import math
from typing import Any

from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.fields import check_fields, fail

MOST_ANCHORS = 1000  # of a cell
NORMS = ("none", "frozen_batch_norm", "batch_norm", "sync_batch_norm", "group_norm")


def validate_model(model: Any) -> Any:
    """Checks the model's section alone; `MaskRCNN` calls it.

    Returns:
      The same object.

    Raises:
      ValueError: naming the field, what came and what is allowed.
    """
    check_fields(model, "model")
    _check_model(model)
    return model


def check_relations(config: Any):
    """Checks what fields of a whole configuration, each good by itself, ask of each other. Raises as above."""
    _check_model(config.model)
    _check_data(config.data)
    _check_pixels(config.data, config.model.preprocess.pixels)
    _check_stored_proposals(config)
    _check_train(config.train)
    _check_eval(config.eval)


def _check_model(model: Any):
    for name in ("class_names", "category_ids"):
        values = getattr(model, name)
        if len(values) not in (0, model.num_classes) or len(set(values)) != len(values):
            fail(f"model.{name}", values, f"() or num_classes = {model.num_classes} different values")
    unprintable = [name for name in model.class_names if not name.isprintable()]
    if unprintable:  # they end up in tables, pictures and files of labels
        fail("model.class_names", unprintable, "names of printable characters")
    _validate_kind(model.preprocess)
    _validate_backbone(model.backbone)
    _validate_application(model)
    _validate_features(model)
    _validate_levels(model)
    _validate_rois(model)
    _validate_cascade(model.box_head)
    _validate_proposals(model)
    _validate_keypoints(model.keypoint_head)


def _validate_kind(preprocess: Any):
    """Of channels and bits."""
    prefix, kind = "model.preprocess", preprocess.pixels
    for name in ("mean", "std"):
        if len(getattr(preprocess, name)) != kind.channels:
            fail(f"{prefix}.{name}", getattr(preprocess, name), f"channels = {kind.channels} numbers")
    if kind.channels != 3 and preprocess.channel_order != "RGB":
        fail(f"{prefix}.channel_order", preprocess.channel_order, f"'RGB', where channels is {kind.channels}")
    if kind.bits != 8 and preprocess.round_resized:
        fail(f"{prefix}.round_resized", True, f"False, where bits is {kind.bits}")


def _validate_backbone(backbone: Any):
    prefix = "model.backbone"
    if (backbone.groups, backbone.width_per_group) != (1, 64) and backbone.block != "bottleneck":
        fail(f"{prefix}.groups", backbone.groups, "1, with width_per_group 64, where block is 'basic'")
    last = int(backbone.out_levels[-1][1])
    blocks = [f"c{level}_{i}" for level, count in enumerate(backbone.stage_blocks[: last - 1], 2) for i in range(count)]
    names = backbone.non_local_after
    if len(set(names)) < len(names) or not set(names) <= set(blocks):
        fail(f"{prefix}.non_local_after", names, f"blocks that are built, {blocks[0]} to {blocks[-1]}, none twice")
    if any(channels * backbone.width_per_group % 64 for channels in backbone.stage_channels):
        fail(f"{prefix}.width_per_group", backbone.width_per_group, "stage_channels * width_per_group divide by 64")


def _validate_application(model: Any):
    """Of a backbone that is one of Keras's models."""
    backbone, name, levels = model.backbone, model.backbone.keras_application, model.backbone.out_levels
    if backbone.keras_layers and (not name or len(backbone.keras_layers) != len(levels)):
        allowed = f"(), or with keras_application a layer for each of out_levels = {levels}"
        fail("model.backbone.keras_layers", backbone.keras_layers, allowed)
    if not name:
        return
    suited = {
        "preprocess.channels": (3,),
        "preprocess.bits": (8,),
        "backbone.norm": ("frozen_batch_norm", "batch_norm"),
        "backbone.frozen_stages": (0, *(int(level[1:]) for level in levels)),
        "backbone.non_local_after": ((),),
        "backbone.c5_dilation": (1,),
        "roi.body": ("none",),
    }
    for field, allowed in suited.items():
        section, leaf = field.split(".")
        value = getattr(getattr(model, section), leaf)
        if value not in allowed:
            words = " or ".join(map(repr, allowed))
            fail(f"model.{field}", value, f"{words}, where backbone.keras_application is {name!r}")
    _validate_pixels(model.preprocess, name)


def _validate_pixels(preprocess: Any, name: str):
    """A network that scales its pixels itself sees nothing in those that are scaled before, and no loss would tell."""
    order, *numbers = APPLICATIONS[name]
    fields = dict(zip(("pixel_scale", "mean", "std"), numbers, strict=True))
    different = [] if preprocess.channel_order == order else ["channel_order"]
    different += [key for key, wanted in fields.items() if not _close(getattr(preprocess, key), wanted)]
    for key in different[:1]:
        words = ", ".join(f"{item}={value}" for item, value in {"channel_order": order, **fields}.items())
        fail(f"model.preprocess.{key}", getattr(preprocess, key), f"what {name} takes: {words}")


def _close(value: Any, wanted: Any) -> bool:
    pairs = zip(value, wanted, strict=True) if isinstance(wanted, tuple) else [(value, wanted)]
    return all(math.isclose(came, right, rel_tol=1e-4) for came, right in pairs)


def _validate_features(model: Any):
    backbone, levels = model.backbone, model.backbone.out_levels
    if list(levels) != sorted(set(levels)):
        fail("model.backbone.out_levels", levels, "names, finest first, none twice")
    if model.fpn.enabled:
        first, last = levels[0], levels[-1]
        if levels != tuple(f"C{i}" for i in range(int(first[1]), int(last[1]) + 1)):
            fail("model.backbone.out_levels", levels, "levels that follow each other, where fpn.enabled")
        if backbone.c5_dilation != 1:
            fail("model.backbone.c5_dilation", backbone.c5_dilation, "1, where fpn.enabled: C5 needs twice C4's stride")
        if model.preprocess.size_divisor % 32:
            fail("model.preprocess.size_divisor", model.preprocess.size_divisor, "a multiple of 32, where fpn.enabled")
    if model.roi.body == "C5" and (model.fpn.enabled or "C5" in levels or backbone.c5_dilation != 1):
        fail("model.roi.body", model.roi.body, "'none', unless fpn is not enabled, and C5 not dilated or in out_levels")


def _validate_levels(model: Any):
    for name in ("rpn", "roi"):
        levels = getattr(model, name).levels
        if len(set(levels)) < len(levels) or not all(levels):
            fail(f"model.{name}.levels", levels, "names, none twice")
    sizes, levels = model.anchors.sizes, model.rpn.levels
    if len(sizes) != len(levels) or not all(sizes):
        allowed = f"{len(levels)} tuples of sizes, one for each of rpn.levels, and at least one ratio"
        fail("model.anchors", model.anchors, allowed)
    if len(sizes[0]) * len(model.anchors.ratios) > MOST_ANCHORS:
        fail("model.anchors", model.anchors, f"at most {MOST_ANCHORS} anchors a cell, sizes times ratios")
    if len({len(of_level) for of_level in sizes}) != 1:
        fail("model.anchors.sizes", sizes, "as many sizes on every level: the RPN head is shared")


def _validate_rois(model: Any):
    rpn, roi = model.rpn, model.roi
    if rpn.negative_iou > rpn.positive_iou:
        fail("model.rpn.negative_iou", rpn.negative_iou, f"at most positive_iou = {rpn.positive_iou}")
    if roi.operator == "pool" and roi.reduction != "max":
        fail("model.roi.reduction", roi.reduction, "'max', where operator is 'pool'")
    if (model.has_masks or model.has_keypoints) and int(roi.samples * roi.positive_fraction) < 1:
        fail("model.roi.positive_fraction", roi.positive_fraction, f"at least 1 / samples = 1 / {roi.samples}")


def _validate_cascade(head: Any):
    prefix, count = "model.box_head", len(head.cascade_ious)
    if count and not head.class_agnostic:
        fail(f"{prefix}.class_agnostic", head.class_agnostic, "True, where cascade_ious has stages")
    if count > len(head.cascade_delta_weights):
        fail(f"{prefix}.cascade_delta_weights", head.cascade_delta_weights, f"one for each of {count} cascade_ious")
    if any(len(weights) != 4 for weights in head.cascade_delta_weights):
        fail(f"{prefix}.cascade_delta_weights", head.cascade_delta_weights, "four numbers a stage")


def _validate_proposals(model: Any):
    """Of a model without a box head, which is an RPN."""
    if model.has_classes:
        return
    if not model.rpn.enabled:
        fail("model.rpn.enabled", False, "True, where box_head.enabled is False")
    for name, section in vars(model).items():
        if any(section is head for head in model.heads) and section.enabled:
            fail(f"model.{name}.enabled", True, "False, where box_head.enabled is False: it needs detections")
    if model.num_classes != 1:
        fail("model.num_classes", model.num_classes, "1, where box_head.enabled is False: proposals have no class")


def _validate_keypoints(head: Any):
    prefix, count = "model.keypoint_head", head.num_keypoints
    if len(head.names) not in (0, count) or len(set(head.names)) != len(head.names):
        fail(f"{prefix}.names", head.names, f"() or num_keypoints = {count} different names")
    if len(head.sigmas) not in (0, count):
        fail(f"{prefix}.sigmas", head.sigmas, f"() or num_keypoints = {count} numbers")
    for name in ("skeleton", "flip_pairs"):
        pairs = getattr(head, name)
        if any(first == second or max(first, second) >= count for first, second in pairs):
            fail(f"{prefix}.{name}", pairs, f"pairs of different numbers below num_keypoints = {count}")
    paired = [index for pair in head.flip_pairs for index in pair]
    if len(set(paired)) < len(paired):
        fail(f"{prefix}.flip_pairs", head.flip_pairs, "each keypoint in one pair at most")


def _check_data(data: Any):
    shapes = data.shapes
    if not shapes.min_objects <= shapes.max_objects:
        fail("data.shapes.max_objects", shapes.max_objects, f"at least min_objects = {shapes.min_objects}")
    if not shapes.min_side <= shapes.max_side <= shapes.size:
        fail("data.shapes.max_side", shapes.max_side, f"from min_side = {shapes.min_side} to size = {shapes.size}")


def _check_pixels(data: Any, kind: Any):
    """What needs colours, or 8 bits."""
    if data.dataset == "mrcnn_shapes" and not kind.is_rgb:
        fail("data.dataset", data.dataset, "'coco_json', where model.preprocess has other pixels than RGB of 8 bits")
    off = {"saturation": 0.0, "hue": 0.0, "grey": 0.0} if kind.channels != 3 else {}
    off |= {"jpeg_quality": 100} if not kind.is_rgb else {}
    for name, value in off.items():
        if getattr(data, name) != value:
            fail(f"data.{name}", getattr(data, name), f"{value}, where model.preprocess has {kind}")


def _check_stored_proposals(config: Any):
    for name in ("train_proposals", "val_proposals"):
        if config.model.rpn.enabled and getattr(config.data, name):
            fail(f"data.{name}", getattr(config.data, name), "'', where model.rpn.enabled is True")
    if not config.model.rpn.enabled and config.data.copy_paste:
        allowed = "0, where model.rpn.enabled is False: what is pasted has no stored proposals"
        fail("data.copy_paste", config.data.copy_paste, allowed)
    if not config.model.rpn.enabled and config.eval.augmentation.short_sides:
        allowed = "(), where model.rpn.enabled is False"
        fail("eval.augmentation.short_sides", config.eval.augmentation.short_sides, allowed)


def _check_train(train: Any):
    if list(train.decay_steps) != sorted(set(train.decay_steps)):
        fail("train.decay_steps", train.decay_steps, "ascending steps")


def _check_eval(scoring: Any):
    if list(scoring.max_dets) != sorted(set(scoring.max_dets)):
        fail("eval.max_dets", scoring.max_dets, "ascending numbers")
