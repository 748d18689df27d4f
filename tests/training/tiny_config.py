"""Mask R-CNN that a CPU steps through in milliseconds, on a dozen small scenes."""

import tempfile

from mask_rcnn_tf.config import Config


def get_config() -> Config:
    config = Config(name="tiny")
    model, data, train = config.model, config.data, config.train
    model.preprocess.short_side = model.preprocess.max_side = 64
    backbone = model.backbone
    backbone.block, backbone.stage_blocks, backbone.stage_channels = "basic", (1, 1, 1, 1), (8, 8, 16, 16)
    backbone.stem_channels, backbone.stem_kernel, backbone.norm, backbone.frozen_stages = 8, 3, "batch_norm", 0
    model.fpn.channels = model.rpn.channels = 16
    model.anchors.sizes = ((16.0,), (24.0,), (32.0,), (48.0,), (64.0,))
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 60
    model.rpn.post_nms_top_n_train = model.rpn.post_nms_top_n_test = 40
    model.rpn.samples, model.roi.samples, model.roi.canonical_size = 32, 16, 64.0
    model.box_head.pool_size, model.box_head.num_fcs, model.box_head.fc_channels = 5, 1, 32
    model.mask_head.pool_size, model.mask_head.num_convs, model.mask_head.channels = 7, 1, 16
    model.detection.max_detections = 20
    data.dataset, data.data_dir = "mrcnn_shapes", f"{tempfile.gettempdir()}/mask_rcnn_tf_tests"
    shapes = data.shapes
    shapes.size, shapes.train_scenes, shapes.val_scenes = 64, 12, 4
    shapes.min_objects, shapes.max_objects, shapes.min_side, shapes.max_side = 1, 3, 16, 48
    data.train_short_sides, data.canvases, data.max_gt, data.gt_mask_size = (64,), ((64, 64),), 8, 28
    data.shuffle_buffer = 12
    train.batch_size, train.steps, train.learning_rate, train.base_batch_size = 4, 12, 0.02, 4
    train.warmup_steps, train.decay_steps, train.clip_norm = 3, (8,), 2.0
    train.checkpoint_every, train.evaluate_every, train.summary_every = 3, 5, 2
    config.eval.batch_size = 2
    return config
