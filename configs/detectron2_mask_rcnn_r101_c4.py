"""Mask R-CNN, ResNet-101-C4, as Detectron2's zoo has it: `mask_rcnn_R_101_C4_3x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_a2914c.pkl --output r101_c4.keras

The zoo's val2017 box/mask AP: 42.6/36.7 (3x). The weights are CC BY-SA 3.0.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r50_c4

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The R50 preset with 23 blocks in C4."""
    config = detectron2_mask_rcnn_r50_c4.get_config()
    config.name = "detectron2_mask_rcnn_r101_c4"
    config.model.backbone.stage_blocks = (3, 4, 23, 3)
    return config
