"""A region proposal network alone on ResNet-50's C4: Detectron2's `rpn_R_50_C4_1x`.

    python tools/import_weights.py --from detectron2 --checkpoint model_final_450694.pkl --output rpn_c4.keras

Detectron2's average recall of 1000 proposals on val2017: 51.6; not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_c4

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_c4` without heads on RoIs and C5, scored by the recall of 100 and 1000 proposals."""
    config = mask_rcnn_r50_c4.get_config()
    config.name = "rpn_r50_c4"
    model = config.model
    model.num_classes, model.box_head.enabled, model.mask_head.enabled = 1, False, False
    model.roi.body, model.rpn.pre_nms_top_n_test = "none", 12000
    model.rpn.post_nms_top_n_test = model.detection.max_detections = 2000
    model.detection.score_threshold, config.eval.max_dets = 0.0, (100, 1000)
    config.train.steps, config.train.decay_steps = 90_000, (60_000, 80_000)
    return config
