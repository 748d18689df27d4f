"""Mask R-CNN, ResNet-50-FPN, torchvision's conventions: `maskrcnn_resnet50_fpn` with its COCO_V1 weights.

For the weights that torchvision publishes (val2017 box/mask AP 37.9/34.6 there), not for training from scratch: its
batch norm is frozen, with epsilon 0.
"""

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """Everything that torchvision does and the defaults, Detectron2's, do not."""
    return c.Config(
        name="torchvision_mask_rcnn_r50_fpn",
        model=c.ModelConfig(
            num_classes=90,  # COCO's ids 1..90 are torchvision's classes, holes included
            preprocess=c.PreprocessConfig(
                size_rounding="floor",
                antialias=False,
                round_resized=False,
                channel_order="RGB",
                pixel_scale=1 / 255,
                mean=(0.485, 0.456, 0.406),
                std=(0.229, 0.224, 0.225),
            ),
            backbone=c.BackboneConfig(stride_in_1x1=False, norm_epsilon=0.0, frozen_stages=2),
            anchors=c.AnchorConfig(rounded=True, stride_rule="grid"),
            rpn=c.RpnConfig(
                post_nms_top_n_train=2000,
                min_size=1e-3,
                ranking="sigmoid",
                loss_normalizer="sampled",
                loss_beta=1 / 9,
            ),
            roi=c.RoiConfig(level_rule="torchvision", aligned=False),
            box_head=c.BoxHeadConfig(loss_beta=1 / 9),
            mask_head=c.MaskHeadConfig(mask_frame="canvas"),
            detection=c.DetectionConfig(min_size=1e-2, paste="integer"),
        ),
    )
