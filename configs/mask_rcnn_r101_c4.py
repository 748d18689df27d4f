"""The paper's Table 2a, row ResNet-101-C4.

The command and the recipe are those of `mask_rcnn_r50_c4`, with this name. The paper's mask AP: 32.7; not yet
reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_c4

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_c4` with 23 blocks in C4."""
    config = mask_rcnn_r50_c4.get_config()
    config.name = "mask_rcnn_r101_c4"
    config.model.backbone.stage_blocks = (3, 4, 23, 3)
    return config
