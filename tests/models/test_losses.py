"""Losses and their gradients against torchvision; edge cases against their definitions."""

import numpy as np
import tensorflow as tf
from kernel_calls import canvas_frame_targets

from mask_rcnn_tf.models import losses
from mask_rcnn_tf.ops.keypoints import heatmap_cells

SWAP = [1, 0, 3, 2]
BETA = 1 / 9


def mean(sum_and_count):
    return sum_and_count[0] / sum_and_count[1]


def test_box_head_losses(golden):
    golden = golden("unit_losses")
    read = {name: golden[f"fastrcnn_loss/0/in/{name}"] for name in ("logits", "reg", "labels", "targets")}
    logits = tf.constant(read["logits"][None])
    deltas = tf.constant(read["reg"].reshape(1, 20, 5, 4)[:, :, 1:, SWAP])
    classes = tf.constant(read["labels"][None].astype(np.int32))
    targets = tf.constant(read["targets"][None][..., SWAP])
    with tf.GradientTape() as tape:
        tape.watch([logits, deltas])
        class_loss = mean(losses.class_loss(logits, classes, tf.ones([1, 20], tf.bool)))
        box_sum, _ = losses.delta_loss(losses.class_deltas(deltas, classes), targets, classes > 0, BETA)
        total = class_loss + box_sum / 20.0
    gradients = tape.gradient(total, [logits, deltas])
    np.testing.assert_allclose(class_loss, golden["fastrcnn_loss/0/out/cls"], rtol=1e-5)
    np.testing.assert_allclose(box_sum / 20.0, golden["fastrcnn_loss/0/out/box"], rtol=1e-5)
    np.testing.assert_allclose(gradients[0][0], golden["fastrcnn_loss/0/out/dlogits"], atol=1e-7)
    expected = golden["fastrcnn_loss/0/out/dreg"].reshape(20, 5, 4)[:, 1:, SWAP]
    np.testing.assert_allclose(tf.convert_to_tensor(gradients[1])[0], expected, atol=1e-7)


def test_rpn_losses(golden):
    golden = golden("unit_losses")
    case = "rpn_loss/all_labelled_sampled"
    labels = golden[f"{case}/in/labels"].reshape(2, 60)
    positive, negative = tf.constant(labels >= 1), tf.constant(labels == 0)
    logits = tf.constant(golden[f"{case}/in/objectness"].reshape(2, 60))
    deltas, targets = (tf.constant(golden[f"{case}/in/{name}"].reshape(2, 60, 4)) for name in ("deltas", "targets"))
    with tf.GradientTape() as tape:
        tape.watch([logits, deltas])
        objectness, count = losses.objectness_loss(logits, positive, negative)
        box, positives = losses.delta_loss(deltas, targets, positive, BETA)
        total = (objectness + box) / count
    gradients = tape.gradient(total, [logits, deltas])
    assert positives == (labels == 1).sum()
    np.testing.assert_allclose(objectness / count, golden[f"{case}/out/obj"], rtol=1e-5)
    np.testing.assert_allclose(box / count, golden[f"{case}/out/box"], rtol=1e-5)
    np.testing.assert_allclose(gradients[0].numpy().ravel(), golden[f"{case}/out/dobj"].ravel(), atol=1e-7)
    np.testing.assert_allclose(gradients[1].numpy().reshape(-1, 4), golden[f"{case}/out/ddeltas"], atol=1e-7)


def test_mask_loss(golden):
    golden = golden("unit_losses")
    read = {k: golden[f"mask_loss/0/in/{k}"] for k in ("logits", "boxes", "gt_masks", "gt_labels", "matched_idxs")}
    matched = read["matched_idxs"].astype(np.int32)
    targets = canvas_frame_targets(
        tf.constant(read["gt_masks"][None] * np.uint8(255)),
        tf.constant([read["gt_masks"].shape[1:]]),
        tf.constant(read["boxes"][:, SWAP]),
        tf.zeros([7], tf.int32),
        tf.constant(matched),
        28,
        "native",
    )
    classes = read["gt_labels"][matched]
    logits = tf.constant(read["logits"])
    with tf.GradientTape() as tape:
        tape.watch(logits)
        own = tf.gather(logits, classes, axis=1, batch_dims=1)
        loss = mean(losses.mask_loss(own, targets, tf.ones([7], tf.bool)))
    np.testing.assert_allclose(loss, golden["mask_loss/0/out/loss"], rtol=1e-5)
    gradient = tf.convert_to_tensor(tape.gradient(loss, logits)).numpy()[:, :, ::4, ::4]
    np.testing.assert_allclose(gradient, golden["mask_loss/0/out/dlogits"], atol=1e-8)


def test_smooth_l1():
    errors = np.linspace(-2, 2, 41)
    for beta in (0.0, 1 / 9, 1.0):
        with np.errstate(all="ignore"):
            inside = 0.5 * errors**2 / beta if beta else np.abs(errors)
        expected = np.where(np.abs(errors) < beta, inside, np.abs(errors) - 0.5 * beta)
        np.testing.assert_allclose(losses.smooth_l1(tf.constant(errors), beta), expected, atol=1e-12)


def test_unused_rows_give_no_gradient_even_where_they_hold_infinities():
    deltas = tf.constant([[[1.0, 2.0, 3.0, 4.0], [0.0, 0.0, 0.0, 0.0]]])
    targets = tf.constant([[[0.0, 0.0, 0.0, 0.0], [float("-inf"), float("nan"), 0.0, 0.0]]])
    with tf.GradientTape() as tape:
        tape.watch(deltas)
        total, count = losses.delta_loss(deltas, targets, tf.constant([[True, False]]), 0.0)
    assert float(total) == 10 and float(count) == 1
    np.testing.assert_array_equal(tape.gradient(total, deltas)[0], [[1, 1, 1, 1], [0, 0, 0, 0]])


def test_mask_loss_without_foreground_is_zero():
    total, count = losses.mask_loss(tf.zeros([1, 4, 4]), tf.zeros([1, 4, 4]), tf.constant([False]))
    assert float(total) == 0 and float(count) == 0


def test_keypoint_loss(golden):
    golden, case = golden("unit_losses"), "keypoint_loss/0"
    logits, boxes = (golden[f"{case}/in/{name}"] for name in ("logits", "boxes"))
    points = golden[f"{case}/in/gt_keypoints"][golden[f"{case}/in/matched_idxs"]]
    cells, valid = heatmap_cells(tf.constant(points), tf.constant(boxes[:, SWAP]), 56)
    found = losses.keypoint_loss(tf.constant(logits.transpose(0, 2, 3, 1)), cells, valid)
    np.testing.assert_allclose(mean(found), golden[f"{case}/out/loss"], rtol=1e-5)
    nothing = losses.keypoint_loss(
        tf.fill([1, 4, 4, 2], float("inf")), tf.zeros([1, 2], tf.int32), tf.zeros([1, 2], bool)
    )
    assert [float(value) for value in nothing] == [0.0, 0.0]
