import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.data import annotations
from mask_rcnn_tf.data.report import Rejected


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
        rle = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        np.testing.assert_array_equal(bitmap(annotations.decode_counts(rle["counts"]), *mask.shape), mask)
        text = annotations.decode_counts(rle["counts"].decode())
        np.testing.assert_array_equal(text, annotations.decode_counts(rle["counts"]))


@pytest.mark.parametrize("text", ["", "\x10", "P", "0P", "é", "PPPPPPPPPPPP0", "\U0001f600"])
def test_decode_counts_refuses_garbage(text):
    with pytest.raises(Rejected, match="cannot be decoded"):
        annotations.decode_counts(text)


def test_polygons_and_both_rle_forms_agree():
    polygons = [[2, 2, 12.4, 3, 10, 9.7, 3, 8], [10, 5, 19, 5, 19, 14.2, 11, 14]]
    reference = coco_mask.merge(coco_mask.frPyObjects(polygons, 15, 20))
    mask = coco_mask.decode(reference)
    counts = annotations.mask_runs(polygons, 15, 20)
    np.testing.assert_array_equal(bitmap(counts, 15, 20), mask)
    compressed = {"size": [15, 20], "counts": reference["counts"].decode()}
    np.testing.assert_array_equal(annotations.mask_runs(compressed, 15, 20), counts)
    np.testing.assert_array_equal(annotations.mask_runs({"size": [15, 20], "counts": counts.tolist()}, 15, 20), counts)
    assert annotations.runs_area(counts) == mask.sum()
    x, y, w, h = coco_mask.toBbox(reference)
    np.testing.assert_array_equal(annotations.box_of_runs(counts, 15, 20), [y, x, y + h, x + w])


@pytest.mark.parametrize(
    ("segmentation", "reason"),
    [
        ([[1, 1, 5, 5]], "fewer than 6"),
        ([[1, 1, 5, 5, 3, 4, 2]], "odd number"),
        ([[]], "fewer than 6"),
        ([[1, 1, 5, 1, 5, 5], [1, 2]], "fewer than 6"),
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
        annotations.mask_runs(segmentation, 15, 20)


def test_boxes_are_clipped():
    np.testing.assert_array_equal(annotations.clipped_box([-2, 3, 10, 100], 15, 20), [3, 0, 15, 8])
    np.testing.assert_array_equal(annotations.clipped_box([1.5, 2.25, 3, 4], 15, 20), [2.25, 1.5, 6.25, 4.5])


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
        annotations.clipped_box(bbox, 15, 20)


def test_keypoints():
    rows = annotations.keypoint_rows([3, 4, 2, 7, 8, 0, 1.5, 2, 1], 3)
    np.testing.assert_array_equal(rows, [[3.5, 4.5, 2], [0, 0, 0], [2, 2.5, 1]])
    np.testing.assert_array_equal(annotations.keypoint_rows(None, 2), np.zeros((2, 3)))
    for bad in ([1, 2, 2], [1, 2, 3, 1, 2, 2], [1, float("nan"), 2, 1, 2, 2]):
        with pytest.raises(Rejected, match="keypoints"):
            annotations.keypoint_rows(bad, 2)


def coco(**changes):
    image = {"id": 1, "file_name": "a.png", "width": 4, "height": 4}
    good = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    return {key: value for key, value in (good | changes).items() if value is not None}


IMAGE = coco()["images"][0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "it has a list"),
        (coco(annotations=None), "it has 'images', 'categories'"),
        (coco(images={"1": IMAGE}), "must be a table with the lists"),
        (coco(images=[{"id": 1, "file_name": "a.png", "width": 4}]), r"images\[0\] has no 'height'"),
        (coco(images=[IMAGE | {"id": "1"}]), r"images\[0\].id is '1'; allowed: int"),
        (coco(images=[IMAGE, IMAGE]), "images has id 1 twice"),
        (coco(images=["a.png"]), r"images\[0\] is 'a.png'"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "categories has id 1 twice"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "categories has name 'a' twice"),
        (coco(categories=[]), "categories is empty"),
        (coco(annotations=[{"id": 1, "image_id": 1}]), r"annotations\[0\] has no 'category_id'"),
    ],
)
def test_not_coco(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=reason) as error:
        annotations.read_annotations(path)
    assert "is not in COCO format" in str(error.value) and "\n" not in str(error.value)


def test_not_a_file_and_not_json(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        annotations.read_annotations(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        annotations.read_annotations(tmp_path / "a.json")


def test_keypoint_count():
    assert annotations.keypoint_count(coco()) == 0
    assert annotations.keypoint_count(coco(categories=[{"id": 1, "name": "a", "keypoints": ["x", "y"]}])) == 2
    assert annotations.keypoint_count(coco(annotations=[{"keypoints": []}, {"keypoints": [1] * 15}])) == 5
    two = [{"id": 1, "name": "a", "keypoints": ["x"]}, {"id": 2, "name": "b", "keypoints": ["x", "y"]}]
    with pytest.raises(ValueError, match=r"name \[1, 2\] keypoints"):
        annotations.keypoint_count(coco(categories=two))
