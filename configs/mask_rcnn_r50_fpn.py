"""Mask R-CNN, ResNet-50-FPN, Detectron2's conventions: the paper's Table 2a row R50-FPN with Detectron2's defaults.

    python tools/train.py --config mask_rcnn_r50_fpn --model_dir runs/r50 \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

Frozen batch norm needs ImageNet weights. Expected after the 90k-step schedule at 16 images a step (Detectron2's 1x):
box AP 38.6, mask AP 35.2 on val2017; not yet reproduced here.
"""

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """The defaults of every section."""
    return Config(name="mask_rcnn_r50_fpn")
