"""Mask R-CNN on C4 and dilated C5 beside Detectron2's own program, from its own names: a training batch, detections."""

import c4_scene as scene
import detectron2_names as d2
import numpy as np
import pytest
import tensorflow as tf
from recipe_models import SWAP

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import mask_rcnn, stages, targets
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import detectron2

OUTPUTS = [scene.RES2 * 2**i for i in range(4)]
SHAPES = {"fc": scene.FC, "classes": scene.NUM_CLASSES, "stem": scene.STEM, "outputs": OUTPUTS, "mask": scene.MASK}
LOSSES = {
    "rpn_objectness": "loss_rpn_cls",
    "rpn_box": "loss_rpn_loc",
    "box_class": "loss_cls",
    "box_delta": "loss_box_reg",
    "mask": "loss_mask",
}


def model_and_entries(kind):
    """In float64, as the golden's layers: no discrete choice hangs on how a machine rounds."""
    shapes = d2.plain_shapes(kind, widths=[channels // 4 for channels in OUTPUTS], **SHAPES)
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


@pytest.fixture(scope="module")
def c4():
    return model_and_entries("c4")


def batch_of(model):
    preprocess, scenes = model.config.preprocess, scene.scenes()
    rows = max(len(one["labels"]) for one in scenes) + 1  # padding too
    found = {name: [] for name in ("image", "image_shape", "gt_boxes", "gt_classes")}
    for one in scenes:
        image = (one["image"][..., ::-1].astype(np.float64) - preprocess.mean) / preprocess.std
        height, width = image.shape[:2]
        padding = [(0, scene.CANVAS[0] - height), (0, scene.CANVAS[1] - width), (0, 0)]
        found["image"].append(np.pad(image, padding).astype(np.float32))
        found["image_shape"].append(np.int32([height, width]))
        missing = rows - len(one["labels"])
        found["gt_boxes"].append(np.pad(one["boxes"][:, SWAP], [(0, missing), (0, 0)]))
        found["gt_classes"].append(np.pad(one["labels"], (0, missing)).astype(np.int32))
    found = {name: tf.constant(np.stack(value)) for name, value in found.items()}
    return found | {"image_id": tf.constant([1, 2], tf.int64), "gt_masks": tf.zeros([2, rows, 28, 28], tf.uint8)}


def padded(arrays, count):
    return tf.constant(np.stack([np.pad(a, [(0, count - len(a)), *[(0, 0)] * (a.ndim - 1)]) for a in arrays]))


def test_a_training_batch(c4, golden, monkeypatch):
    """With the golden's own proposals and mask targets, so that no NMS and no pixel on an edge decides."""
    (model, entries), golden, sampled = c4, golden("golden_c4"), []
    proposals = [golden[f"proposals/{b}"][:, SWAP] for b in range(2)]
    given = padded(proposals, max(map(len, proposals))), tf.constant([len(boxes) for boxes in proposals])
    masks = padded([golden[f"mask_targets/{b}"].astype(np.float32) for b in range(2)], scene.SAMPLES // 4)
    sample = targets.sample_rois
    monkeypatch.setattr(mask_rcnn, "select_proposals", lambda *_: given)
    monkeypatch.setattr(targets, "sample_rois", lambda *args: sampled.append(sample(*args)) or sampled[-1])
    monkeypatch.setattr(targets, "mask_targets", lambda batch, rois, indices, rows, *_: rows.flatten(masks))

    def step(batch):
        sampled.clear()
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables), sampled[0]

    losses, gradients, rois = tf.function(step, autograph=False)(batch_of(model))
    for b in range(2):
        theirs = golden[f"classes/{b}"]
        np.testing.assert_array_equal(rois["roi_classes"][b], np.where(theirs == scene.NUM_CLASSES, 0, theirs + 1))
        np.testing.assert_allclose(rois["rois"][b].numpy()[:, SWAP], golden[f"rois/{b}"], atol=1e-4)
    assert set(losses) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)
    pairs = zip(model.trainable_variables, gradients, strict=True)
    ours = {id(variable): tf.convert_to_tensor(gradient).numpy() for variable, gradient in pairs}
    named = {e.sources[0].name: e.to_theirs(ours[id(e.variable)]) for e in entries if id(e.variable) in ours}
    assert set(named) == set(golden["grad/names"]) and len(named) == len(ours)
    for name, length in zip(golden["grad/names"], golden["grad/l2"], strict=True):
        np.testing.assert_allclose(np.linalg.norm(named[name].astype(np.float64)), length, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["C4", "DC5"])
def test_detections(kind, c4, golden):
    model, golden = c4[0] if kind == "C4" else model_and_entries("dc5")[0], golden("golden_c4")
    batch = batch_of(model)
    found = tf.function(model.detect, autograph=False)(batch["image"], batch["image_shape"])
    for b in range(2):
        count = int(found["num_detections"][b])
        assert count == len(golden[f"{kind}/{b}/scores"]) > 10
        np.testing.assert_array_equal(found["detection_classes"][b, :count] - 1, golden[f"{kind}/{b}/classes"])
        np.testing.assert_allclose(found["detection_scores"][b, :count], golden[f"{kind}/{b}/scores"], atol=1e-4)
        boxes = found["detection_boxes"][b, :count].numpy()[:, SWAP]
        np.testing.assert_allclose(boxes, golden[f"{kind}/{b}/boxes"], atol=1e-2)
        np.testing.assert_allclose(found["detection_masks"][b, :count], golden[f"{kind}/{b}/masks"], atol=1e-3)
