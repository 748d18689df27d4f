"""Mask R-CNN on EfficientNetV2-B0 (Tan and Le, arXiv:2104.00298) of `keras.applications`, with a pyramid.

    python tools/import_weights.py --from keras --checkpoint EfficientNetV2B0 \
        --config mask_rcnn_efficientnetv2_b0_fpn --output efficientnet.keras
    python tools/train.py --config mask_rcnn_efficientnetv2_b0_fpn --model_dir runs/efficientnet \
        --config.train.init_from=efficientnet.keras \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The first command downloads Keras's ImageNet weights; its batch norms keep their statistics. A quarter of ResNet-50's
weights. No published AP of this combination; not trained here.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` with another backbone and its pixels."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_efficientnetv2_b0_fpn"
    model = config.model
    model.backbone.keras_application, model.backbone.frozen_stages = "EfficientNetV2B0", 0
    model.preprocess.channel_order = "RGB"  # levels as they are: the network normalises them
    model.preprocess.mean, model.preprocess.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    return config
