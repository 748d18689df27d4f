"""Mask R-CNN, ResNet-50-FPN, as near as we come to the original Detectron: `e2e_mask_rcnn_R-50-FPN_1x`.

    python tools/import_weights.py --from detectron --checkpoint model_final.pkl --output r50.keras

Detectron's own minival box/mask AP: 37.7/33.9. A starting point for training: equal outputs are not claimed, because
Detectron counts the last pixel in a box's width, also in NMS, and rounds its anchors. What is
set here: BGR minus means of its own, unaligned RoIAlign with two samples, pixels resized as floats without
antialiasing, proposals ranked by probability, masks pasted into integer boxes, and smooth L1 (RPN 1/9, boxes 1).
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The defaults with what differs in Detectron (`detectron/core/config.py`), and its 1x schedule."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "detectron_mask_rcnn_r50_fpn"
    model, train = config.model, config.train
    model.preprocess.mean = (102.9801, 115.9465, 122.7717)
    model.preprocess.antialias = model.preprocess.round_resized = False
    model.rpn.ranking, model.rpn.loss_beta = "sigmoid", 1 / 9
    model.roi.aligned = False
    model.box_head.loss_beta = 1.0
    model.detection.paste = "integer"
    config.data.train_short_sides = (800,)
    train.warmup_steps, train.warmup_factor = 500, 1 / 3
    return config
