"""A small Mask R-CNN for your own COCO-format data, from scratch, on a CPU or any GPU.

    python tools/train.py --config mask_rcnn_small --model_dir runs/mine \
        --config.data.train_annotations=train.json --config.data.train_images=images \
        --config.data.val_annotations=val.json --config.data.val_images=images

Basic blocks, narrow pyramid and heads, trained batch norm, Adam, bfloat16 convolutions: 2.2 million parameters. No
published AP: it depends on the data.
"""

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The small model on images of up to 384 x 640 pixels."""
    return c.Config(
        name="mask_rcnn_small",
        model=small_model(),
        data=c.DataConfig(train_short_sides=(288, 320, 352, 384), canvases=((384, 640), (640, 384)), gt_mask_size=56),
        train=c.TrainConfig(
            batch_size=4,
            steps=10_000,
            optimizer="adam",
            learning_rate=1e-3,
            adam_beta_2=0.99,
            weight_decay=0.0,
            clip_norm=5.0,
            warmup_steps=200,
            schedule="cosine",
            checkpoint_every=500,
            evaluate_every=1000,
        ),
    )


def small_model() -> c.ModelConfig:
    """2.2 million parameters; canonical size and anchors shrink with the images."""
    return c.ModelConfig(
        preprocess=c.PreprocessConfig(
            short_side=384,
            max_side=640,
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
        anchors=c.AnchorConfig(sizes=((16.0,), (32.0,), (64.0,), (128.0,), (256.0,))),
        rpn=c.RpnConfig(
            channels=64,
            pre_nms_top_n_train=500,
            pre_nms_top_n_test=500,
            post_nms_top_n_train=200,
            post_nms_top_n_test=200,
            samples=128,
        ),
        roi=c.RoiConfig(samples=64, canonical_size=64.0, canonical_level=3),
        box_head=c.BoxHeadConfig(fc_channels=256),
        mask_head=c.MaskHeadConfig(num_convs=2, channels=64),
        detection=c.DetectionConfig(max_candidates=500),
        dtype="auto",
    )
