"""Narrow models with weights by Detectron2's names, and batches, as `golden/detectron2_oracle.py` has them."""

import numpy as np
import pytest
import tensorflow as tf
from recipe_models import SWAP, stacked

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import stages
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import detectron2


def float64_model(scene, shapes):
    """(model, its entries) of a scene's module, `golden/c4_scene.py` or `cascade_scene.py`, and {name: shape}.

    In float64, as the golden's layers: no discrete choice hangs on how a machine rounds.
    """
    tensors = {name: scene.fill_array(name, shape) for name, shape in shapes.items()}
    config = detectron2.make_config(tensors).model
    config.preprocess.std, config.sampler, config.backbone.frozen_stages = scene.STD, "evenly", 0
    rpn = config.rpn
    rpn.pre_nms_top_n_train, rpn.post_nms_top_n_train, rpn.pre_nms_top_n_test, rpn.post_nms_top_n_test = scene.TOP_N * 2
    config.roi.samples, config.detection.max_detections = scene.SAMPLES, scene.DETECTIONS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "resolve_dtype", lambda dtype: "float64")
        model = mrcnn.MaskRCNN(config)
    entries = detectron2.make_entries(model, tensors)
    report = assign(model, entries, tensors, detectron2.IGNORED)
    assert not report.initial and set(report.used) == set(tensors)
    return model, entries


def batch_of(model, scene):
    """The scenes as a labelled batch without masks, one row of padding among the boxes."""
    preprocess, scenes = model.config.preprocess, scene.scenes()
    images = []
    for one in scenes:
        levels = (one["image"][..., ::-1].astype(np.float64) - preprocess.mean) / preprocess.std
        padding = [(0, side - have) for side, have in zip(scene.CANVAS, levels.shape, strict=False)]
        images.append(np.pad(levels, [*padding, (0, 0)]).astype(np.float32))
    rows = max(len(one["labels"]) for one in scenes) + 1
    return {
        "image": tf.constant(np.stack(images)),
        "image_shape": tf.constant([one["image"].shape[:2] for one in scenes]),
        "image_id": tf.constant([1, 2], tf.int64),
        "gt_boxes": stacked([one["boxes"][:, SWAP] for one in scenes], rows),
        "gt_classes": stacked([one["labels"].astype(np.int32) for one in scenes], rows),
    }
