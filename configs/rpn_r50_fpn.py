"""A region proposal network alone, ResNet-50-FPN: Detectron2's `rpn_R_50_FPN_1x`.

    python tools/train.py --config rpn_r50_fpn --model_dir runs/rpn \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

Detectron2's average recall of 1000 proposals on val2017 after 90k steps of 16 images: 58.0; not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` without heads on RoIs, scored by the recall of 100 and 1000 proposals."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "rpn_r50_fpn"
    model = config.model
    model.num_classes, model.box_head.enabled, model.mask_head.enabled = 1, False, False
    model.rpn.post_nms_top_n_test = model.detection.max_detections = 2000
    model.detection.score_threshold, config.eval.max_dets = 0.0, (100, 1000)
    return config
