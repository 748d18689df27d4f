"""Mask R-CNN, ResNet-50-FPN, Detectron2's conventions, on the ImageNet weights of `keras.applications.ResNet50`.

    python tools/import_weights.py --from keras --checkpoint resnet50 --output resnet50.keras
    python tools/train.py --config keras_mask_rcnn_r50_fpn --model_dir runs/r50 \
        --config.train.init_from=resnet50.keras \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

For ResNet-101 import `resnet101` and add `--config.model.backbone.stage_blocks='(3, 4, 23, 3)'`. Expected after the
90k-step schedule at 16 images a step: about that of `mask_rcnn_r50_fpn`, whose weights are the same network's; not
trained here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """R50-FPN with the preprocessing and the epsilon that Keras's weights were trained with."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "keras_mask_rcnn_r50_fpn"
    config.model.preprocess.mean = (103.939, 116.779, 123.68)
    config.model.backbone.norm_epsilon = 1.001e-5
    return config
