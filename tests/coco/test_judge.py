"""The judge of annotations and results: every reason to reject, and what passes."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import judge
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import mask_runs


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 5, 5]], "fewer than 6"),
        ([[1, 1, 5, 5, 3, 4, 2]], "odd number"),
        ([[]], "fewer than 6"),
        ([[1, 1, 5, 1, 5, 5], [1, 2, 3]], "odd number"),
        ([[1, 1], [1, 2, 3, 4]], "fewer than 6"),
        ([[1, 1, 5, 1, 5, 5], [1, None]], "not a list of numbers"),
        ([[[1, 1], [5, 1], [5, 5], [3, 3], [2, 2], [1, 2]]], "allowed: .x, y, x, y"),
        ({"size": [15, 20], "counts": [10.5, 289.5]}, "cannot be decoded"),
        ({"size": [15, 20], "counts": ["10", "290"]}, "cannot be decoded"),
        ({"size": [15, 20], "counts": [2**63, 2**63, 300]}, "do not add up"),
        ({"size": [15, 20], "counts": [300, 2**62, 2**62, 2**62, 2**62]}, "do not add up"),
        ({"size": [15, 20], "counts": "b'0123'"}, "cannot be decoded"),
        ([1, 1, 5, 1, 5, 5], "polygon is not a list"),
        ([[1, 1, "a", 1, 5, 5]], "not a list of numbers"),
        ([[1, 1, float("nan"), 1, 5, 5]], "not finite"),
        ([[1, 1, 1e12, 1, 5, 5]], "far outside"),
        ([[30, 1, 35, 1, 35, 5]], "polygon lies outside the image"),
        ([[3, -9, 5, -9, 5, -5]], "polygon lies outside the image"),
        ([[3, 3, 5, 5, 3, 3]], "polygon has no area"),
        ({"size": [20, 15], "counts": [0, 300]}, "another size"),
        ({"counts": [0, 300]}, "another size"),
        ({"size": [15, 20], "counts": []}, "without counts"),
        ({"size": [15, 20], "counts": [0, 299]}, "do not add up"),
        ({"size": [15, 20], "counts": [10, -5, 295]}, "do not add up"),
        ({"size": [15, 20], "counts": ["x"]}, "cannot be decoded"),
        ({"size": [15, 20], "counts": [300]}, "no area"),
        ({"size": [15, 20], "counts": "0"}, "do not add up"),
        ("AAAA", "neither polygons nor RLE"),
    ],
)
def test_bad_segmentation(segmentation, reason):
    with pytest.raises(Rejected, match=reason):
        mask_runs(segmentation, 15, 20)


def test_boxes_are_clipped():
    np.testing.assert_array_equal(judge.clipped_box([-2, 3, 10, 100], 15, 20), [3, 0, 15, 8])
    np.testing.assert_array_equal(judge.clipped_box([1.5, 2.25, 3, 4], 15, 20), [2.25, 1.5, 6.25, 4.5])


@pytest.mark.parametrize(
    ("bbox", "reason"),
    [
        ([1, 1, 0, 5], "box has no area"),
        ([1, 1, 5, -5], "box has no area"),
        ([20, 1, 5, 5], "box lies outside the image"),
        ([1, -6, 5, 5], "box lies outside the image"),
        ([1, float("nan"), 5, 5], "not finite"),
        ([1, 1, float("inf"), 5], "not finite"),
        ([1, 1, 5], "not four numbers"),
        ([1, None, "b", 5], "not a list of numbers"),
        ({"x": 1}, "not a list of numbers"),
    ],
)
def test_bad_box(bbox, reason):
    with pytest.raises(Rejected, match=reason):
        judge.clipped_box(bbox, 15, 20)


def test_keypoints():
    rows = judge.keypoint_rows([3, 4, 2, 7, 8, 0, 1.5, 2, 1], 3)
    np.testing.assert_array_equal(rows, [[3.5, 4.5, 2], [0, 0, 0], [2, 2.5, 1]])
    np.testing.assert_array_equal(judge.keypoint_rows(None, 2), np.zeros((2, 3)))
    for bad in ([1, 2, 2], [1, 2, 3, 1, 2, 2], [1, float("nan"), 2, 1, 2, 2]):
        with pytest.raises(Rejected, match="keypoints"):
            judge.keypoint_rows(bad, 2)


RESULT = {"image_id": 1, "category_id": 2, "score": 0.5, "bbox": [1, 2, 3, 4]}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"image_id": "1"}, "image_id is not a whole number: it is '1'"),
        ({"category_id": True}, "category_id is not a whole number"),
        ({"score": None}, "score"),
        ({"score": float("nan")}, "score"),
        ({"bbox": [1, 2, 3]}, "box"),
        ({"bbox": [1, 2, float("inf"), 4]}, "box"),
        ({"keypoints": [1, 2]}, "keypoints are not"),
        ({"segmentation": [[1, 1, 5, 1, 5, 5]]}, "no RLE with a size"),
        ({"segmentation": {"size": [15, 20], "counts": [10, 20]}}, "do not add up to the image: to 30, not 300"),
        ({"segmentation": {"size": [0, 20], "counts": []}}, "without a height and width"),
        ({"segmentation": {"size": [15, 20], "counts": "b'0123'"}}, "cannot be decoded"),
    ],
)
def test_bad_result(change, reason):
    with pytest.raises(Rejected, match=reason):
        judge.judge_result(RESULT | change)


def test_a_good_result_stays_and_runs_are_compressed():
    assert judge.judge_result(RESULT) == RESULT
    runs = {"size": [15, 20], "counts": [3, 4, 293]}
    found = judge.judge_result(RESULT | {"segmentation": runs})["segmentation"]
    expected = coco_mask.frPyObjects(runs, 15, 20)
    assert found["size"] == [15, 20] and found["counts"] in (expected["counts"], expected["counts"].decode())
