"""Dataclasses of one experiment: the model, its data, its training and its scoring.

Everything is plain, mutable and typed, so that `ml_collections.config_flags` can override any leaf from the command
line (`--config.train.learning_rate=0.01`). Models and tools copy the configuration and call `Config.validate` once.
"""

import copy
import dataclasses
import importlib
import importlib.util
import math
import pathlib
import pkgutil
from typing import Any

NORMS = ("none", "frozen_batch_norm", "batch_norm", "sync_batch_norm", "group_norm")


@dataclasses.dataclass
class PreprocessConfig:
    """From a uint8 RGB image to the network's input; part of the model, because weights depend on it.

    The defaults are those of Detectron2's R50/R101 models (`detectron2/config/defaults.py`): BGR, minus mean
    """

    short_side: int = 800  # pixels after resizing
    max_side: int = 1333  # the long side never exceeds this
    size_rounding: str = "nearest"  # "nearest": int(x + 0.5), Detectron2; "floor": torchvision
    antialias: bool = True  # Detectron2 (PIL) antialiases when it shrinks, torchvision does not
    round_resized: bool = True  # round the resized image to whole levels, as uint8 resizing does (Detectron2)
    channel_order: str = "BGR"
    pixel_scale: float = 1.0  # levels are multiplied by this before mean and std; torchvision: 1 / 255
    mean: tuple[float, ...] = (103.53, 116.28, 123.675)  # in channel_order, after pixel_scale
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    size_divisor: int = 32  # canvases are multiples of this


@dataclasses.dataclass
class BackboneConfig:
    """A ResNet. Depth comes from `stage_blocks`: (3, 4, 6, 3) is R50, (3, 4, 23, 3) is R101."""

    block: str = "bottleneck"  # or "basic"
    stage_blocks: tuple[int, ...] = (3, 4, 6, 3)
    stage_channels: tuple[int, ...] = (64, 128, 256, 512)  # inner width; a bottleneck puts out four times as many
    stem_channels: int = 64
    stem_kernel: int = 7
    stride_in_1x1: bool = True  # stride of a bottleneck on its first 1x1 (MSRA, Detectron2 R50/R101), else on the 3x3
    norm: str = "frozen_batch_norm"
    norm_epsilon: float = 1e-5
    norm_momentum: float = 0.9  # Keras's meaning: the share of the running statistics that stays
    frozen_stages: int = 2  # 0: all trains; 1: the stem is frozen; 2: stem and C2; ... 5: the whole backbone


@dataclasses.dataclass
class FpnConfig:
    """The feature pyramid: laterals, top-down sums, 3x3 outputs P2..P5, and P6 by a 1x1 max-pool of stride 2."""

    channels: int = 256
    norm: str = "none"


@dataclasses.dataclass
class AnchorConfig:
    """Anchors of P2..P6."""

    sizes: tuple[tuple[float, ...], ...] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))  # a tuple a level, pixels
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rounded: bool = False  # torchvision rounds base anchors half to even
    stride_rule: str = "level"  # "level": 4..64 (Detectron2); "grid": canvas size // grid size (torchvision)


@dataclasses.dataclass
class RpnConfig:
    """Region proposal network: head, targets, losses, proposals."""

    num_convs: int = 1
    channels: int = 256
    pre_nms_top_n_train: int = 2000  # a level
    pre_nms_top_n_test: int = 1000
    post_nms_top_n_train: int = 1000  # an image
    post_nms_top_n_test: int = 1000
    nms_iou: float = 0.7
    min_size: float = 0.0  # a proposal's sides must be positive and at least this, in pixels; torchvision: 1e-3
    ranking: str = "logit"  # proposals are ordered by "logit" (Detectron2) or "sigmoid" (torchvision)
    positive_iou: float = 0.7
    negative_iou: float = 0.3
    samples: int = 256  # anchors an image
    positive_fraction: float = 0.5
    loss_normalizer: str = "batch"  # "batch": samples * B (Detectron2); "sampled": sampled anchors (torchvision)
    loss_beta: float = 0.0  # of smooth L1; 0 is L1; torchvision: 1/9


@dataclasses.dataclass
class RoiConfig:
    """Which RoIs the heads train on, and how features are pooled for them."""

    samples: int = 512  # RoIs an image
    positive_fraction: float = 0.25
    positive_iou: float = 0.5
    canonical_size: float = 224.0  # a box of this side is pooled from canonical_level
    canonical_level: int = 4
    level_rule: str = "detectron2"  # where the epsilon stands: "detectron2" or "torchvision"
    aligned: bool = True  # half-pixel aligned RoIAlign (Detectron2's ROIAlignV2); torchvision: False
    sampling_ratio: int = 2  # samples a bin and axis; 0: adaptive, ceil(roi / bin)
    max_sampling: int = 8  # cap of the adaptive grid in the xla kernels, which need a constant


