"""The paper's Table 3, row "Faster R-CNN, RoIAlign": boxes alone, ResNet-101-FPN.

    python tools/train.py --config faster_rcnn_r101_fpn --model_dir runs/faster \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The paper's box AP on test-dev: 37.3, and 38.2 for the boxes of Mask R-CNN (`mask_rcnn_r101_fpn`); not yet reproduced
here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r101_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r101_fpn` without the mask head."""
    config = mask_rcnn_r101_fpn.get_config()
    config.name = "faster_rcnn_r101_fpn"
    config.model.mask_head.enabled = False
    return config
