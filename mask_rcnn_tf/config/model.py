"""Sections of what a model is built from, without its heads on RoIs."""

import dataclasses

from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.config.heads import BoxHeadConfig, KeypointHeadConfig, MaskHeadConfig
from mask_rcnn_tf.config.limits import CELLS, LAYERS, ROWS, SIDE
from mask_rcnn_tf.fields import Section, field, section
from mask_rcnn_tf.pixels import MOST_CHANNELS, PixelKind
from mask_rcnn_tf.validation import NORMS


@dataclasses.dataclass
class PreprocessConfig(Section):
    """From an image to the network's input; part of the model, because weights depend on it.

    The defaults are those of Detectron2's R50/R101 models (`detectron2/config/defaults.py`): BGR, minus mean
    """

    short_side: int = field(800, above=0, at_most=SIDE)  # pixels after resizing
    max_side: int = field(1333, above=0, at_most=SIDE)  # the long side never exceeds this
    # "nearest": int(x + 0.5), Detectron2; "floor": torchvision
    size_rounding: str = field("nearest", one_of=("nearest", "floor"))
    antialias: bool = True  # Detectron2 (PIL) antialiases when it shrinks, torchvision does not
    # round the resized image to whole levels, as uint8 resizing does (Detectron2); of 8 bits alone
    round_resized: bool = True
    # of what the network reads; images are read as RGB
    channel_order: str = field("BGR", one_of=("RGB", "BGR"), weights="same")
    # of images: 3 is RGB, 1 grey, 4 RGB and alpha; any number of a .npy or TIFF, where channel_order must be "RGB"
    channels: int = field(3, above=0, at_most=MOST_CHANNELS, weights="same")
    # of a level, 8 or 16; with 8, levels of 16-bit images are cut, with 16 all of them are kept
    bits: int = field(8, one_of=(8, 16), weights="same")
    # levels are multiplied by this before mean and std; torchvision: 1 / 255
    pixel_scale: float = field(1.0, above=0, weights="same")
    # of each channel, in channel_order, after pixel_scale
    mean: tuple[float, ...] = field((103.53, 116.28, 123.675), weights="same")
    # in channel_order; what is left is divided by this
    std: tuple[float, ...] = field((1.0, 1.0, 1.0), above=0, weights="same")
    # canvases are multiples of this; a pyramid needs 32, and Detectron2's models without one have 1
    size_divisor: int = field(32, above=0, at_most=SIDE)
    # the level of 16-bit images that becomes 255, where bits is 8; 4095 for a camera of 12 bits
    white_level: int = field(65535, at_least=255, at_most=65535)

    @property
    def pixels(self) -> PixelKind:
        """What images are before all this."""
        return PixelKind(self.channels, self.bits, self.white_level)


@dataclasses.dataclass
class BackboneConfig(Section):
    """A ResNet. Depth comes from `stage_blocks`: (3, 4, 6, 3) is R50, (3, 4, 23, 3) is R101.

    Or a model of Keras, with random weights, of which `norm`, `out_levels` and `frozen_stages` are read besides.
    """

    # a model of keras.applications, such as "ConvNeXtTiny"; preprocess must be what it takes
    keras_application: str = field("", one_of=("", *APPLICATIONS), weights="same")
    # its layers that give out_levels; (): the last of each stride, where a stage ends
    keras_layers: tuple[str, ...] = field((), weights="same")
    block: str = field("bottleneck", one_of=("bottleneck", "basic"), weights="same")  # "basic": ResNet-18, -34
    # residual blocks of C2, C3, C4, C5
    stage_blocks: tuple[int, ...] = field((3, 4, 6, 3), length=4, above=0, at_most=LAYERS, weights="same")
    # inner width; a bottleneck puts out four times as many
    stage_channels: tuple[int, ...] = field((64, 128, 256, 512), length=4, above=0, weights="same")
    # of a bottleneck's 3x3, which has stage_channels * width_per_group / 64 * groups channels
    groups: int = field(1, above=0, weights="same")
    width_per_group: int = field(64, above=0, weights="same")  # ResNeXt-101 32x8d: 32 groups of 8
    stem_channels: int = field(64, above=0, weights="same")  # of the first convolution
    stem_kernel: int = field(7, above=0, odd=True, weights="same")  # side of the first convolution, which has stride 2
    # stride of a bottleneck on its first 1x1 (MSRA, Detectron2 R50/R101), else on the 3x3
    stride_in_1x1: bool = field(True, weights="same")
    # frozen_batch_norm keeps the statistics and scales that it is loaded with
    norm: str = field("frozen_batch_norm", one_of=NORMS, weights="norm")
    norm_epsilon: float = field(1e-5, at_least=0, weights="same")  # added to the variance
    # Keras's meaning: the share of the running statistics that stays
    norm_momentum: float = field(0.9, at_least=0, at_most=1)
    # what it gives, finest first, and where it ends
    out_levels: tuple[str, ...] = field(("C2", "C3", "C4", "C5"), some=True, one_of=("C2", "C3", "C4", "C5"))
    # of C5's 3x3; 2: C5 has stride 16, and sees as far as with 32, whose weights it starts from (Detectron2's DC5)
    c5_dilation: int = field(1, at_least=1, at_most=2)
    # blocks of a stage, such as "c4_4", which a non-local block follows (paper, Table 8: the last but one of C4)
    non_local_after: tuple[str, ...] = ()
    # 0: all trains; 1: the stem is frozen; 2: stem and C2; ... 5: the whole backbone. Of a model of Keras: all that
    # this level is computed from
    frozen_stages: int = field(2, at_least=0, at_most=5)


