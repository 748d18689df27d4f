"""The paper's Table 2a, row ResNet-50-C4: heads on C4, whose RoIs C5 reads before the boxes and masks.

    python tools/train.py --config mask_rcnn_r50_c4 --model_dir runs/r50_c4 \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The paper's recipe: 16 images a step, 64 RoIs an image, 160k steps at 0.02, a tenth from 120k on; 300 proposals at test;
15 anchors a cell. Its mask AP: 30.3; not yet reproduced here. Frozen batch norm needs ImageNet weights.
The rows of Tables 2b and 2c: `--config.model.mask_head.activation=softmax` (24.8); `--config.model.roi.operator=pool
--config.model.roi.reduction=max` (26.9); `--config.model.roi.operator=warp` (27.1). Masks for all classes alike,
`--config.model.mask_head.class_agnostic=True`: 29.7.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config

SIZES = (32.0, 64.0, 128.0, 256.0, 512.0)  # of the anchors, all on one level


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` without a pyramid: RPN and RoIs on C4, C5 on RoIs of 14 x 14."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_r50_c4"
    model = config.model
    model.fpn.enabled, model.backbone.out_levels, model.roi.body = False, ("C4",), "C5"
    model.rpn.levels = model.roi.levels = ("C4",)
    model.anchors.sizes, model.rpn.channels = (SIZES,), 1024
    model.preprocess.size_divisor = 1
    model.box_head.pool_size, model.box_head.num_fcs, model.box_head.average = 14, 0, True
    model.mask_head.num_convs = 0
    model.rpn.pre_nms_top_n_train, model.rpn.post_nms_top_n_train = 12_000, 2000
    model.rpn.pre_nms_top_n_test, model.rpn.post_nms_top_n_test = 6000, 300
    model.roi.samples = 64
    config.train.steps, config.train.decay_steps = 160_000, (120_000,)
    return config
