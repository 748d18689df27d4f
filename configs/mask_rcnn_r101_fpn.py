"""Mask R-CNN, ResNet-101-FPN, Detectron2's conventions: the paper's Table 2a row R101-FPN with Detectron2's defaults.

The command is that of `mask_rcnn_r50_fpn`, with this name. Frozen batch norm needs ImageNet weights. Not yet trained
here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """R50-FPN with 23 blocks in C4."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_r101_fpn"
    config.model.backbone.stage_blocks = (3, 4, 23, 3)
    return config
