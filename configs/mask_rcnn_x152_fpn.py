"""The paper's Table 8, row ResNeXt-152: 32 groups of 8 channels, FPN.

The command is that of `mask_rcnn_r50_fpn`, with this name. The paper's mask and box AP, on top of the rows before it
(updated schedule, end to end, ImageNet-5k, scales at training): 39.7/44.5; not yet reproduced here. Frozen batch norm
needs ImageNet weights.
"""

from mask_rcnn_tf.configs import mask_rcnn_r101_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r101_fpn` with 152 layers and grouped convolutions, and strides in the 3x3."""
    config = mask_rcnn_r101_fpn.get_config()
    config.name = "mask_rcnn_x152_fpn"
    backbone = config.model.backbone
    backbone.stage_blocks = (3, 8, 36, 3)
    backbone.groups, backbone.width_per_group, backbone.stride_in_1x1 = 32, 8, False
    return config
