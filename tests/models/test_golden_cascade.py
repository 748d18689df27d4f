"""Cascade Mask R-CNN beside Detectron2's own program, from its own names: a training batch, and detections."""

import cascade_scene as scene
import detectron2_names as d2
import numpy as np
import pytest
import tensorflow as tf
from detectron2_models import batch_of, float64_model
from recipe_models import SWAP, given_proposals, named_gradients, stacked

from mask_rcnn_tf.models import mask_rcnn, targets

WIDTHS = [scene.RES2 * 2**i for i in range(4)]
SHAPES = {"fpn": scene.FPN, "fc": scene.FC, "classes": scene.NUM_CLASSES, "stem": scene.STEM, "outputs": WIDTHS}
LOSSES = {"rpn_objectness": "loss_rpn_cls", "rpn_box": "loss_rpn_loc", "mask": "loss_mask"}
LOSSES |= {f"box_class_{k + 1}": f"loss_cls_stage{k}" for k in range(3)}
LOSSES |= {f"box_delta_{k + 1}": f"loss_box_reg_stage{k}" for k in range(3)}


@pytest.fixture(scope="module")
def model_and_entries():
    return float64_model(scene, d2.shapes(**SHAPES, widths=[w // 4 for w in WIDTHS], cascade=3))


@pytest.fixture(scope="module")
def batch(model_and_entries):
    found = batch_of(model_and_entries[0], scene)
    return found | {"gt_masks": tf.zeros([*found["gt_classes"].shape, 28, 28], tf.uint8)}


def test_a_training_batch(model_and_entries, batch, golden, monkeypatch):
    """With the golden's own proposals and mask targets, so that no NMS and no pixel on an edge decides."""
    (model, entries), golden, matched = model_and_entries, golden("golden_cascade"), []
    relabel = targets.relabel_rois
    proposals = given_proposals([golden[f"proposals/{b}"] for b in range(2)])
    monkeypatch.setattr(mask_rcnn, "select_proposals", lambda *given: proposals)
    masks = stacked([golden[f"mask_targets/{b}"].astype(np.float32) for b in range(2)], scene.SAMPLES // 4)
    monkeypatch.setattr(targets, "mask_targets", lambda batch, rois, indices, rows, *_: rows.flatten(masks))
    monkeypatch.setattr(targets, "relabel_rois", lambda *given: matched.append(relabel(*given)) or matched[-1])

    def step(batch):
        matched.clear()
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables), list(matched)

    losses, gradients, found = tf.function(step, autograph=False)(batch)
    assert set(losses) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)
    for stage, rois in enumerate(found, start=1):
        for b in range(2):
            theirs = golden[f"stage{stage}/{b}/classes"]
            valid = rois["roi_valid"][b].numpy()
            np.testing.assert_array_equal(valid, np.arange(len(valid)) < len(theirs))
            boxes = rois["rois"][b].numpy()[valid][:, SWAP]
            np.testing.assert_allclose(boxes, golden[f"stage{stage}/{b}/boxes"], atol=1e-3)
            classes = rois["roi_classes"][b].numpy()[valid]
            np.testing.assert_array_equal(classes, np.where(theirs == scene.NUM_CLASSES, 0, theirs + 1))
    named = named_gradients(model, entries, gradients)
    assert set(named) == set(golden["grad/names"])
    for row, name in enumerate(golden["grad/names"]):
        check_gradient(named[name], golden["grad/l2"][row], golden["grad/sample8"][row], name)


def check_gradient(gradient, length, theirs, name):
    np.testing.assert_allclose(np.linalg.norm(gradient), length, rtol=1e-3, err_msg=name)
    flat = gradient.ravel()
    sample = flat[:: max(1, flat.size // 8)][:8]
    floor = 1e-3 * length / np.sqrt(flat.size) + 1e-3 * np.abs(theirs).max()
    np.testing.assert_allclose(sample, theirs[: len(sample)], rtol=0, atol=floor, err_msg=name)


def test_detections(model_and_entries, batch, golden):
    model, golden = model_and_entries[0], golden("golden_cascade")
    found = tf.function(model.detect, autograph=False)(batch["image"], batch["image_shape"])
    for b in range(2):
        count = int(found["num_detections"][b])
        assert count == len(golden[f"final/{b}/scores"]) > 10
        np.testing.assert_array_equal(found["detection_classes"][b, :count] - 1, golden[f"final/{b}/classes"])
        np.testing.assert_allclose(found["detection_scores"][b, :count], golden[f"final/{b}/scores"], atol=1e-4)
        boxes = found["detection_boxes"][b, :count].numpy()[:, SWAP]
        np.testing.assert_allclose(boxes, golden[f"final/{b}/boxes"], atol=1e-2)
        np.testing.assert_allclose(found["detection_masks"][b, :count], golden[f"final/{b}/masks"], atol=1e-3)
