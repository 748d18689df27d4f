"""The boxes of torchvision's `keypointrcnn_resnet50_fpn` with its COCO_V1 weights: one class, person.

    python tools/import_weights.py --from torchvision --checkpoint keypointrcnn_resnet50_fpn_coco-fc266e95.pth \
        --output person.keras

torchvision's val2017 box AP (person): 54.6. The keypoint head is not built here yet.
"""

from mask_rcnn_tf.configs import torchvision_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """torchvision's Mask R-CNN without the mask head, for persons."""
    config = torchvision_mask_rcnn_r50_fpn.get_config()
    config.name = "torchvision_keypoint_rcnn_r50_fpn"
    config.model.num_classes = 1
    config.model.mask_head.enabled = False
    return config
