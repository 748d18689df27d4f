"""Mask R-CNN on ConvNeXt-Tiny (Liu et al., arXiv:2201.03545) of `keras.applications`, with a pyramid; Adam.

    python tools/import_weights.py --from keras --checkpoint ConvNeXtTiny --config mask_rcnn_convnext_tiny_fpn \
        --output convnext.keras
    python tools/train.py --config mask_rcnn_convnext_tiny_fpn --model_dir runs/convnext \
        --config.train.init_from=convnext.keras \
        --config.data.train_annotations=annotations/instances_train2017.json --config.data.train_images=train2017 \
        --config.data.val_annotations=annotations/instances_val2017.json --config.data.val_images=val2017

The first command downloads Keras's ImageNet weights. The paper's 3x schedule, with AdamW, decay by layer and stochastic
depth, gives box AP 46.2, mask AP 41.7 on val2017 (Table 3); not trained here, and without the last two.
"""

from mask_rcnn_tf.configs import mask_rcnn_r50_fpn

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    """`mask_rcnn_r50_fpn` with another backbone, its pixels and its optimizer."""
    config = mask_rcnn_r50_fpn.get_config()
    config.name = "mask_rcnn_convnext_tiny_fpn"
    model, train = config.model, config.train
    model.backbone.keras_application, model.backbone.frozen_stages = "ConvNeXtTiny", 0
    model.preprocess.channel_order = "RGB"  # levels as they are: the network normalises them
    model.preprocess.mean, model.preprocess.std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)
    train.optimizer, train.learning_rate, train.weight_decay = "adam", 1e-4, 0.05
    train.steps, train.decay_steps = 270_000, (202_500, 247_500)  # 36 epochs of 16 images a step; at 27 and 33
    return config
