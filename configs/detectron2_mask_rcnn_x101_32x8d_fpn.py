"""Mask R-CNN, ResNeXt-101-32x8d-FPN, as Detectron2's zoo has it: `mask_rcnn_X_101_32x8d_FPN_3x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_2d9806.pkl --output x101.keras

The zoo's val2017 box/mask AP: 44.3/39.5 (3x; there is no 1x); Faster R-CNN, the same without masks, 43.0. Besides the
backbone (32 groups of 8 channels), strides are in the 3x3, and pixels are divided by a standard deviation.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r101_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The R101 preset with grouped convolutions."""
    config = detectron2_mask_rcnn_r101_fpn.get_config()
    config.name = "detectron2_mask_rcnn_x101_32x8d_fpn"
    backbone = config.model.backbone
    backbone.groups, backbone.width_per_group, backbone.stride_in_1x1 = 32, 8, False
    config.model.preprocess.std = (57.375, 57.12, 58.395)
    return config
