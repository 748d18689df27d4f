"""Masks as rings: pycocotools and Pillow fill them to the same masks."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import contours
from mask_rcnn_tf.coco.errors import Rejected


def filled(ring, shape):
    encoded = coco_mask.frPyObjects([ring.ravel().tolist()], *shape)
    return coco_mask.decode(coco_mask.merge(encoded)).astype(bool)


def signed_area(ring):
    x, y = ring.T
    return (x * np.roll(y, -1) - np.roll(x, -1) * y).sum() / 2


def test_a_ring_with_a_hole_by_hand():
    mask = np.ones((3, 3), bool)
    mask[1, 1] = False
    outer, hole = contours.rings(mask)
    assert outer.tolist() == [[0, 0], [3, 0], [3, 3], [0, 3]] and signed_area(outer) == 9
    assert sorted(map(tuple, hole)) == [(1, 1), (1, 2), (2, 1), (2, 2)] and signed_area(hole) == -1


def test_pixels_that_touch_at_a_corner_are_apart():
    rings = contours.rings(np.eye(3, dtype=bool))
    assert [signed_area(ring) for ring in rings] == [1, 1, 1]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_random_masks_with_holes_and_parts(share):
    random = np.random.default_rng(int(10 * share))
    for _ in range(60):
        mask = random.random(random.integers(1, 15, 2)) < share
        if mask.any():
            rings = contours.rings(mask)
            assert sum(map(signed_area, rings)) == mask.sum()
            np.testing.assert_array_equal(filled(contours.joined(rings), mask.shape), mask)


def test_large_rings_are_joined_by_a_part_of_their_corners():
    ys, xs = np.mgrid[:300, :300]
    mask = (np.hypot(ys - 150, xs - 150) < 140) & ((ys // 7 + xs // 7) % 2 == 0) | (xs < 9)
    np.testing.assert_array_equal(filled(contours.joined(contours.rings(mask)), (300, 300)), mask)


def test_noise_is_refused_before_it_takes_minutes(monkeypatch):
    noise = np.random.default_rng(0).random((60, 60)) < 0.5
    monkeypatch.setattr(contours, "MOST", 20)
    with pytest.raises(Rejected, match=r"too many parts and holes for a polygon: \d+; allowed: 20"):
        contours.rings(noise)
    monkeypatch.setattr(contours, "LONGEST", 300)
    with pytest.raises(Rejected, match=r"border is too long for a polygon: \d+ sides of pixels; allowed: 300"):
        contours.rings(noise)
