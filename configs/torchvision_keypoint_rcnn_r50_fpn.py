"""torchvision's `keypointrcnn_resnet50_fpn` with its COCO_V1 weights: one class, person.

    python tools/import_weights.py --from torchvision --checkpoint keypointrcnn_resnet50_fpn_coco-fc266e95.pth \
        --output person.keras

torchvision's val2017 AP of persons: boxes 54.6, keypoints 65.0.
"""

from mask_rcnn_tf.configs import torchvision_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config, person_keypoints


def get_config() -> Config:
    """torchvision's model with the keypoint head in place of the mask head, for persons."""
    config = torchvision_mask_rcnn_r50_fpn.get_config()
    config.name = "torchvision_keypoint_rcnn_r50_fpn"
    config.model.num_classes = 1
    config.model.mask_head.enabled, config.model.keypoint_head = False, person_keypoints()
    return config
