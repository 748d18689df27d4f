"""A small Mask R-CNN that learns synthetic shapes from scratch on two CPU cores in minutes: what `make demo` trains.

    python tools/train.py --config mask_rcnn_shapes --model_dir runs/shapes

Basic blocks, narrow pyramid and heads, trained batch norm, Adam, bfloat16 convolutions.
"""

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The small preset on `mrcnn_shapes`."""
    return c.Config(
        name="mask_rcnn_shapes",
        model=small_model(),
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


def small_model() -> c.ModelConfig:
    """2.2 million parameters; canonical size and anchors shrink with the images."""
    return c.ModelConfig(
        num_classes=6,
        preprocess=c.PreprocessConfig(
            short_side=192,
            max_side=192,
            channel_order="RGB",
            mean=(127.5, 127.5, 127.5),
            std=(58.0, 58.0, 58.0),
        ),
        backbone=c.BackboneConfig(
            block="basic",
            stage_blocks=(2, 2, 2, 2),
            stage_channels=(32, 64, 96, 128),
            stem_channels=32,
            stem_kernel=3,
            norm="batch_norm",
            norm_momentum=0.95,
            frozen_stages=0,
        ),
        fpn=c.FpnConfig(channels=64),
        anchors=c.AnchorConfig(sizes=((16.0,), (32.0,), (64.0,), (96.0,), (128.0,)), ratios=(1.0,)),
        rpn=c.RpnConfig(
            channels=64,
            pre_nms_top_n_train=300,
            pre_nms_top_n_test=300,
            post_nms_top_n_train=64,
            post_nms_top_n_test=100,
            samples=64,
        ),
        roi=c.RoiConfig(samples=32, canonical_size=64.0, canonical_level=3),
        box_head=c.BoxHeadConfig(fc_channels=256),
        mask_head=c.MaskHeadConfig(num_convs=2, channels=64),
        detection=c.DetectionConfig(max_detections=50, max_candidates=200),
        dtype="mixed_bfloat16",
    )
