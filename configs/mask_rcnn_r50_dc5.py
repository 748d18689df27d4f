"""Mask R-CNN, ResNet-50 with a dilated C5: stride 16 with the weights of stride 32.

The command and the recipe are those of `mask_rcnn_r50_c5`, with this name. Not a row of the paper; Detectron2's zoo has
it as `mask_rcnn_R_50_DC5_3x` (`detectron2_mask_rcnn_r50_dc5`). Not trained here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_c5

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_c5` with C5 dilated."""
    config = mask_rcnn_r50_c5.get_config()
    config.name = "mask_rcnn_r50_dc5"
    config.model.backbone.c5_dilation = 2
    return config
