"""Mask R-CNN, ResNet-101-DC5, as Detectron2's zoo has it: `mask_rcnn_R_101_DC5_3x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_0464b7.pkl --output r101_dc5.keras

The zoo's val2017 box/mask AP: 41.9/37.3 (3x). The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r50_dc5

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The R50 preset with 23 blocks in C4."""
    config = detectron2_mask_rcnn_r50_dc5.get_config()
    config.name = "detectron2_mask_rcnn_r101_dc5"
    config.model.backbone.stage_blocks = (3, 4, 23, 3)
    return config