@dataclasses.dataclass
class BoxHeadConfig:
    """Convolutions, then fully connected layers, then class logits and box deltas."""

    pool_size: int = 7
    num_convs: int = 0
    conv_channels: int = 256
    num_fcs: int = 2
    fc_channels: int = 1024
    norm: str = "none"
    delta_weights: tuple[float, ...] = (10.0, 10.0, 5.0, 5.0)  # (dy, dx, dh, dw)
    loss_beta: float = 0.0


@dataclasses.dataclass
class MaskHeadConfig:
    """Convolutions, a 2x2 deconvolution of stride 2, one mask a class. M = 2 * pool_size."""

    enabled: bool = True
    pool_size: int = 14
    num_convs: int = 4
    channels: int = 256
    norm: str = "none"
    mask_frame: str = "box"  # frame of gt_masks. "box": binary targets; "canvas": torchvision's soft targets


@dataclasses.dataclass
class DetectionConfig:
    """From class scores and deltas to the final detections, and from mask probabilities to pasted masks."""

    score_threshold: float = 0.05
    nms_iou: float = 0.5
    max_detections: int = 100
    min_size: float = 0.0  # torchvision: 1e-2
    max_candidates: int = 2000  # xla kernels only: (box, class) pairs an image that enter NMS, best first
    mask_threshold: float = 0.5
    paste: str = "continuous"  # "continuous": Detectron2; "integer": torchvision's grown and truncated box


@dataclasses.dataclass
class ModelConfig:
    """Everything `mask_rcnn_tf.MaskRCNN` is built from; saved inside the `.keras` file."""

    num_classes: int = 80  # C, without background
    class_names: tuple[str, ...] = ()  # () or C names, in the order of classes 1..C
    category_ids: tuple[int, ...] = ()  # () for 1..C, or the file's ids in the order of classes 1..C
    preprocess: PreprocessConfig = dataclasses.field(default_factory=PreprocessConfig)
    backbone: BackboneConfig = dataclasses.field(default_factory=BackboneConfig)
    fpn: FpnConfig = dataclasses.field(default_factory=FpnConfig)
    anchors: AnchorConfig = dataclasses.field(default_factory=AnchorConfig)
    rpn: RpnConfig = dataclasses.field(default_factory=RpnConfig)
    roi: RoiConfig = dataclasses.field(default_factory=RoiConfig)
    box_head: BoxHeadConfig = dataclasses.field(default_factory=BoxHeadConfig)
    mask_head: MaskHeadConfig = dataclasses.field(default_factory=MaskHeadConfig)
    detection: DetectionConfig = dataclasses.field(default_factory=DetectionConfig)
    kernels: str = "native"  # "native": fastest without XLA; "xla": static shapes for jit_compile and exports
    dtype: str = "float32"  # or "mixed_bfloat16"; geometry and losses are float32 whatever this says
    sampler: str = "random"  # "evenly": deterministic, in index order, to compare with another program
    seed: int = 0  # of the random sampler


@dataclasses.dataclass
class ShapesConfig:
    """Synthetic scenes of `mask_rcnn_tf.data.shapes`."""

    size: int = 192  # scenes are square, pixels
    train_scenes: int = 3000
    val_scenes: int = 200
    min_objects: int = 3
    max_objects: int = 8
    min_side: int = 16  # pixels, longer side of an object
    max_side: int = 96
    num_keypoints: int = 0  # 0: no keypoints
    seed: int = 0


@dataclasses.dataclass
class DataConfig:
    """Where examples come from and how they become batches."""

    dataset: str = "coco_json"  # or "mrcnn_shapes"
    train_annotations: str = ""
    train_images: str = ""
    val_annotations: str = ""
    val_images: str = ""
    data_dir: str = ""  # where prepared examples are cached; "" is TFDS's default
    shapes: ShapesConfig = dataclasses.field(default_factory=ShapesConfig)
    train_short_sides: tuple[int, ...] = (640, 672, 704, 736, 768, 800)  # one is drawn for each image
    canvases: tuple[tuple[int, int], ...] = ((800, 1344), (1344, 800))  # (H, W); the smallest that holds an image
    flip_horizontal: bool = True
    flip_vertical: bool = False
    max_gt: int = 100  # G; annotations above it are dropped and counted
    gt_mask_size: int = 112  # side of gt_masks in the box frame
    skip_empty: bool = True  # leave images without annotations out of training, counted
    shuffle_buffer: int = 1000
    cache: bool = False  # keep decoded examples in memory
    keypoint_flip_pairs: tuple[tuple[int, int], ...] = ()
    keypoint_sigmas: tuple[float, ...] = ()


