"""Mask R-CNN, ResNet-50-FPN with GroupNorm, as Detectron2's model zoo has it: `Misc/mask_rcnn_R_50_FPN_3x_gn`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_dc5d9e.pkl --output r50_gn.keras

The zoo's val2017 box/mask AP: 42.6/38.6 (3x, from ImageNet's R-50-GN), 39.9/36.6 (`scratch_..._3x_gn`, nothing frozen).
Besides the norms: 4 convolutions and 1 fully connected layer in the box head, strides in the 3x3, standard deviation 1.
`scratch_mask_rcnn_R_50_FPN_9x_gn` (43.7/39.6) has other pixels: for it take `mask_rcnn_r50_fpn_gn`, with
`config.model.roi.sampling_ratio = 0`.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The R50 preset with GroupNorm in backbone, pyramid and heads."""
    config = detectron2_mask_rcnn_r50_fpn.get_config()
    config.name = "detectron2_mask_rcnn_r50_fpn_gn"
    model = config.model
    model.backbone.stride_in_1x1 = False
    model.backbone.norm = model.fpn.norm = model.box_head.norm = model.mask_head.norm = "group_norm"
    model.box_head.num_convs, model.box_head.num_fcs = 4, 1
    return config
