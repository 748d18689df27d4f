"""The paper's Table 2a, row ResNeXt-101-FPN: 64 groups of 4 channels.

The command is that of `mask_rcnn_r50_fpn`, with this name; the paper's recipe: 160k steps, a tenth of the learning rate
from 120k on. Its mask AP: 36.7 (box 39.6, Table 8); not yet reproduced here. Groups of 32x8d are Detectron2's:
`detectron2_mask_rcnn_x101_32x8d_fpn`. Frozen batch norm needs ImageNet weights.
"""

from mask_rcnn_tf.configs import mask_rcnn_r101_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r101_fpn` with grouped convolutions, and strides in the 3x3."""
    config = mask_rcnn_r101_fpn.get_config()
    config.name = "mask_rcnn_x101_64x4d_fpn"
    backbone = config.model.backbone
    backbone.groups, backbone.width_per_group, backbone.stride_in_1x1 = 64, 4, False
    config.train.steps, config.train.decay_steps = 160_000, (120_000,)
    return config
