"""Checks of the configuration's values. Each failure names the field, what came and what is allowed."""

import math
from typing import Any

NORMS = ("none", "frozen_batch_norm", "batch_norm", "sync_batch_norm", "group_norm")


def _fail(field: str, came: Any, allowed: str):
    raise ValueError(f"config.{field} is {came!r}; allowed: {allowed}.")


def _one_of(field: str, came: str, allowed: tuple[str, ...]):
    if came not in allowed:
        _fail(field, came, ", ".join(map(repr, allowed)))


def _positive(section: Any, prefix: str, *names: str):
    for name in names:
        if not getattr(section, name) > 0:
            _fail(f"{prefix}.{name}", getattr(section, name), "a number above 0")


def _fraction(section: Any, prefix: str, *names: str):
    for name in names:
        if not 0 <= getattr(section, name) <= 1:
            _fail(f"{prefix}.{name}", getattr(section, name), "a number from 0 to 1")


def validate_model(model: Any) -> Any:
    """Checks the model's section alone; `MaskRCNN` calls it.

    Returns:
      The same object.

    Raises:
      ValueError: naming the field, what came and what is allowed.
    """
    _positive(model, "model", "num_classes")
    for field in ("class_names", "category_ids"):
        values = getattr(model, field)
        if len(values) not in (0, model.num_classes) or len(set(values)) != len(values):
            _fail(f"model.{field}", values, f"() or num_classes = {model.num_classes} different values")
    _one_of("model.kernels", model.kernels, ("native", "xla", "onnx", "tensorrt", "tflite"))
    _one_of("model.dtype", model.dtype, ("float32", "mixed_bfloat16", "bfloat16", "auto"))
    _one_of("model.sampler", model.sampler, ("random", "evenly"))
    _validate_preprocess(model.preprocess)
    _validate_backbone(model.backbone)
    for name in ("fpn", "box_head", "mask_head"):
        _one_of(f"model.{name}.norm", getattr(model, name).norm, NORMS)
    _validate_heads(model)
    return model


def _validate_preprocess(preprocess: Any):
    prefix = "model.preprocess"
    _positive(preprocess, prefix, "short_side", "max_side", "pixel_scale", "size_divisor")
    _one_of(f"{prefix}.size_rounding", preprocess.size_rounding, ("nearest", "floor"))
    _one_of(f"{prefix}.channel_order", preprocess.channel_order, ("RGB", "BGR"))
    for name in ("mean", "std"):
        if len(getattr(preprocess, name)) != 3:
            _fail(f"{prefix}.{name}", getattr(preprocess, name), "three numbers")
    if min(preprocess.std) <= 0:
        _fail(f"{prefix}.std", preprocess.std, "numbers above 0")
    if preprocess.size_divisor % 32:
        _fail(f"{prefix}.size_divisor", preprocess.size_divisor, "a multiple of 32, the stride of C5")


def _validate_backbone(backbone: Any):
    prefix = "model.backbone"
    _one_of(f"{prefix}.block", backbone.block, ("bottleneck", "basic"))
    _one_of(f"{prefix}.norm", backbone.norm, NORMS)
    _positive(backbone, prefix, "stem_channels", "stem_kernel")
    if backbone.norm_epsilon < 0:
        _fail(f"{prefix}.norm_epsilon", backbone.norm_epsilon, "0 (torchvision's COCO_V1 weights) or more")
    for name in ("stage_blocks", "stage_channels"):
        values = getattr(backbone, name)
        if len(values) != 4 or min(values) < 1:
            _fail(f"{prefix}.{name}", values, "four whole numbers above 0, for C2..C5")
    _positive(backbone, prefix, "groups", "width_per_group")
    if (backbone.groups, backbone.width_per_group) != (1, 64) and backbone.block != "bottleneck":
        _fail(f"{prefix}.groups", backbone.groups, "1, with width_per_group 64, where block is 'basic'")
    if any(channels * backbone.width_per_group % 64 for channels in backbone.stage_channels):
        _fail(f"{prefix}.width_per_group", backbone.width_per_group, "stage_channels * width_per_group divide by 64")
    if not 0 <= backbone.frozen_stages <= 5:
        _fail(f"{prefix}.frozen_stages", backbone.frozen_stages, "0 to 5")


