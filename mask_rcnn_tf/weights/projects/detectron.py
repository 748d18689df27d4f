"""The original Detectron's model zoo: Mask, Faster and Keypoint R-CNN with ResNet- or ResNeXt-FPN.

Equal outputs are not claimed. Detectron counts a box's last pixel in its width (x2 - x1 + 1), in decoding, clipping and
NMS, and pools from x1 to x2, a pixel less than we do; its anchors are whole multiples of the stride (48 x 24 where ours
are 45.3 x 22.6), which no sizes and ratios describe. That its anchors stand on the centres of cells and ours on their
corners is made up for exactly, in the bias of the RPN's deltas (`_recentre`).

Source: `detectron/modeling/{generate_anchors,ResNet,FPN}.py`, `detectron/utils/boxes.py`;
`detectron2/docs/notes/compatibility.md`.
"""

import dataclasses

import numpy as np

from mask_rcnn_tf.config import AnchorConfig, Config
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Tensors
from mask_rcnn_tf.weights.projects import caffe2_names, detectron2
from mask_rcnn_tf.weights.projects import detectron2_layers as layers
from mask_rcnn_tf.weights.projects.project import Project

IGNORED = detectron2.IGNORED
UNSUPPORTED = (
    (r"retnet_.*", "a RetinaNet"),
    (r"conv_rpn_[wb]", "a C4 model (no feature pyramid)"),
    (r"_\[mask\]_res5_.*", "a C4 model (a mask head of its own C5)"),
)
STRIDE = 4  # of P2


def prepare(tensors: Tensors) -> Tensors:
    """The tensors under Detectron2's names, with rows and order as Detectron has them.

    Args:
      tensors: arrays by name.

    Returns:
      The same arrays; reports and errors say Detectron2's names.

    Raises:
      CheckpointError: it is not Detectron's.
    """
    if "conv1_w" not in tensors:
        raise CheckpointError(
            "The checkpoint has no 'conv1_w', with which every one of Detectron begins; one of Detectron2 is read as "
            "'detectron2'."
        )
    return caffe2_names.rename(tensors)


def make_config(tensors: Tensors) -> Config:
    """`detectron_mask_rcnn_r50_fpn` with dimensions, norms and classes as the tensors have them.

    Args:
      tensors: arrays by name, of `prepare`.

    Raises:
      CheckpointError: an architecture that this version does not build, or tensors are missing that every one has.
    """
    detectron2.refuse(tensors, UNSUPPORTED)
    config = load_config("detectron_mask_rcnn_r50_fpn")
    model = config.model
    layers.read_backbone(tensors, layers.BOTTOM_UP, model.backbone)
    norm = layers.norm_kind(tensors, f"{layers.BOTTOM_UP}stem.conv1")
    if norm == "group_norm":
        model.backbone.norm = norm
    model.backbone.stride_in_1x1 = model.backbone.groups == 1 and norm != "group_norm"
    if detectron2.is_detector(tensors):
        detectron2.check_parts(tensors)
        detectron2.read_detector(tensors, model, layers.DETECTRON)
    return config


def make_entries(model: MaskRCNN, tensors: Tensors) -> list[Entry]:
    """One entry for each variable that the checkpoint sets.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name, of `prepare`.
    """
    entries = layers.backbone_entries(model, layers.BOTTOM_UP, tensors)
    if not detectron2.is_detector(tensors):
        return entries
    shift = _half_cells(model.config.anchors)
    heads = layers.head_entries(model, tensors, layers.DETECTRON)
    return entries + [
        _recentre(entry, shift) if entry.variable is model.rpn_head.deltas.bias else entry for entry in heads
    ]


def _half_cells(anchors: AnchorConfig) -> np.ndarray:
    """(dy, dx, 0, 0) of each anchor, flat: half a stride over its sides, on every level as on P2 if sizes double."""
    sides = np.array([(size * ratio**0.5, size / ratio**0.5) for ratio in anchors.ratios for size in anchors.sizes[0]])
    return np.concatenate([STRIDE / 2 / sides, np.zeros_like(sides)], 1).ravel()


def _recentre(entry: Entry, shift: np.ndarray) -> Entry:
    """The deltas' bias, for anchors that stand half a cell further up and left than those it was trained for."""
    return dataclasses.replace(
        entry, to_ours=lambda a: entry.to_ours(a) + shift, to_theirs=lambda a: entry.to_theirs(a - shift)
    )


PROJECT = Project(IGNORED, make_config, make_entries, prepare)
