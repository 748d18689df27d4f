"""Detectron2's Keypoint R-CNN, ResNet-50-FPN: `COCO-Keypoints/keypoint_rcnn_R_50_FPN_3x`, `_1x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_a6e10b.pkl --output person.keras

The zoo's val2017 AP of persons: boxes 55.4, keypoints 65.5 (3x); 53.6, 64.0 (1x). Inference is
that of `detectron2_mask_rcnn_r50_fpn` with one class; training differs: 1500 proposals an image, smooth L1 of beta 0.5.
"""

from mask_rcnn_tf.configs import detectron2_mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config, person_keypoints


def get_config() -> Config:
    """The R50 preset with the keypoint head in place of the mask head, for persons."""
    config = detectron2_mask_rcnn_r50_fpn.get_config()
    config.name = "detectron2_keypoint_rcnn_r50_fpn"
    model = config.model
    model.num_classes, model.mask_head.enabled = 1, False
    model.keypoint_head = person_keypoints()
    model.rpn.post_nms_top_n_train = 1500
    model.box_head.loss_beta = 0.5
    return config
