"""Mask R-CNN on C4 and dilated C5 beside Detectron2's own program, from its own names: a training batch, detections."""

import c4_scene as scene
import detectron2_names as d2
import numpy as np
import pytest
import tensorflow as tf
from detectron2_models import batch_of, float64_model
from recipe_models import SWAP, given_proposals, named_gradients, stacked

from mask_rcnn_tf.models import mask_rcnn, targets

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
    return float64_model(scene, d2.plain_shapes(kind, widths=[channels // 4 for channels in OUTPUTS], **SHAPES))


@pytest.fixture(scope="module")
def c4():
    return model_and_entries("c4")


def test_a_training_batch(c4, golden, monkeypatch):
    """With the golden's own proposals and mask targets, so that no NMS and no pixel on an edge decides."""
    (model, entries), golden, sampled = c4, golden("golden_c4"), []
    given = given_proposals([golden[f"proposals/{b}"] for b in range(2)])
    masks = stacked([golden[f"mask_targets/{b}"].astype(np.float32) for b in range(2)], scene.SAMPLES // 4)
    sample = targets.sample_rois
    monkeypatch.setattr(mask_rcnn, "select_proposals", lambda *_: given)
    monkeypatch.setattr(targets, "sample_rois", lambda *args: sampled.append(sample(*args)) or sampled[-1])
    monkeypatch.setattr(targets, "mask_targets", lambda batch, rois, indices, rows, *_: rows.flatten(masks))

    batch = batch_of(model, scene)
    batch["gt_masks"] = tf.zeros([*batch["gt_classes"].shape, 28, 28], tf.uint8)

    def step(batch):
        sampled.clear()
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables), sampled[0]

    losses, gradients, rois = tf.function(step, autograph=False)(batch)
    for b in range(2):
        theirs = golden[f"classes/{b}"]
        np.testing.assert_array_equal(rois["roi_classes"][b], np.where(theirs == scene.NUM_CLASSES, 0, theirs + 1))
        np.testing.assert_allclose(rois["rois"][b].numpy()[:, SWAP], golden[f"rois/{b}"], atol=1e-4)
    assert set(losses) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)
    named = named_gradients(model, entries, gradients)
    assert set(named) == set(golden["grad/names"])
    for name, length in zip(golden["grad/names"], golden["grad/l2"], strict=True):
        np.testing.assert_allclose(np.linalg.norm(named[name]), length, rtol=1e-3, err_msg=name)


@pytest.mark.parametrize("kind", ["C4", "DC5"])
def test_detections(kind, c4, golden):
    model, golden = c4[0] if kind == "C4" else model_and_entries("dc5")[0], golden("golden_c4")
    batch = batch_of(model, scene)
    found = tf.function(model.detect, autograph=False)(batch["image"], batch["image_shape"])
    for b in range(2):
        count = int(found["num_detections"][b])
        assert count == len(golden[f"{kind}/{b}/scores"]) > 10
        np.testing.assert_array_equal(found["detection_classes"][b, :count] - 1, golden[f"{kind}/{b}/classes"])
        np.testing.assert_allclose(found["detection_scores"][b, :count], golden[f"{kind}/{b}/scores"], atol=1e-4)
        boxes = found["detection_boxes"][b, :count].numpy()[:, SWAP]
        np.testing.assert_allclose(boxes, golden[f"{kind}/{b}/boxes"], atol=1e-2)
        np.testing.assert_allclose(found["detection_masks"][b, :count], golden[f"{kind}/{b}/masks"], atol=1e-3)
