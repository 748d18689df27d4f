"""Mask R-CNN, ResNet-50-FPN with GroupNorm everywhere: trains without pretrained weights (arXiv:1811.08883).

    python tools/train.py --config mask_rcnn_r50_fpn_gn --model_dir runs/r50_gn \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

After Detectron2's `scratch_mask_rcnn_R_50_FPN_3x_gn`: 4 convolutions and 1 fully connected layer in the box head,
nothing frozen, 270k steps of 16 images. Not yet trained here.
"""

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """GroupNorm in backbone, pyramid, box head and mask head."""
    return c.Config(
        name="mask_rcnn_r50_fpn_gn",
        model=c.ModelConfig(
            preprocess=c.PreprocessConfig(std=(57.375, 57.12, 58.395)),
            backbone=c.BackboneConfig(stride_in_1x1=False, norm="group_norm", frozen_stages=0),
            fpn=c.FpnConfig(norm="group_norm"),
            box_head=c.BoxHeadConfig(num_convs=4, num_fcs=1, norm="group_norm"),
            mask_head=c.MaskHeadConfig(norm="group_norm"),
        ),
        train=c.TrainConfig(steps=270_000, decay_steps=(210_000, 250_000)),
    )
