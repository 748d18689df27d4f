"""Mask R-CNN on the stored proposals of an RPN that was trained by itself, ResNet-50-FPN.

The paper's section 3.1: "For convenient ablation, RPN is trained separately and does not share features with Mask
R-CNN, unless specified." The commands are those of `fast_rcnn_r50_fpn`, with this configuration in its place.
Table 2a's row R50-FPN, mask AP 33.6, was trained so; not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` without its RPN."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_r50_fpn_separate"
    config.model.rpn.enabled = False
    return config