@dataclasses.dataclass
class FpnConfig(Section):
    """The feature pyramid: laterals, top-down sums, 3x3 outputs P2..P5, and P6 by a 1x1 max-pool of stride 2."""

    enabled: bool = True  # False: RPN and heads read the backbone's levels
    channels: int = field(256, above=0)  # of every level
    norm: str = field("none", one_of=NORMS, weights="norm")  # of laterals and outputs


@dataclasses.dataclass
class AnchorConfig(Section):
    """Anchors of the levels of the RPN."""

    # a tuple a level, pixels
    sizes: tuple[tuple[float, ...], ...] = field(((32.0,), (64.0,), (128.0,), (256.0,), (512.0,)), some=True, above=0)
    ratios: tuple[float, ...] = field((0.5, 1.0, 2.0), some=True, above=0)  # height / width
    rounded: bool = False  # torchvision rounds base anchors half to even
    # "level": 4..64 (Detectron2); "grid": canvas size // grid size (torchvision)
    stride_rule: str = field("level", one_of=("level", "grid"))


@dataclasses.dataclass
class RpnConfig(Section):
    """Region proposal network: head, targets, losses, proposals."""

    # False: heads on RoIs alone, trained and run on proposals that are stored (data.train_proposals, val_proposals)
    enabled: bool = True
    # names of the features it runs on, finest first
    levels: tuple[str, ...] = field(("P2", "P3", "P4", "P5", "P6"), some=True)
    num_convs: int = field(1, above=0, at_most=LAYERS)  # 3x3 convolutions before logits and deltas
    channels: int = field(256, above=0)  # of these convolutions
    pre_nms_top_n_train: int = field(2000, above=0, at_most=ROWS)  # a level
    pre_nms_top_n_test: int = field(1000, above=0, at_most=ROWS)  # the same, after training
    post_nms_top_n_train: int = field(1000, above=0, at_most=ROWS)  # an image
    post_nms_top_n_test: int = field(1000, above=0, at_most=ROWS)  # the same, after training
    # of two proposals that overlap more, the one of lower score is dropped
    nms_iou: float = field(0.7, at_least=0, at_most=1)
    # a proposal's sides must be positive and at least this, in pixels; torchvision: 1e-3
    min_size: float = field(0.0, at_least=0)
    # proposals are ordered by "logit" (Detectron2) or "sigmoid" (torchvision)
    ranking: str = field("logit", one_of=("logit", "sigmoid"))
    # anchors with this overlap or more are object, and so are the best of each object
    positive_iou: float = field(0.7, at_least=0, at_most=1)
    # anchors with less are background; those between do not count
    negative_iou: float = field(0.3, at_least=0, at_most=1)
    samples: int = field(256, above=0)  # anchors an image
    positive_fraction: float = field(0.5, at_least=0, at_most=1)  # of samples, at most
    # "batch": samples * B (Detectron2); "sampled": sampled anchors (torchvision)
    loss_normalizer: str = field("batch", one_of=("batch", "sampled"))
    loss_beta: float = field(0.0, at_least=0)  # of smooth L1; 0 is L1; torchvision: 1/9


@dataclasses.dataclass
class RoiConfig(Section):
    """Which RoIs the heads train on, and how features are pooled for them."""

    # names of the features RoIs are pooled from, finest first
    levels: tuple[str, ...] = field(("P2", "P3", "P4", "P5"), some=True)
    samples: int = field(512, above=0, at_most=ROWS)  # RoIs an image
    positive_fraction: float = field(0.25, at_least=0, at_most=1)  # of samples, at most
    # RoIs with this overlap or more are foreground, others background
    positive_iou: float = field(0.5, at_least=0, at_most=1)
    canonical_size: float = field(224.0, above=0)  # a box of this side is pooled from canonical_level
    canonical_level: int = field(4, at_least=0)  # 4 is P4; others double or halve the side
    # where the epsilon stands: "detectron2" or "torchvision"
    level_rule: str = field("detectron2", one_of=("detectron2", "torchvision"))
    # what runs on each pooled RoI before the heads: nothing, or the backbone's C5, which halves its sides (paper, C4)
    body: str = field("none", one_of=("none", "C5"))
    # RoIAlign; RoIWarp: its samples in RoIs rounded to whole feature pixels; RoIPool: whole pixels (paper, Table 2c)
    operator: str = field("align", one_of=("align", "warp", "pool"))
    reduction: str = field("average", one_of=("average", "max"))  # of a bin; "max" with "pool"
    aligned: bool = True  # half-pixel aligned RoIAlign (Detectron2's ROIAlignV2); torchvision: False
    sampling_ratio: int = field(2, at_least=0, at_most=CELLS)  # samples a bin and axis; 0: adaptive, ceil(roi / bin)
    max_sampling: int = field(
        8, above=0, at_most=CELLS
    )  # cap of the adaptive grid in the xla kernels, which need a constant


