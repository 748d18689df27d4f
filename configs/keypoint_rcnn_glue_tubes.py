"""Two keypoints, head and tail, of glue tubes on photographs: a small Keypoint R-CNN from scratch on two CPU cores.

    python tools/train.py --config keypoint_rcnn_glue_tubes --model_dir runs/tubes \
        --config.data.train_annotations=glue_tubes/train/annotations.json \
        --config.data.train_images=glue_tubes/train/images \
        --config.data.val_annotations=glue_tubes/val/annotations.json --config.data.val_images=glue_tubes/val/images

111 training and 23 validation images of 640 x 360 pixels (github.com/alexppppp/keypoint_rcnn_training_pytorch, MIT),
shrunk to half. A start for objects of your own: names, skeleton and J come from the annotations.
"""

from mask_rcnn_tf.configs import mask_rcnn_small

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The small preset with a keypoint head in place of the mask head, on half-size images."""
    config = mask_rcnn_small.get_config()
    config.name = "keypoint_rcnn_glue_tubes"
    model, data, train = config.model, config.data, config.train
    model.mask_head.enabled = False
    model.keypoint_head = c.KeypointHeadConfig(enabled=True, num_keypoints=2, num_convs=4, channels=64)
    model.preprocess.short_side, model.preprocess.max_side = 192, 352
    model.anchors.sizes = ((16.0,), (32.0,), (48.0,), (64.0,), (96.0,))
    data.train_short_sides, data.canvases = (160, 176, 192), ((192, 352), (352, 192))
    data.flip_vertical, data.cache, data.shuffle_buffer = True, True, 200
    data.max_gt, data.keypoint_sigmas = 20, (0.05, 0.05)
    train.steps, train.checkpoint_every, train.evaluate_every = 2400, 300, 600
    config.eval.batch_size = 4
    return config
