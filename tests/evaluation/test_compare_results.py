"""Comparing result files: what must be found equal, and what must not."""

import copy
import json
import sys

import forked
import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.evaluation.compare_results import Tolerance, compare, on_the_edge


def result(x=10.0, score=0.9, category=1, image=1, columns=20):
    mask = np.zeros((60, 60), np.uint8, order="F")
    mask[10:30, 10 : 10 + columns] = 1
    rle = coco_mask.encode(mask)
    return {
        "image_id": image,
        "category_id": category,
        "bbox": [x, 10.3, 20.0, 20.0],
        "score": score,
        "segmentation": {"size": [60, 60], "counts": rle["counts"].decode()},
    }


def check(results, reference, **options):
    arguments = {"tolerance": Tolerance(), "score_threshold": 0.05, "max_detections": 100, **options}
    return compare(results, reference, **arguments)


def test_order_does_not_matter_and_small_differences_pass():
    ours = [result(image=2), result(10.005, 0.90005), result(40.0)]
    found = check(ours, [result(40.0), result(), result(image=2)])
    assert (found.matched, found.edge, found.differences) == (3, 0, [])
    np.testing.assert_allclose([found.box, found.score], [0.005, 5e-5], atol=1e-9)
    assert found.mask_ious.tolist() == [1.0] * 3


@pytest.mark.parametrize(
    ("other", "text"),
    [
        (result(10.02), "differs by 0.02 px"),
        (result(score=0.8995), "0.0005 in score"),
        (result(columns=18), "mask IoU 0.9000, 40 pixels"),
        (result(category=2), "alone"),
        (result(image=3), "alone"),
        (result(12.0), "alone"),
    ],
)
def test_what_differs_is_named(other, text):
    differences = check([result()], [other]).differences
    assert differences and text in differences[0]


def test_alone_at_the_threshold_or_at_the_last_place_is_tolerated():
    assert check([result(), result(40.0, 0.05005)], [result()]).edge == 1
    assert check([result(), result(40.0, 0.0502)], [result()]).differences
    full = [result(), result(40.0, 0.4)]
    other = [result(), result(80.0, 0.40005)]
    assert check(full, other, max_detections=2).edge == 2
    assert len(check(full, other, max_detections=3).differences) == 2


def test_only_an_integer_edge_excuses_a_mask():
    # 20 px grow by 20 / 28 on each side: x1 = 12 + 20 / 28 becomes 12.
    ours, theirs = result(12 + 20 / 28), result(12 + 20 / 28)
    theirs["segmentation"] = result(columns=200)["segmentation"]
    assert on_the_edge(np.array([12 + 20 / 28, 10.3, 32 + 20 / 28, 30.3]), 1e-2, 28)
    assert not on_the_edge(np.array([12.3, 10.3, 32.3, 30.3]), 1e-2, 28)
    assert check([ours], [theirs], paste="integer").differences
    theirs["segmentation"] = _grown(ours)
    assert check([ours], [theirs]).differences
    assert not check([ours], [theirs], paste="integer").differences


def test_a_few_pixels_may_be_allowed():
    ours = result()
    theirs = {**ours, "segmentation": _grown(ours)}  # five pixels
    assert check([ours], [theirs], tolerance=Tolerance(mask_pixels=4)).differences
    assert not check([ours], [theirs], tolerance=Tolerance(mask_pixels=5)).differences
    assert check([ours], [result(columns=18)], tolerance=Tolerance(mask_pixels=5)).differences


def test_what_cannot_be_compared():
    other = result()
    other["segmentation"] = {"size": [30, 60], "counts": coco_mask.encode(np.zeros((30, 60), np.uint8, "F"))["counts"]}
    with pytest.raises(ValueError, match=r"masks of image 1 have sizes \[60, 60\] and \[30, 60\]; allowed: one size"):
        check([result()], [other])
    bare = {key: value for key, value in result().items() if key != "bbox"}
    with pytest.raises(ValueError, match="reference has 1 of 1 results without 'bbox'"):
        check([result()], [bare])


def _grown(item):
    """The mask with five pixels more: IoU 400 / 405 = 0.9877."""
    mask = np.asfortranarray(coco_mask.decode(item["segmentation"]))
    mask[30, 10:15] = 1
    rle = coco_mask.encode(mask)
    return {"size": [60, 60], "counts": rle["counts"].decode()}


def test_tool(tmp_path):
    paths = [tmp_path / "a.json", tmp_path / "b.json"]
    other = copy.deepcopy(result())
    other["score"] = 0.7
    paths[0].write_text(json.dumps([result()]))
    paths[1].write_text(json.dumps([other]))
    command = [sys.executable, "tools/compare_results.py", f"--results={paths[0]}", f"--reference={paths[1]}"]
    run = forked.run(command)
    assert run.returncode == 1 and "1 differences" in run.stderr
    assert "1 detections in both" in run.stdout and "0.2 in score" in run.stdout
