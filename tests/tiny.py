"""A very small model and labelled batch, for tests of behaviour rather than of numbers."""

import keras
import numpy as np
import tensorflow as tf

import mask_rcnn_tf as mrcnn


def tiny_config(norm="batch_norm", kernels="native", dtype="float32"):
    """A `ModelConfig` of 0.1 million parameters, 3 classes."""
    config = mrcnn.load_config("mask_rcnn_shapes").model
    config.num_classes, config.kernels, config.dtype = 3, kernels, dtype
    config.backbone.norm, config.backbone.stage_blocks, config.backbone.stage_channels = norm, (1,) * 4, (8, 12, 16, 24)
    config.backbone.stem_channels = 8
    config.fpn.channels = config.rpn.channels = config.mask_head.channels = 16
    config.box_head.fc_channels, config.mask_head.num_convs = 32, 1
    config.preprocess.short_side, config.preprocess.max_side = 96, 128
    config.rpn.pre_nms_top_n_train, config.rpn.post_nms_top_n_train = 60, 24
    config.rpn.pre_nms_top_n_test, config.rpn.post_nms_top_n_test = 60, 24
    config.roi.samples, config.detection.max_detections, config.detection.score_threshold = 16, 10, 0.01
    return config


def c4_config(**options):
    """A `tiny_config` without a pyramid, whose C5 runs on RoIs, with keypoints of two."""
    config = tiny_config(**options)
    config.backbone.out_levels, config.fpn.enabled, config.roi.body = ("C4",), False, "C5"
    config.rpn.levels = config.roi.levels = ("C4",)
    config.anchors.sizes, config.preprocess.size_divisor = ((16.0, 32.0, 64.0),), 1
    config.box_head.pool_size, config.box_head.num_fcs, config.box_head.average = 14, 0, True
    config.mask_head.num_convs = 0
    keypoints = config.keypoint_head
    keypoints.enabled, keypoints.num_keypoints, keypoints.num_convs, keypoints.channels = True, 2, 1, 8
    return config


def tiny_model(**options):
    """A `MaskRCNN` of `tiny_config`, with the same random weights each time."""
    keras.utils.set_random_seed(3)
    return mrcnn.MaskRCNN(tiny_config(**options))


def finding_config(kernels="native", score_threshold=0.2):
    """A `tiny_config` with class names."""
    config = tiny_config(kernels=kernels)
    config.class_names, config.category_ids = ("ball", "box", "star"), (1, 7, 90)
    config.detection.score_threshold = score_threshold
    return config


def finding_model(kernels="native", score_threshold=0.2, config=None, **parts):
    """A tiny model with class names whose random weights are large enough to find things: 10 in most images."""
    config = config or finding_config(kernels, score_threshold)
    keras.utils.set_random_seed(5)
    return enliven(mrcnn.MaskRCNN(config, **parts))


def enliven(model):
    """Enlarges the heads' random weights of a new model until it finds things; returns it.

    Logits of freshly initialised heads are all near 0: no score would pass, and ties would decide everything.
    """
    factors = {"objectness/kernel": 60.0, "rpn_head/deltas/kernel": 20.0, "class_logits/kernel": 60.0}
    factors |= {"box_deltas/kernel": 300.0, "mask_head/kernel": 1000.0, "keypoint_head/kernel": 2.0}
    for variable in model.weights:
        for ending, factor in factors.items():
            if variable.path.endswith(ending):
                variable.assign(variable * factor)
    return model


def filled(config, seed):
    """A model in which every value of every variable is its own."""
    model = mrcnn.MaskRCNN(config)
    random = np.random.default_rng(seed)
    for variable in model.weights:
        variable.assign(random.uniform(0.5, 1.5, variable.shape))
    return model


def tiny_batch(batch=2, size=96, seed=0, objects=None):
    """A labelled batch of rectangles on noise; `objects` gives the number in each image."""
    random = np.random.default_rng(seed)
    image = random.normal(size=(batch, size, size, 3)).astype(np.float32)
    gt_boxes = np.zeros((batch, 5, 4), np.float32)
    gt_classes = np.zeros((batch, 5), np.int32)
    for b in range(batch):
        for i in range(3 if objects is None else objects[b]):
            top, left = random.integers(0, size - 40, 2)
            height, width = random.integers(14, 40, 2)
            gt_boxes[b, i] = top, left, top + height, left + width
            gt_classes[b, i] = random.integers(1, 4)
            image[b, top : top + height, left : left + width] += gt_classes[b, i]
    return {
        "image": tf.constant(image),
        "image_shape": tf.fill([batch, 2], size),
        "original_shape": tf.fill([batch, 2], size),
        "image_id": tf.range(1, batch + 1, dtype=tf.int64) + 100 * seed,
        "gt_boxes": tf.constant(gt_boxes),
        "gt_classes": tf.constant(gt_classes),
        "gt_masks": tf.fill([batch, 5, 28, 28], tf.constant(255, tf.uint8)),
    }


def with_keypoints(batch, count):
    """The batch with `count` visible keypoints of each object, all in the middle of its box."""
    centres = (batch["gt_boxes"][..., :2] + batch["gt_boxes"][..., 2:]) / 2
    points = tf.concat([centres[..., ::-1], tf.ones_like(centres[..., :1]) * 2], -1)
    return batch | {"gt_keypoints": tf.repeat(points[:, :, None], count, axis=2)}