@dataclasses.dataclass
class DetectionConfig(Section):
    """From class scores and deltas to the final detections, and from mask probabilities to pasted masks."""

    score_threshold: float = field(0.05, at_least=0, at_most=1)  # detections of this score or less are dropped
    # of two boxes of a class that overlap more, the one of lower score is dropped
    nms_iou: float = field(0.5, at_least=0, at_most=1)
    max_detections: int = field(100, above=0, at_most=ROWS)  # D, an image
    min_size: float = field(0.0, at_least=0)  # torchvision: 1e-2
    # xla kernels only: (box, class) pairs an image that enter NMS, best first
    max_candidates: int = field(2000, above=0, at_most=ROWS)
    mask_threshold: float = field(0.5, at_least=0, at_most=1)  # probability from which a pixel belongs to the mask
    # "continuous": Detectron2; "integer": torchvision's grown and truncated box
    paste: str = field("continuous", one_of=("continuous", "integer"))


@dataclasses.dataclass
class ModelConfig(Section):
    """Everything `mask_rcnn_tf.MaskRCNN` is built from; saved inside the `.keras` file."""

    num_classes: int = field(80, above=0)  # C, without background
    class_names: tuple[str, ...] = ()  # () or C names, in the order of classes 1..C
    category_ids: tuple[int, ...] = ()  # () for 1..C, or the file's ids in the order of classes 1..C
    preprocess: PreprocessConfig = section(PreprocessConfig)
    backbone: BackboneConfig = section(BackboneConfig)
    fpn: FpnConfig = section(FpnConfig)
    anchors: AnchorConfig = section(AnchorConfig)
    rpn: RpnConfig = section(RpnConfig)
    roi: RoiConfig = section(RoiConfig)
    box_head: BoxHeadConfig = section(BoxHeadConfig)
    mask_head: MaskHeadConfig = section(MaskHeadConfig)
    keypoint_head: KeypointHeadConfig = section(KeypointHeadConfig)
    detection: DetectionConfig = section(DetectionConfig)
    # parts that do not train, by name: "backbone", "pyramid", "rpn_head", "roi_body", "box_head", ...; their batch
    # norms use running statistics. backbone.frozen_stages freezes a part of the backbone
    frozen: tuple[str, ...] = ()
    # a set of ops.kernels: "xla" for jit_compile; "onnx", "tensorrt", "tflite" for exports
    kernels: str = field("native", one_of=("native", "xla", "onnx", "tensorrt", "tflite"))
    # of convolutions and fully connected layers. "mixed_bfloat16" keeps the weights in float32; "auto" is that where
    # the hardware has it; "bfloat16" keeps the weights in it too and does not train (exports). Geometry and losses are
    # float32 in any case
    dtype: str = field("float32", one_of=("float32", "mixed_bfloat16", "bfloat16", "auto"))
    # "evenly": deterministic, in index order, to compare with another program
    sampler: str = field("random", one_of=("random", "evenly"))
    seed: int = field(0, at_least=0, below=2**62)  # of the random sampler

    @property
    def heads(self) -> tuple[BoxHeadConfig, MaskHeadConfig, KeypointHeadConfig]:
        """The sections of the heads on RoIs."""
        return self.box_head, self.mask_head, self.keypoint_head

    @property
    def has_classes(self) -> bool:
        """Whether the model tells classes apart; an RPN alone does not, and has one."""
        return self.box_head.enabled

    @property
    def has_masks(self) -> bool:
        """Whether the model predicts masks, and needs them to train."""
        return self.mask_head.enabled

    @property
    def has_keypoints(self) -> bool:
        """Whether the model predicts keypoints, and needs them to train."""
        return self.keypoint_head.enabled

    @property
    def masks_on_canvas(self) -> bool:
        """Whether `gt_masks` are bitmaps of the canvas, and not in the frame of their box."""
        return self.has_masks and self.mask_head.mask_frame == "canvas"

    @property
    def mask_size(self) -> int:
        """M, the side of predicted masks in the frame of their box."""
        return 2 * self.map_size(self.mask_head.pool_size)

    def map_size(self, pool_size: int) -> int:
        """The side of the map that a head reads, of RoIs pooled to `pool_size`: a body on RoIs halves it."""
        return -(-pool_size // 2) if self.roi.body == "C5" else pool_size

    @property
    def iou_types(self) -> tuple[str, ...]:
        """What the model is scored by, as pycocotools calls it; the recall of "proposals" for an RPN alone."""
        if not self.has_classes:
            return ("proposals",)
        return ("bbox", *("segm",) * self.has_masks, *("keypoints",) * self.has_keypoints)
