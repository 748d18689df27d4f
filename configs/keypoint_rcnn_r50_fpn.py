"""The paper's Table 4, row "Mask R-CNN, keypoint-only": keypoints of persons, ResNet-50-FPN.

    python tools/train.py --config keypoint_rcnn_r50_fpn --model_dir runs/keypoints \
        --config.data.train_annotations=annotations/person_keypoints_train2017.json \
        --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/person_keypoints_val2017.json --config.data.val_images=val2017

The paper's keypoint AP on test-dev: 62.7, and 63.1 with masks (`--config.model.mask_head.enabled=True`); not yet
reproduced here. Short sides of 640 to 800 pixels, 90k steps of 16 images, a tenth of the rate from 60k and 80k on.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config, person_keypoints


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` for persons, with the keypoint head in place of the mask head."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "keypoint_rcnn_r50_fpn"
    config.model.num_classes = 1
    config.model.mask_head.enabled, config.model.keypoint_head = False, person_keypoints()
    config.train.steps, config.train.decay_steps = 90_000, (60_000, 80_000)
    return config
