"""The small preset on microscopy images of cell nuclei (Data Science Bowl 2018), from scratch on two CPU cores.

    python tools/train.py --config mask_rcnn_nuclei --model_dir runs/nuclei \
        --config.data.train_annotations=nuclei/train/annotations.json --config.data.train_images=nuclei/train/images \
        --config.data.val_annotations=nuclei/val/annotations.json --config.data.val_images=nuclei/val/images

Expected after 28 minutes beside other work (3000 steps): mask AP 0.52, AP50 0.84. Images of 256 x 256 and 320 x 256
pixels are enlarged to a short side of 384, because nearly every nucleus is small.
"""

from mask_rcnn_tf.configs import mask_rcnn_small

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The small preset, with anchors, samples and image sizes for many small objects."""
    config = mask_rcnn_small.get_config()
    config.name = "mask_rcnn_nuclei"
    model, data = config.model, config.data
    model.preprocess.short_side, model.preprocess.max_side = 384, 480
    model.anchors.sizes = ((12.0,), (24.0,), (48.0,), (96.0,), (160.0,))
    model.anchors.ratios = (1.0,)
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 150, 300
    model.detection.max_candidates = 600
    data.train_short_sides, data.canvases = (320, 352, 384), ((384, 480), (480, 384))
    data.flip_vertical = True
    data.shuffle_buffer, data.cache = 200, True
    config.train.steps = 3000
    config.train.evaluate_every = 750
    config.eval.batch_size = 4
    return config
