"""matterport's Mask R-CNN: `mask_rcnn_coco.h5`, and what people fine-tuned from it; a starting point for training.

Every weight is mapped so that each part computes what theirs does on the same input. The whole does not, and equal
detections are not claimed:
- the stem's max-pool is TensorFlow's "SAME", which pads below and right only; ours pads on both sides;
- RoIs are pooled by `tf.image.crop_and_resize`, one sample a bin from edge to edge of the box, not by RoIAlign;
- anchors and boxes are normalised by (side - 1), a little off from pixels;
- images are letterboxed into a square of 1024 pixels, whose padding takes part; ours stops at the image;
- proposals are cut at 6000 and suppressed over all levels together, and a box is detected as its best class alone.

Source: https://github.com/matterport/Mask_RCNN, `mrcnn/model.py`, `mrcnn/utils.py` (generate_anchors),
`mrcnn/config.py`.
"""

import operator

import keras
import numpy as np

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.mapping import Entry, Source, Tensors, count_classes
from mask_rcnn_tf.weights.projects import keras_layouts as layouts
from mask_rcnn_tf.weights.projects.coco_categories import COCO_NAMES, set_coco_classes
from mask_rcnn_tf.weights.projects.project import Project

IGNORED = ((r"anchors/.*", "the anchors of one image size, which later forks keep as a weight; ours are computed"),)
RPN_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2], np.float32)  # their RPN's deltas are multiplied by it, ours by 1
NEEDED = {  # what `matterport_mask_rcnn_r101_fpn` has, and a configuration given instead of it must have
    "fpn.enabled": True,
    "fpn.norm": "none",
    "rpn.num_convs": 1,
    "box_head.num_convs": 0,
    "box_head.num_fcs": 2,
    "box_head.class_agnostic": False,
    "mask_head.enabled": True,
    "mask_head.num_convs": 4,
    "mask_head.norm": "none",
}


def make_config(tensors: Tensors) -> Config:
    """The preset for this checkpoint, at its depth and with its number of classes.

    Args:
      tensors: arrays by name.

    Raises:
      CheckpointError: the names are not matterport's.
    """
    config = load_config("matterport_mask_rcnn_r101_fpn")
    config.model.backbone.stage_blocks = layouts.stage_blocks(tensors, layouts.CAFFE_BLOCK)
    config.model.num_classes = count_classes(tensors, "mrcnn_class_logits/bias")
    if config.model.num_classes == len(COCO_NAMES):
        set_coco_classes(config.model)
    return config


def make_entries(model: MaskRCNN, tensors: Tensors) -> list[Entry]:
    """One entry for every variable of a `MaskRCNN`.

    Args:
      model: `MaskRCNN`.
      tensors: arrays by name; all checkpoints have the same, so that they are not read.

    Raises:
      CheckpointError: the model's configuration has parts that the checkpoint has no weights for.
    """
    for name, needed in NEEDED.items():
        came = operator.attrgetter(name)(model.config)
        if came != needed:
            raise CheckpointError(f"config.model.{name} is {came!r}; allowed: {needed!r}, as the checkpoint has.")
    return [
        *layouts.resnet(model, layouts.caffe_names),
        *_pyramid(model.pyramid),
        *_rpn(model.rpn_head),
        *_box_head(model.box_head, model.config.box_head.pool_size),
        *_mask_head(model.mask_head),
    ]


def _pyramid(pyramid: keras.layers.Layer) -> list[Entry]:
    entries = []
    for level, lateral, output in zip(range(2, 6), pyramid.laterals, pyramid.outputs_, strict=True):
        entries += layouts.conv(f"fpn_c{level}p{level}", lateral) + layouts.conv(f"fpn_p{level}", output)
    return entries


def _rpn(head: keras.layers.Layer) -> list[Entry]:
    """Anchors in reverse, because their ratios are width / height; two logits, (background, object), become one."""
    anchors, channels = head.num_anchors, head.channels

    def to_logits(a: np.ndarray) -> np.ndarray:
        a = a.reshape(*a.shape[:-1], anchors, 2)[..., ::-1, :]
        return a[..., 1] - a[..., 0]

    def to_deltas(a: np.ndarray) -> np.ndarray:
        return (a.reshape(*a.shape[:-1], anchors, 4)[..., ::-1, :] * RPN_STD_DEV).reshape(a.shape)

    entries = layouts.conv("rpn_conv_shared", head.convs[0])
    for name, layer, columns, to_ours in (
        ("rpn_class_raw", head.objectness, 2 * anchors, to_logits),
        ("rpn_bbox_pred", head.deltas, 4 * anchors, to_deltas),
    ):
        entries.append(Entry(layer.kernel, (Source(f"{name}/kernel", (1, 1, channels, columns)),), to_ours))
        entries.append(Entry(layer.bias, (Source(f"{name}/bias", (columns,)),), to_ours))
    return entries


def _box_head(head: keras.layers.Layer, side: int) -> list[Entry]:
    """Two convolutions, the first as large as the pooled map, are our fully connected layers."""
    units, channels = head.fcs[0].kernel.shape
    shape = (side, side, units // side**2, channels)
    entries = layouts.folded("mrcnn_class_conv1", "mrcnn_class_bn1", head.fcs[0], shape, layouts.CAFFE_EPSILON)
    shape = (1, 1, channels, channels)
    entries += layouts.folded("mrcnn_class_conv2", "mrcnn_class_bn2", head.fcs[1], shape, layouts.CAFFE_EPSILON)
    columns = head.deltas.kernel.shape[1] + 4

    def to_deltas(a: np.ndarray) -> np.ndarray:
        return a[..., 4:]  # background's, which nobody reads, come first

    return [
        *entries,
        *layouts.conv("mrcnn_class_logits", head.classes),
        Entry(head.deltas.kernel, (Source("mrcnn_bbox_fc/kernel", (channels, columns)),), to_deltas),
        Entry(head.deltas.bias, (Source("mrcnn_bbox_fc/bias", (columns,)),), to_deltas),
    ]


def _mask_head(head: keras.layers.Layer) -> list[Entry]:
    entries = []
    for i, layer in enumerate(head.convs, start=1):
        names = f"mrcnn_mask_conv{i}", f"mrcnn_mask_bn{i}"
        entries += layouts.folded(*names, layer, tuple(layer.kernel.shape), layouts.CAFFE_EPSILON)
    inputs, outputs = head.deconv.kernel.shape[2], head.deconv.filters
    classes, channels = head.kernel.shape
    return [
        *entries,
        Entry(
            head.deconv.kernel,
            (Source("mrcnn_mask_deconv/kernel", (2, 2, outputs, inputs)),),
            lambda a: a.transpose(3, 0, 1, 2).reshape(1, 1, inputs, 4 * outputs),
        ),
        layouts.vector("mrcnn_mask_deconv/bias", head.deconv.bias),
        Entry(
            head.kernel,
            (Source("mrcnn_mask/kernel", (1, 1, channels, classes + 1)),),
            lambda a: a[0, 0, :, 1:].T,
        ),
        Entry(head.bias, (Source("mrcnn_mask/bias", (classes + 1,)),), lambda a: a[1:]),
    ]


PROJECT = Project(IGNORED, make_config, make_entries)
