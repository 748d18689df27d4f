"""Sections of the heads on RoIs."""

import dataclasses

from mask_rcnn_tf.config.limits import CELLS, LAYERS, PARTS, STAGES
from mask_rcnn_tf.fields import Section, field
from mask_rcnn_tf.validation import NORMS


@dataclasses.dataclass
class BoxHeadConfig(Section):
    """Convolutions, then fully connected layers, then class logits and box deltas; a cascade has several of these."""

    # False: an RPN alone, whose proposals are the detections: of one class, as many as detection.max_detections
    enabled: bool = True
    pool_size: int = field(7, above=0, at_most=CELLS)  # side of a pooled RoI, cells
    num_convs: int = field(0, at_least=0, at_most=LAYERS)  # 3x3 convolutions
    conv_channels: int = field(256, above=0)  # of these convolutions
    num_fcs: int = field(2, at_least=0, at_most=LAYERS)  # fully connected layers behind them
    fc_channels: int = field(1024, above=0)  # of these layers
    average: bool = False  # the layers behind the convolutions read the mean of the map, not its cells (C4 models)
    norm: str = field("none", one_of=NORMS, weights="norm")  # of the convolutions
    # (dy, dx, dh, dw)
    delta_weights: tuple[float, ...] = field((10.0, 10.0, 5.0, 5.0), length=4, above=0, weights="same")
    loss_beta: float = field(0.0, at_least=0)  # of smooth L1; 0 is L1
    class_agnostic: bool = False  # one box for all classes (Detectron2's CLS_AGNOSTIC_BBOX_REG)
    # Cascade R-CNN: the IoU from which a box of the stage before is foreground, for each stage after the first, whose
    # IoU is roi.positive_iou; (): no cascade. Detectron2's: (0.6, 0.7)
    cascade_ious: tuple[float, ...] = field((), at_least=0, at_most=1, most=STAGES)
    # delta_weights of each stage after the first
    cascade_delta_weights: tuple[tuple[float, ...], ...] = field(
        ((20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0)), above=0, most=STAGES, weights="same"
    )

    @property
    def stage_delta_weights(self) -> tuple[tuple[float, ...], ...]:
        """(dy, dx, dh, dw) of every stage; one without a cascade."""
        return (self.delta_weights, *self.cascade_delta_weights[: len(self.cascade_ious)])


@dataclasses.dataclass
class MaskHeadConfig(Section):
    """Convolutions, a 2x2 deconvolution of stride 2, one mask a class; or fully connected layers. M = 2 * pool_size."""

    enabled: bool = True  # False: boxes alone
    pool_size: int = field(14, above=0, at_most=CELLS)  # side of a pooled RoI, cells
    num_convs: int = field(4, at_least=0, at_most=LAYERS)  # 3x3 convolutions
    channels: int = field(256, above=0)  # of these and of the deconvolution
    norm: str = field("none", one_of=NORMS, weights="norm")  # of the convolutions
    # 0: a fully convolutional head; else an MLP of so many hidden layers in its place (paper, Table 2e: 2 and 3)
    num_fcs: int = field(0, at_least=0, at_most=LAYERS)
    fc_channels: int = field(1024, above=0)  # of the hidden layers of an MLP
    class_agnostic: bool = False  # one mask for all classes (paper, section 4.1: 29.7 AP for 30.3)
    # "sigmoid": masks of different classes do not compete; "softmax" over classes and background (paper, Table 2b)
    activation: str = field("sigmoid", one_of=("sigmoid", "softmax"))
    # frame of gt_masks. "box": binary targets; "canvas": torchvision's soft targets
    mask_frame: str = field("box", one_of=("box", "canvas"))


@dataclasses.dataclass
class KeypointHeadConfig(Section):
    """Convolutions, a 4x4 deconvolution of stride 2 to J heat maps, bilinear doubling: 4 * pool_size cells a side."""

    enabled: bool = False  # True: keypoints too, or beside boxes alone
    num_keypoints: int = field(17, above=0, at_most=PARTS)  # J, of each object
    pool_size: int = field(14, above=0, at_most=CELLS)  # side of a pooled RoI, cells
    num_convs: int = field(8, at_least=0, at_most=LAYERS)  # 3x3 convolutions
    channels: int = field(512, above=0)  # of these convolutions
    # kernels of constant shapes only: pixels of a box's side that are looked at first, then those around the best
    decode_grid: int = field(256, above=0, at_most=2**11)
    names: tuple[str, ...] = ()  # () or J names
    skeleton: tuple[tuple[int, int], ...] = field((), at_least=0)  # pairs of keypoints, from 0, joined in pictures
    # pairs of keypoints, from 0, that change places when an image is mirrored
    flip_pairs: tuple[tuple[int, int], ...] = field((), at_least=0)
    sigmas: tuple[float, ...] = field((), above=0)  # of OKS, one a keypoint; (): COCO's, for 17
