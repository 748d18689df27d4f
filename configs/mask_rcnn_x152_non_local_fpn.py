"""The paper's Table 8, row with non-local blocks: ResNeXt-152, FPN, and one embedded Gaussian in C4.

The command is that of `mask_rcnn_r50_fpn`, with this name. The paper's mask and box AP, on top of the rows before it
(updated schedule, end to end, ImageNet-5k, scales at training, ResNeXt-152): 40.3/45.0; not yet reproduced here. Frozen
batch norm needs ImageNet weights, to which the block, new, adds nothing. It stands before the last block of C4, as
Wang et al. (arXiv:1711.07971, section 5.2) place it for Mask R-CNN.
"""

from mask_rcnn_tf.configs import mask_rcnn_x152_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_x152_fpn` with a non-local block."""
    config = mask_rcnn_x152_fpn.get_config()
    config.name = "mask_rcnn_x152_non_local_fpn"
    config.model.backbone.non_local_after = ("c4_34",)  # of c4_0 to c4_35
    return config
