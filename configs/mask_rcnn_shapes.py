"""A small Mask R-CNN that learns synthetic shapes from scratch on two CPU cores in minutes.

    python tools/train.py --config mask_rcnn_shapes --model_dir runs/shapes

Expected on the 200 held-out scenes after 8 minutes: mask AP 0.73, AP50 0.90.
"""

from mask_rcnn_tf.configs import mask_rcnn_small

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The small preset, with anchors, samples and schedule for scenes of 192 px."""
    config = mask_rcnn_small.get_config()
    config.name = "mask_rcnn_shapes"
    model, data, train = config.model, config.data, config.train
    model.num_classes = 6
    model.preprocess.short_side = model.preprocess.max_side = 192
    model.anchors.sizes = ((16.0,), (32.0,), (64.0,), (96.0,), (128.0,))
    model.anchors.ratios = (1.0,)
    model.rpn.samples, model.roi.samples = 64, 32
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 300
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 64, 100
    model.detection.max_detections, model.detection.max_candidates = 50, 200
    model.detection.score_threshold = 0.01  # half a point of AP50 over 0.05, and pictures leave out what is below 0.5
    data.dataset = "mrcnn_shapes"
    data.train_short_sides, data.canvases = (192,), ((192, 192),)
    data.flip_vertical, data.cache = True, True
    data.max_gt = 8
    train.batch_size = config.eval.batch_size = 8
    train.steps, train.checkpoint_every, train.evaluate_every = 2600, 650, 1300
    train.learning_rate, train.warmup_steps = 2e-3, 100
    return config
