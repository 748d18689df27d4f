"""The paper's Table 2e, row "MLP": a mask head of fully connected layers in place of convolutions, ResNet-50-FPN.

    python tools/train.py --config mask_rcnn_r50_fpn_mlp --model_dir runs/r50_mlp \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

Two hidden layers of 1024; `--config.model.mask_head.num_fcs=3` is the row with three. The paper's mask AP: 31.5 with
either, 33.6 with convolutions (`mask_rcnn_r50_fpn`); not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` with an MLP as mask head."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_r50_fpn_mlp"
    config.model.mask_head.num_fcs = 2
    return config
