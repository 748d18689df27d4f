"""The agreement of detections whose numbers differ."""

import numpy as np
import pytest

from mask_rcnn_tf.coco.rle import encode_crop
from mask_rcnn_tf.export.agreement import agreement
from mask_rcnn_tf.export.errors import ExportError


def found(left, score, image=1, category=1, top=0.0):
    return {"image_id": image, "category_id": category, "bbox": [float(left), top, 10.0, 10.0], "score": score}


def test_the_same_agrees_wholly():
    items = [found(0, 0.9), found(50, 0.8, image=2), found(90, 0.2)]
    assert agreement(items, items) == 1.0


def test_by_hand():
    """Reference: better half is at 0 and 20. Results: better half is at 21 and 60; only one of each has a partner."""
    reference = [found(0, 0.9), found(20, 0.8), found(40, 0.3), found(80, 0.2)]
    results = [found(21, 0.7), found(60, 0.6), found(41, 0.1), found(81, 0.1)]
    assert agreement(results, reference) == (1 / 2 + 1 / 2) / 2
    assert agreement([found(21, 0.7)], reference) == (1 + 1 / 2) / 2


def test_lower_half_does_not_count_but_is_a_partner():
    reference = [found(0, 0.9), found(40, 0.3)]
    assert agreement([found(0, 0.9), found(70, 0.1)], reference) == 1.0
    assert agreement([found(70, 0.9), found(0, 0.1)], reference) == (0 + 1) / 2


def test_scores_are_ordered_over_all_images():
    """A per-image half would count the lonely detection of image 2; pooled it is in the lower half."""
    reference = [found(0, 0.9), found(20, 0.8), found(0, 0.1, image=2)]
    results = [found(0, 0.9), found(20, 0.8)]
    assert agreement(results, reference) == 1.0


@pytest.mark.parametrize("change", [{"image": 2}, {"category": 2}, {"top": 4.0}])
def test_no_partner(change):
    """A box 4 of 10 pixels lower has IoU 60 / 140."""
    assert agreement([found(0, 0.9, **change)], [found(0, 0.9)]) == 0.0


def test_iou_of_one_half_is_a_partner():
    wide = dict(found(0, 0.9), bbox=[0.0, 0.0, 20.0, 10.0])
    assert agreement([wide], [found(0, 0.9)]) == 1.0


def test_nothing():
    assert agreement([], [found(0, 0.9)]) == 0.0
    with pytest.raises(ExportError, match="finds nothing"):
        agreement([found(0, 0.9)], [])


def test_masks_count_where_there_are_any():
    """The same box around the left and the right half of it."""
    left, right = np.zeros((2, 30, 30), np.uint8)
    left[:10, :5], right[:10, 5:10] = 1, 1
    items = [dict(found(0, 0.9), segmentation=encode_crop(mask, (0, 0), mask.shape)) for mask in (left, right)]
    assert agreement(items[:1], items[1:]) == 0.0
    assert agreement(items[:1], items) == 1.0
