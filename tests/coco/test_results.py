"""COCO results against pycocotools on whole images."""

import json
import sys

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_client import pasting
from mask_rcnn_tf.coco import results as coco_results


@pytest.fixture
def paste_nearest(monkeypatch):
    """A paste that magnifies each mask pixel to 2 x 2, from the box's corner on: numbers a hand can follow."""

    def paste_mask(probabilities, box, image_shape, paste):
        assert paste in ("continuous", "integer")
        return np.kron(probabilities, np.ones((2, 2), np.float32)), (int(box[0]), int(box[1]))

    monkeypatch.setattr(pasting, "paste_mask", paste_mask)


def detections():
    return {
        "detection_boxes": np.array([[2, 3, 6, 7], [0, 0, 4, 4.5]], np.float32),
        "detection_scores": np.array([0.9, 0.25], np.float32),
        "detection_classes": np.array([2, 1], np.int32),
        "detection_masks": np.array([[[0.5, 0.75], [0.25, 0.5]], [[1, 1], [1, 1]]], np.float32),
        "detection_keypoints": np.array([[[4.5, 3.5, 0.8]], [[1.0, 2.0, 0.1]]], np.float32),
    }


def test_to_results(paste_nearest):
    first, second = json.loads(json.dumps(coco_results.to_results(detections(), np.int64(42), (8, 10), (7, 90))))
    assert (first["image_id"], first["category_id"], first["bbox"]) == (42, 90, [3, 2, 4, 4])
    assert (second["category_id"], second["bbox"], second["score"]) == (7, [0, 0, 4.5, 4], 0.25)
    np.testing.assert_allclose(first["keypoints"], [4.0, 3.0, 0.8])
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 3:7] = 1
    mask[4:6, 5:7] = 1  # 0.5 belongs to it, 0.25 does not
    np.testing.assert_array_equal(coco_mask.decode(first["segmentation"]), mask)


def test_integer_paste_compares_strictly(paste_nearest):
    (first, _) = coco_results.to_results(detections(), 1, (8, 10), (7, 90), paste="integer")
    mask = np.zeros((8, 10), np.uint8)
    mask[2:4, 5:7] = 1  # only 0.75 is above 0.5
    np.testing.assert_array_equal(coco_mask.decode(first["segmentation"]), mask)


def test_no_detections_and_no_masks():
    empty = {name: value[:0] for name, value in detections().items()}
    assert coco_results.to_results(empty, 1, (8, 10), (7, 90)) == []
    boxes_only = {name: value for name, value in detections().items() if name[10:] in ("boxes", "scores", "classes")}
    assert set(coco_results.to_results(boxes_only, 1, (8, 10), (7, 90))[0]) == {
        "image_id",
        "category_id",
        "bbox",
        "score",
    }


def test_class_without_category_id():
    with pytest.raises(ValueError, match="detection_classes has values from 1 to 2; allowed: 1 to 1"):
        coco_results.to_results(detections(), 1, (8, 10), (7,))


@pytest.mark.parametrize("paste", ["continuous", "integer"])
def test_real_paste_covers_the_box(paste):
    """Through `ops.masks`: a full mask gives the whole pixels of its box."""
    assert "mask_rcnn_tf.ops.masks" in sys.modules
    found = {
        "detection_boxes": np.array([[10, 20, 40, 60]], np.float32),
        "detection_scores": np.ones(1, np.float32),
        "detection_classes": np.ones(1, np.int32),
        "detection_masks": np.ones((1, 28, 28), np.float32),
    }
    (result,) = coco_results.to_results(found, 1, (64, 80), (1,), paste=paste)
    mask = coco_mask.decode(result["segmentation"]).astype(bool)
    box = np.zeros((64, 80), bool)
    box[10:40, 20:60] = True
    assert (mask & box).sum() / (mask | box).sum() > 0.88  # "integer" adds up to a row and a column a side
