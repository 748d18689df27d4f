"""A very small Mask R-CNN that learns small scenes from scratch in two CPU minutes, to compare variants over seeds.

    python tools/experiments.py --table roi_operator --output runs/tables

`mask_rcnn_shapes` with half of its width and depth, on scenes of half the size. What is compared is in
`mask_rcnn_tf.experiments.tables`, what came of it in docs/experiments.md.
"""

from mask_rcnn_tf.configs import mask_rcnn_shapes

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The preset of the shapes, smaller in everything; scored once, at the end."""
    config = mask_rcnn_shapes.get_config()
    config.name = "mask_rcnn_tables"
    model, data, train = config.model, config.data, config.train
    model.num_classes = 1
    model.dtype = "float32"  # figures of different machines are compared
    model.preprocess.short_side = model.preprocess.max_side = 96
    model.anchors.sizes = ((20.0,), (32.0,), (44.0,), (56.0,), (72.0,))
    model.roi.canonical_size = 48.0
    model.backbone.stage_blocks, model.backbone.stage_channels = (1, 1, 1, 1), (24, 48, 64, 96)
    model.backbone.stem_channels, model.fpn.channels, model.rpn.channels = 16, 32, 32
    model.box_head.fc_channels, model.mask_head.fc_channels = 96, 96
    model.mask_head.channels, model.mask_head.num_convs = 32, 2
    keypoints = model.keypoint_head  # of the table that enables them
    keypoints.num_keypoints, keypoints.num_convs, keypoints.channels, keypoints.pool_size = 5, 2, 32, 7
    model.rpn.pre_nms_top_n_train, model.rpn.post_nms_top_n_train = 100, 32
    model.detection.max_detections = 20
    data.shapes = c.ShapesConfig(
        size=96,
        train_scenes=1000,
        val_scenes=100,
        min_objects=1,
        max_objects=3,
        min_side=28,
        max_side=72,
        one_class=True,
        num_keypoints=5,
    )
    data.train_short_sides, data.canvases = (96,), ((96, 96),)
    data.gt_mask_size, data.max_gt = 56, 10
    train.learning_rate = 6e-3
    train.warmup_steps = 50
    train.steps = train.evaluate_every = 300
    train.checkpoint_every = 100
    return config
