"""The very small Mask R-CNN of the tables, on microscopy images of cell nuclei, to compare variants over seeds.

    python tools/experiments.py --table roi_operator --output runs/nuclei --config mask_rcnn_nuclei_tables \
        --config.data.train_annotations=nuclei/train/annotations.json --config.data.train_images=nuclei/train/images \
        --config.data.val_annotations=nuclei/val/annotations.json --config.data.val_images=nuclei/val/images

Images of 256 x 256 and 320 x 256 pixels, as they are (Data Science Bowl 2018). What came of it: docs/experiments.md.
Expected after about four minutes of one core: mask AP 0.38, AP50 0.71.
"""

from mask_rcnn_tf.configs import mask_rcnn_tables

from mask_rcnn_tf import config as c


def get_config() -> c.Config:
    """The preset of the tables, with sizes for many small objects."""
    config = mask_rcnn_tables.get_config()
    config.name = "mask_rcnn_nuclei_tables"
    model, data = config.model, config.data
    model.preprocess.short_side, model.preprocess.max_side = 256, 320
    model.anchors.sizes = ((8.0,), (16.0,), (32.0,), (64.0,), (96.0,))
    model.roi.canonical_size = 32.0
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 64, 200
    model.rpn.pre_nms_top_n_train = model.rpn.pre_nms_top_n_test = 200
    model.detection.max_detections, model.detection.max_candidates = 100, 400
    data.dataset, data.shapes = "coco_json", c.ShapesConfig()
    data.train_short_sides, data.canvases = (256,), ((256, 320), (320, 256))
    data.flip_vertical, data.max_gt = True, 100
    config.train.batch_size, config.eval.batch_size = 2, 4
    # At the tables' own 6e-3 the box head of one run in five dies: its scores say nothing from then on (AP 0.07).
    config.train.learning_rate = 2e-3
    config.train.steps = config.train.evaluate_every = 1200
    config.train.checkpoint_every = 400
    return config
