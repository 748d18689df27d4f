"""Fast R-CNN on stored proposals, ResNet-50-FPN: Detectron2's `fast_rcnn_R_50_FPN_1x`.

    python tools/write_proposals.py --model runs/rpn/model.keras --annotations annotations/instances_train2017.json \
        --images train2017 --output train.npz
    python tools/write_proposals.py --model runs/rpn/model.keras --annotations annotations/instances_val2017.json \
        --images val2017 --output val.npz
    python tools/train.py --config fast_rcnn_r50_fpn --model_dir runs/fast \
        --config.data.train_proposals=train.npz --config.data.val_proposals=val.npz \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The RPN is that of `rpn_r50_fpn`. Detectron2's box AP on val2017: 37.8; not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` without RPN and masks; 2000 proposals an image in training, 1000 after it."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "fast_rcnn_r50_fpn"
    config.model.rpn.enabled, config.model.mask_head.enabled = False, False
    config.model.rpn.post_nms_top_n_train = 2000
    return config
