"""Mask R-CNN, ResNet-101-FPN, as Detectron2's zoo has it: `mask_rcnn_R_101_FPN_3x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_a3ec72.pkl --output r101.keras

The zoo's val2017 box/mask AP: 42.9/38.6 (3x; there is no 1x); Faster R-CNN, the same without masks, 42.0.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The R50 preset with 23 blocks in C4."""
    config = detectron2_mask_rcnn_r50_fpn.get_config()
    config.name = "detectron2_mask_rcnn_r101_fpn"
    config.model.backbone.stage_blocks = (3, 4, 23, 3)
    return config
