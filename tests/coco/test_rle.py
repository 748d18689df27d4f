"""Run lengths against pycocotools and the definition."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import mask_runs


def bitmap(runs, height, width):
    """The definition of uncompressed counts, run by run."""
    flat, value = [], 0
    for run in runs:
        flat += [value] * int(run)
        value = 1 - value
    return np.array(flat, np.uint8).reshape(width, height).T


def test_decode_counts_equals_pycocotools():
    random = np.random.default_rng(0)
    masks = [
        random.random((h, w)) < p for h, w, p in [(1, 1, 2), (7, 5, 0.5), (60, 80, 0.02), (300, 400, 0.9), (9, 9, 0)]
    ]
    masks.append(np.pad(np.ones((200, 300), bool), ((40, 800), (700, 10))))  # runs that need several characters
    for mask in masks:
        encoded = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        np.testing.assert_array_equal(bitmap(rle.decode_counts(encoded["counts"]), *mask.shape), mask)
        text = rle.decode_counts(encoded["counts"].decode())
        np.testing.assert_array_equal(text, rle.decode_counts(encoded["counts"]))


@pytest.mark.parametrize("text", ["", "\x10", "P", "0P", "é", "PPPPPPPPPPPP0", "\U0001f600"])
def test_decode_counts_refuses_garbage(text):
    with pytest.raises(Rejected, match="cannot be decoded"):
        rle.decode_counts(text)


def test_polygons_and_both_rle_forms_agree():
    polygons = [[2, 2, 12.4, 3, 10, 9.7, 3, 8], [10, 5, 19, 5, 19, 14.2, 11, 14]]
    reference = coco_mask.merge(coco_mask.frPyObjects(polygons, 15, 20))
    mask = coco_mask.decode(reference)
    counts = mask_runs(polygons, 15, 20)
    np.testing.assert_array_equal(bitmap(counts, 15, 20), mask)
    compressed = {"size": [15, 20], "counts": reference["counts"].decode()}
    np.testing.assert_array_equal(mask_runs(compressed, 15, 20), counts)
    np.testing.assert_array_equal(mask_runs({"size": [15, 20], "counts": counts.tolist()}, 15, 20), counts)
    assert rle.area(counts) == mask.sum()
    x, y, w, h = coco_mask.toBbox(reference)
    np.testing.assert_array_equal(rle.box(counts, 15, 20), [y, x, y + h, x + w])


CASES = {
    "inside": ((3, 5), (7, 9), (20, 30)),
    "corner": ((0, 0), (6, 4), (20, 30)),
    "last_pixel": ((14, 26), (6, 4), (20, 30)),
    "full_height": ((0, 3), (20, 8), (20, 30)),
    "full_image": ((0, 0), (20, 30), (20, 30)),
    "one_pixel": ((19, 29), (1, 1), (20, 30)),
    "one_row_image": ((0, 2), (1, 5), (1, 9)),
    "empty_window": ((4, 4), (0, 0), (20, 30)),
}


def whole(crop, origin, image_shape):
    image = np.zeros(image_shape, np.uint8)
    image[origin[0] : origin[0] + crop.shape[0], origin[1] : origin[1] + crop.shape[1]] = crop
    encoded = coco_mask.encode(np.asfortranarray(image))
    return {"size": list(encoded["size"]), "counts": encoded["counts"].decode()}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("density", [0.0, 0.3, 0.5, 0.97, 1.0])
def test_encode_crop_equals_pycocotools(name, density):
    origin, crop_shape, image_shape = CASES[name]
    crop = np.random.default_rng(7).random(crop_shape) < density
    assert rle.encode_crop(crop, origin, image_shape) == whole(crop, origin, image_shape)


@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
def test_crop_is_the_bitmap_where_it_has_pixels(density):
    random = np.random.default_rng(0)
    for height, width in ((7, 9), (1, 12), (12, 1), (30, 40)):
        mask = random.random((height, width)) < density
        mask[: height // 3] = mask[:, : width // 4] = False
        runs = rle.decode_counts(coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"])
        crop, (top, left) = rle.crop(runs, height, width)
        painted = np.zeros((height, width), bool)
        painted[top : top + crop.shape[0], left : left + crop.shape[1]] = crop
        np.testing.assert_array_equal(painted, mask)
        assert not crop.size or (crop[[0, -1]].any(1).all() and crop[:, [0, -1]].any(0).all())


def test_runs_of_no_pixel_are_joined():
    counts = [490, 5, 0, 5, 2572]
    assert rle.runs_of_rle({"size": [48, 64], "counts": counts}, 48, 64).tolist() == [490, 10, 2572]
    assert rle.runs_of_rle({"size": [1, 4], "counts": [0, 0, 0, 4]}, 1, 4).tolist() == [0, 4]
