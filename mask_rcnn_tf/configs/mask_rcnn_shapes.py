"""A small Mask R-CNN that learns synthetic shapes from scratch on two CPU cores in minutes: what `make demo` trains.

    python tools/train.py --config mask_rcnn_shapes --model_dir runs/shapes

Expected on the 200 held-out scenes after 8 minutes: mask AP 0.73, AP50 0.90.

The small model, with anchors, samples and image sizes for scenes of 192 px."""

from mask_rcnn_tf import config as c
from mask_rcnn_tf.configs.mask_rcnn_small import small_model


def get_config() -> c.Config:
    """The small preset on `mrcnn_shapes`."""
    return c.Config(
        name="mask_rcnn_shapes",
        model=shapes_model(),
        data=c.DataConfig(
            dataset="mrcnn_shapes",
            train_short_sides=(192,),
            canvases=((192, 192),),
            flip_vertical=True,
            max_gt=8,
            gt_mask_size=56,
            cache=True,
        ),
        train=c.TrainConfig(
            batch_size=8,
            steps=2600,
            optimizer="adam",
            learning_rate=2e-3,
            adam_beta_2=0.99,
            weight_decay=0.0,
            clip_norm=5.0,
            warmup_steps=100,
            schedule="cosine",
            checkpoint_every=650,
            evaluate_every=1300,
        ),
        eval=c.EvalConfig(batch_size=8),
    )


def shapes_model() -> c.ModelConfig:
    """The small model for scenes of 192 px."""
    model = small_model()
    model.num_classes = 6
    model.preprocess.short_side = model.preprocess.max_side = 192
    model.anchors.sizes = ((16.0,), (32.0,), (64.0,), (96.0,), (128.0,))
    model.anchors.ratios = (1.0,)
    model.rpn.samples, model.roi.samples = 64, 32
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 300
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 64, 100
    model.detection.max_detections, model.detection.max_candidates = 50, 200
    model.detection.score_threshold = 0.01  # half a point of AP50 over 0.05, and pictures leave out what is below 0.5
    return model
