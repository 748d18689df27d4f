"""The paper's Table 2d, row RoIAlign: features of stride 32, ResNet-50-C5.

    python tools/train.py --config mask_rcnn_r50_c5 --model_dir runs/r50_c5 \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The paper's mask AP: 30.9; with `--config.model.roi.operator=pool --config.model.roi.reduction=max` 23.6; not yet
reproduced here. It does not say which heads are on C5: these are Detectron2's for `detectron2_mask_rcnn_r50_dc5`, two
fully connected layers and four convolutions. The recipe is that of `mask_rcnn_r50_c4`.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_c4

from mask_rcnn_tf.config import BoxHeadConfig, Config, MaskHeadConfig


def get_config() -> Config:
    """`mask_rcnn_r50_c4` with C5 in the backbone, and the heads of FPN."""
    config = mask_rcnn_r50_c4.get_config()
    config.name = "mask_rcnn_r50_c5"
    model = config.model
    model.backbone.out_levels, model.roi.body = ("C5",), "none"
    model.rpn.levels = model.roi.levels = ("C5",)
    model.rpn.channels = 2048
    model.box_head, model.mask_head = BoxHeadConfig(), MaskHeadConfig()
    return config