def _validate_heads(model: Any):
    for name in ("rpn", "roi"):
        levels = getattr(model, name).levels
        if not levels or len(set(levels)) < len(levels):
            _fail(f"model.{name}.levels", levels, "at least one level, none twice")
    levels = model.rpn.levels
    if len(model.anchors.sizes) != len(levels) or not all(model.anchors.sizes) or not model.anchors.ratios:
        allowed = f"{len(levels)} tuples of sizes, one for each of rpn.levels, and at least one ratio"
        _fail("model.anchors", model.anchors, allowed)
    if len({len(sizes) for sizes in model.anchors.sizes}) != 1:
        _fail("model.anchors.sizes", model.anchors.sizes, "as many sizes on every level: the RPN head is shared")
    _one_of("model.anchors.stride_rule", model.anchors.stride_rule, ("level", "grid"))
    _one_of("model.rpn.ranking", model.rpn.ranking, ("logit", "sigmoid"))
    _one_of("model.rpn.loss_normalizer", model.rpn.loss_normalizer, ("batch", "sampled"))
    _one_of("model.roi.level_rule", model.roi.level_rule, ("detectron2", "torchvision"))
    _one_of("model.mask_head.mask_frame", model.mask_head.mask_frame, ("box", "canvas"))
    _one_of("model.detection.paste", model.detection.paste, ("continuous", "integer"))
    _positive(
        model.rpn,
        "model.rpn",
        "num_convs",
        "channels",
        "samples",
        "pre_nms_top_n_train",
        "pre_nms_top_n_test",
        "post_nms_top_n_train",
        "post_nms_top_n_test",
    )
    _positive(model.roi, "model.roi", "samples", "canonical_size", "max_sampling")
    _positive(model.box_head, "model.box_head", "pool_size", "fc_channels")
    _positive(model.mask_head, "model.mask_head", "pool_size", "channels")
    _positive(model.detection, "model.detection", "max_detections", "max_candidates")
    _fraction(model.rpn, "model.rpn", "nms_iou", "positive_iou", "negative_iou", "positive_fraction")
    _fraction(model.roi, "model.roi", "positive_fraction", "positive_iou")
    _fraction(model.detection, "model.detection", "score_threshold", "nms_iou", "mask_threshold")
    if model.rpn.negative_iou > model.rpn.positive_iou:
        _fail("model.rpn.negative_iou", model.rpn.negative_iou, f"at most positive_iou = {model.rpn.positive_iou}")
    if len(model.box_head.delta_weights) != 4:
        _fail("model.box_head.delta_weights", model.box_head.delta_weights, "four numbers (dy, dx, dh, dw)")


def validate_data(data: Any):
    """Checks data's section. Raises ValueError as `validate_model` does."""
    _one_of("data.dataset", data.dataset, ("coco_json", "mrcnn_shapes"))
    _positive(data, "data", "max_gt", "gt_mask_size", "shuffle_buffer")
    if not data.train_short_sides or min(data.train_short_sides) < 1:
        _fail("data.train_short_sides", data.train_short_sides, "at least one number of pixels above 0")
    if not data.canvases:
        _fail("data.canvases", data.canvases, "at least one (H, W)")
    for canvas in data.canvases:
        if len(canvas) != 2 or any(side < 32 or side % 32 for side in canvas):
            _fail("data.canvases", canvas, "(H, W), each a multiple of 32")
    shapes = data.shapes
    _positive(shapes, "data.shapes", "size", "train_scenes", "val_scenes", "min_objects", "min_side")
    if not shapes.min_objects <= shapes.max_objects:
        _fail("data.shapes.max_objects", shapes.max_objects, f"at least min_objects = {shapes.min_objects}")
    if not shapes.min_side <= shapes.max_side <= shapes.size:
        _fail("data.shapes.max_side", shapes.max_side, f"from min_side = {shapes.min_side} to size = {shapes.size}")


def validate_train(train: Any):
    """Checks training's section. Raises ValueError as `validate_model` does."""
    _one_of("train.optimizer", train.optimizer, ("torch_sgd", "adam"))
    _one_of("train.schedule", train.schedule, ("step", "cosine"))
    _positive(
        train,
        "train",
        "batch_size",
        "steps",
        "learning_rate",
        "base_batch_size",
        "checkpoint_every",
        "evaluate_every",
        "summary_every",
    )
    if train.warmup_steps < 0 or not math.isfinite(train.learning_rate):
        _fail("train.warmup_steps", train.warmup_steps, "0 or more, with a finite learning rate")
