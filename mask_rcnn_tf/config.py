"""Dataclasses of one experiment: the model, its data, its training and its scoring.

Everything is plain, mutable and typed, so that `ml_collections.config_flags` can override any leaf from the command
line (`--config.train.learning_rate=0.01`). Models and tools copy the configuration and call `Config.validate` once.
"""

import copy
import dataclasses
import importlib
import importlib.util
import pathlib
import pkgutil
import typing
from typing import Any

from mask_rcnn_tf.validation import validate_data, validate_model, validate_train


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
    groups: int = 1  # of a bottleneck's 3x3, which has stage_channels * width_per_group / 64 * groups channels
    width_per_group: int = 64  # ResNeXt-101 32x8d: 32 groups of 8
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
    """Anchors of the levels of the RPN."""

    sizes: tuple[tuple[float, ...], ...] = ((32.0,), (64.0,), (128.0,), (256.0,), (512.0,))  # a tuple a level, pixels
    ratios: tuple[float, ...] = (0.5, 1.0, 2.0)  # height / width
    rounded: bool = False  # torchvision rounds base anchors half to even
    stride_rule: str = "level"  # "level": 4..64 (Detectron2); "grid": canvas size // grid size (torchvision)


@dataclasses.dataclass
class RpnConfig:
    """Region proposal network: head, targets, losses, proposals."""

    levels: tuple[str, ...] = ("P2", "P3", "P4", "P5", "P6")  # names of the features it runs on, finest first
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

    levels: tuple[str, ...] = ("P2", "P3", "P4", "P5")  # names of the features RoIs are pooled from, finest first
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
    kernels: str = "native"  # a set of ops.kernels: "xla" for jit_compile; "onnx", "tensorrt", "tflite" for exports
    # Or "mixed_bfloat16", or "auto": that where the hardware has it; or "bfloat16", which keeps the weights in it too
    # and does not train (exports). Geometry and losses are float32 in any case.
    dtype: str = "float32"
    sampler: str = "random"  # "evenly": deterministic, in index order, to compare with another program
    seed: int = 0  # of the random sampler

    @property
    def has_masks(self) -> bool:
        """Whether the model predicts masks, and needs them to train."""
        return self.mask_head.enabled

    @property
    def mask_size(self) -> int:
        """M, the side of predicted masks in the frame of their box."""
        return 2 * self.mask_head.pool_size

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What the model is scored by, as pycocotools calls it."""
        return ("bbox", "segm") if self.has_masks else ("bbox",)


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
    init_from: str = ""  # .keras file whose weights the run starts from; "": random weights


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
        validate_data(self.data)
        validate_train(self.train)
        return self


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
            built[name] = _checked(_restore(value), kind, f"{path}.{name}")
    return cls(**built)


def _restore(value: Any) -> Any:
    return tuple(_restore(item) for item in value) if isinstance(value, (list, tuple)) else value


def _checked(value: Any, kind: Any, name: str) -> Any:
    """The value, if it is of the annotated type; a whole number is a float too, a bool is no number."""
    allowed = (int, float) if kind is float else typing.get_origin(kind) or kind
    if not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{name} is {value!r}; allowed: a value of type {getattr(kind, '__name__', kind)}.")
    return value


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
