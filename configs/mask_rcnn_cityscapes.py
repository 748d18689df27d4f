"""Mask R-CNN, ResNet-50-FPN, on Cityscapes' instances: the paper's recipe of its Table 7, fine annotations only.

    python tools/convert_cityscapes.py --root cityscapes --split train --output runs/cityscapes_train.json
    python tools/convert_cityscapes.py --root cityscapes --split val --output runs/cityscapes_val.json
    python tools/train.py --config mask_rcnn_cityscapes --model_dir runs/cityscapes \
        --config.data.train_annotations=runs/cityscapes_train.json \
        --config.data.train_images=cityscapes/leftImg8bit/train \
        --config.data.val_annotations=runs/cityscapes_val.json --config.data.val_images=cityscapes/leftImg8bit/val \
        --config.train.init_from=imagenet.keras

The paper: ResNet-50-FPN from ImageNet, short sides of 800 to 1024 pixels in training and 1024 in inference, 8 images a
step, 24k steps at 0.01, a tenth of it from 18k on: AP 31.5 on val, by the benchmark's own measure (docs/cityscapes.md).
From a COCO model (`init_from` another .keras): 36.4. Neither is reproduced here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The R50-FPN preset with eight classes and large images, which are all 1024 x 2048."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_cityscapes"
    config.model.num_classes = 8
    config.model.preprocess.short_side, config.model.preprocess.max_side = 1024, 2048
    config.data.train_short_sides = (800, 832, 864, 896, 928, 960, 992, 1024)
    config.data.canvases = ((1024, 2048), (2048, 1024))
    config.train.batch_size = config.train.base_batch_size = 8
    config.train.learning_rate, config.train.steps, config.train.decay_steps = 0.01, 24_000, (18_000,)
    return config
