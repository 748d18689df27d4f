"""A small model trained for a minute: what rounding to 8 or 16 bits leaves alone, unlike a model of random weights."""

import keras

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.data import pipeline

SIDE = 96


def trained_model(data_dir, steps=400, change=lambda model: None):
    """The preset of `make demo`, narrow and on scenes at half size, after some hundred steps.

    Args:
      data_dir: where the scenes are cached.
      steps: of 8 scenes.
      change: of the model's configuration, in place.
    """
    config = mrcnn.load_config("mask_rcnn_shapes")
    model, data = config.model, config.data
    model.dtype = "float32"
    model.class_names = ("disc", "rectangle", "triangle", "star", "cross", "ring")
    model.preprocess.short_side = model.preprocess.max_side = SIDE
    model.anchors.sizes = ((12.0,), (20.0,), (32.0,), (48.0,), (64.0,))
    model.roi.canonical_size = 32.0
    model.backbone.stage_blocks, model.backbone.stage_channels = (1, 1, 1, 1), (16, 32, 48, 64)
    model.backbone.stem_channels, model.fpn.channels, model.rpn.channels = 16, 32, 32
    model.box_head.fc_channels, model.mask_head.channels, model.mask_head.num_convs = 96, 32, 1
    model.rpn.pre_nms_top_n_train, model.rpn.post_nms_top_n_train = 100, 32
    model.detection.score_threshold, model.detection.max_detections = 0.1, 20
    change(model)
    data.data_dir, data.train_short_sides, data.canvases = str(data_dir), (SIDE,), ((SIDE, SIDE),)
    data.shapes.train_scenes, data.shapes.val_scenes, data.shuffle_buffer = 400, 8, 400
    keras.utils.set_random_seed(0)
    model = mrcnn.MaskRCNN(config.model)
    model.compile(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(3e-3, steps)))
    model.fit(pipeline.train_dataset(config), steps_per_epoch=steps, epochs=1, verbose=2)
    return model