@dataclasses.dataclass
class TrainConfig:
    """Optimizer, schedule and what is written while training."""

    batch_size: int = 16  # images a step over all replicas
    steps: int = 90_000
    optimizer: str = "torch_sgd"  # or "adam"
    learning_rate: float = 0.02  # for base_batch_size images; scaled linearly with batch_size
    base_batch_size: int = 16
    momentum: float = 0.9
    adam_beta_2: float = 0.999
    weight_decay: float = 1e-4  # none on norm parameters
    clip_norm: float = 0.0  # of all gradients together; 0: off
    warmup_steps: int = 1000
    warmup_factor: float = 1e-3
    schedule: str = "step"  # or "cosine"
    decay_steps: tuple[int, ...] = (60_000, 80_000)  # of "step"
    decay_factor: float = 0.1
    checkpoint_every: int = 1000  # steps
    evaluate_every: int = 5000  # steps
    summary_every: int = 20  # steps between TensorBoard points
    seed: int = 0  # of shuffling and augmentation


@dataclasses.dataclass
class EvalConfig:
    """Scoring."""

    batch_size: int = 1
    max_dets: tuple[int, ...] = (1, 10, 100)


@dataclasses.dataclass
class Config:
    """One experiment."""

    name: str = ""
    model: ModelConfig = dataclasses.field(default_factory=ModelConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    train: TrainConfig = dataclasses.field(default_factory=TrainConfig)
    eval: EvalConfig = dataclasses.field(default_factory=EvalConfig)

    def validate(self) -> "Config":
        """Checks every section. Returns self. Raises ValueError naming the field, what came and what is allowed."""
        validate_model(self.model)
        _validate_data(self.data)
        _validate_train(self.train)
        return self


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


def validate_model(model: ModelConfig) -> ModelConfig:
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
    _one_of("model.kernels", model.kernels, ("native", "xla"))
    _one_of("model.dtype", model.dtype, ("float32", "mixed_bfloat16"))
    _one_of("model.sampler", model.sampler, ("random", "evenly"))
    _validate_preprocess(model.preprocess)
    _validate_backbone(model.backbone)
    for name in ("fpn", "box_head", "mask_head"):
        _one_of(f"model.{name}.norm", getattr(model, name).norm, NORMS)
    _validate_heads(model)
    return model


def _validate_preprocess(preprocess: PreprocessConfig):
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


def _validate_backbone(backbone: BackboneConfig):
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
    if not 0 <= backbone.frozen_stages <= 5:
        _fail(f"{prefix}.frozen_stages", backbone.frozen_stages, "0 to 5")


def _validate_heads(model: ModelConfig):
    if len(model.anchors.sizes) != 5 or not all(model.anchors.sizes) or not model.anchors.ratios:
        _fail("model.anchors", model.anchors, "five tuples of sizes, for P2..P6, and at least one ratio")
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


def _validate_data(data: DataConfig):
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


def _validate_train(train: TrainConfig):
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


def to_dict(config: Any) -> dict:
    """A configuration (any section) as nested dicts of JSON types; tuples become lists when written."""
    return dataclasses.asdict(config)


def from_dict(cls: type, values: dict, path: str = "config") -> Any:
    """Rebuilds a section from `to_dict`, or from the same after JSON (lists become tuples again).

    Args:
      cls: the dataclass to build.
      values: nested dict; missing keys keep their defaults.
      path: name of the section in error messages.

    Raises:
      ValueError: a key is unknown, or a value is of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{path} has no key {', '.join(map(repr, unknown))}; known: {', '.join(sorted(fields))}.")
    built = {}
    for name, value in values.items():
        kind = fields[name].type
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ValueError(f"{path}.{name} is {value!r}; allowed: a table of {kind.__name__}'s keys.")
            built[name] = from_dict(kind, value, f"{path}.{name}")
        else:
            built[name] = _restore(value)
    return cls(**built)


def _restore(value: Any) -> Any:
    return tuple(_restore(item) for item in value) if isinstance(value, (list, tuple)) else value


def preset_names() -> list[str]:
    """Names of the presets in `mask_rcnn_tf/configs`."""
    import mask_rcnn_tf.configs as presets

    return sorted(module.name for module in pkgutil.iter_modules(presets.__path__))


def load_config(name_or_path: str) -> Config:
    """Loads a preset by name (`mask_rcnn_r50_fpn`) or a Python file that defines `get_config() -> Config`.

    Raises:
      ValueError: no such preset or file, or what `get_config` returns does not validate.
    """
    path = pathlib.Path(name_or_path)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"config is {name_or_path!r}; there is no such file.")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    elif name_or_path in preset_names():
        module = importlib.import_module(f"mask_rcnn_tf.configs.{name_or_path}")
    else:
        raise ValueError(
            f"config is {name_or_path!r}; allowed: a path to a .py file, or one of {', '.join(preset_names())}."
        )
    return copy.deepcopy(module.get_config()).validate()
