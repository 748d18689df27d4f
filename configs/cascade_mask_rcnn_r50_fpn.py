"""Cascade Mask R-CNN (Cai and Vasconcelos, arXiv:1906.09756), ResNet-50-FPN, by Detectron2's recipe.

    python tools/train.py --config cascade_mask_rcnn_r50_fpn --model_dir runs/cascade \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

Three box heads in a row, each on the boxes of the one before, foreground from an IoU of 0.5, 0.6 and 0.7; one box for
all classes. Detectron2's box/mask AP on val2017: 42.1/36.4 after 90k steps of 16 images (1x), 44.3/38.5 after 270k (3x:
steps=270000, decay_steps=(210000, 250000)), where Mask R-CNN has 38.6/35.2 and 41.0/37.2. Not yet reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` with the cascade, and 2000 proposals an image in training."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "cascade_mask_rcnn_r50_fpn"
    config.model.box_head.class_agnostic, config.model.box_head.cascade_ious = True, (0.6, 0.7)
    config.model.rpn.post_nms_top_n_train = 2000
    return config
