import json

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.boxes import pairwise_iou
from mask_rcnn_tf.ops.matching import match

COMPILED = tf.function(match, jit_compile=True, autograph=False)


def _match(iou, *args, valid=None):
    iou = np.asarray(iou, np.float32)[np.newaxis]
    valid = np.ones([1, iou.shape[2]], bool) if valid is None else np.asarray([valid], bool)
    plain, compiled = match(iou, valid, *args), COMPILED(iou, valid, *args)
    for a, b in zip(plain, compiled, strict=True):
        np.testing.assert_array_equal(a, b)
    return plain[0][0].numpy(), plain[1][0].numpy()


@pytest.mark.parametrize("case", ["0.7_0.3_1", "0.7_0.3_0", "0.5_0.5_0"])
@pytest.mark.parametrize("padding", [0, 3])
def test_match_equals_torchvision(golden, case, padding):
    cases = golden("unit_boxes")
    args = json.loads(str(cases[f"matcher/{case}/args"]))
    expected = cases[f"matcher/{case}/out/matches"]
    quality = cases[f"matcher/{case}/in/quality"].T
    # What stands in the columns of padding must not matter.
    iou = np.concatenate([quality, np.ones([len(quality), padding], np.float32)], axis=1)
    valid = np.arange(iou.shape[1]) < quality.shape[1]
    labels, gt_indices = _match(iou, args["high"], args["low"], args["allow_low_quality"], valid=valid)
    np.testing.assert_array_equal(labels, np.where(expected >= 0, 1, np.where(expected == -1, 0, -1)))
    np.testing.assert_array_equal(gt_indices[expected >= 0], expected[expected >= 0])
    np.testing.assert_array_equal(gt_indices, quality.argmax(1))


def test_thresholds_are_inclusive_above_and_exclusive_below():
    labels, _ = _match([[0.7], [0.69], [0.3], [0.29]], 0.7, 0.3, False)
    np.testing.assert_array_equal(labels, [1, -1, -1, 0])


def test_low_quality_positives_include_ties_and_keep_their_own_best():
    iou = [[0.2, 0.0], [0.2, 0.1], [0.1, 0.25], [0.2, 0.9]]
    labels, gt_indices = _match(iou, 0.7, 0.3, True)
    np.testing.assert_array_equal(labels, [1, 1, 0, 1])  # the third reaches no ground truth's best
    np.testing.assert_array_equal(gt_indices, [0, 0, 1, 1])  # the last reaches the first's best, but keeps the second


def test_ground_truth_that_meets_nothing_follows_the_references():
    labels, gt_indices = _match([[0.0, 0.5], [0.0, 0.1]], 0.7, 0.3, True)
    np.testing.assert_array_equal(labels, [1, 1])
    np.testing.assert_array_equal(gt_indices, [1, 1])


@pytest.mark.parametrize("low_quality", [True, False])
@pytest.mark.parametrize("num_gt", [0, 4])
def test_without_valid_ground_truth_all_are_negative(low_quality, num_gt):
    labels, gt_indices = _match(np.full([6, num_gt], 0.9), 0.7, 0.3, low_quality, valid=[False] * num_gt)
    np.testing.assert_array_equal(labels, np.zeros(6))
    np.testing.assert_array_equal(gt_indices, np.zeros(6))


@pytest.mark.parametrize("jit_compile", [None, True])
def test_match_together_with_iou_finds_the_ties(jit_compile):
    """Compiled into one program, the IoU may be computed twice; the best must still equal itself."""
    random = np.random.default_rng(0)
    corner, sides = random.random((3000, 2)) * 300, random.random((3000, 2)) * 100 + 4
    anchors = np.concatenate([corner, corner + sides], 1).astype(np.float32)
    gt_boxes = np.stack([anchors[:40] + 3.3, anchors[40:80] * 1.01]).astype(np.float32)
    valid = np.arange(40) < np.array([[25], [40]])

    @tf.function(jit_compile=jit_compile, autograph=False)
    def labels(anchors, gt_boxes, valid):
        return match(pairwise_iou(anchors[tf.newaxis], gt_boxes), valid, 0.7, 0.3, True)[0]

    found = labels(anchors, gt_boxes, valid).numpy()
    iou = pairwise_iou(anchors[np.newaxis], gt_boxes).numpy()
    for image in range(2):
        best = iou[image].argmax(0)[valid[image]]
        assert (found[image][best] == 1).all()
        positive = (iou[image][:, valid[image]].max(1) >= 0.7).sum()
        assert positive <= (found[image] == 1).sum() <= positive + len(best)


def test_unknown_sizes_are_accepted():
    traced = tf.function(
        lambda iou, valid: match(iou, valid, 0.5, 0.5, True),
        input_signature=[tf.TensorSpec([None, None, None]), tf.TensorSpec([None, None], tf.bool)],
        autograph=False,
    )
    np.testing.assert_array_equal(traced(np.float32([[[0.6], [0.2]]]), [[True]])[0], [[1, 0]])
    np.testing.assert_array_equal(traced(np.zeros([1, 2, 0], np.float32), np.zeros([1, 0], bool))[0], [[0, 0]])


def test_crossed_thresholds_are_refused():
    with pytest.raises(ValueError, match="negative_iou is 0.8"):
        match(tf.zeros([1, 2, 1]), tf.ones([1, 1], tf.bool), 0.7, 0.8, True)
