"""Mask R-CNN, ResNet-50-FPN, torchvision's `maskrcnn_resnet50_fpn_v2` with its COCO_V1 weights.

    python tools/import_weights.py --from torchvision --checkpoint maskrcnn_resnet50_fpn_v2_coco-73cbd019.pth \
        --output v2.keras

torchvision's val2017 box/mask AP: 47.4/41.8. Not v1 with better weights: two convolutions in the RPN, four and one
fully connected layer in the box head, batch norm that trains everywhere (arXiv:2111.11429), epsilon 1e-5.
"""

from mask_rcnn_tf.configs import torchvision_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """torchvision's v1 with the heads and norms of v2."""
    config = torchvision_mask_rcnn_r50_fpn.get_config()
    config.name = "torchvision_mask_rcnn_r50_fpn_v2"
    model = config.model
    model.backbone.norm, model.backbone.norm_epsilon = "batch_norm", 1e-5
    model.fpn.norm = "batch_norm"
    model.rpn.num_convs = 2
    model.box_head.num_convs, model.box_head.num_fcs, model.box_head.norm = 4, 1, "batch_norm"
    model.mask_head.norm = "batch_norm"
    return config
