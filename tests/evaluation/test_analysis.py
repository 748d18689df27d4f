"""Curves, thresholds, confusions and worst images against pycocotools, counting by hand, and brute force."""

import contextlib
import copy
import io

import numpy as np
import pytest
import tide_scenes
from pycocotools import coco, cocoeval
from tide_scenes import AWAY, FAR, HERE, NEAR, one_image

from mask_rcnn_tf.evaluation import analysis, coco_metrics, confusion, curves


def precision_of(truth, results, kind, max_dets):
    """pycocotools' own, of all its IoUs and areas."""
    rows = [{key: value for key, value in row.items() if key != "bbox" or kind == "bbox"} for row in results]
    with contextlib.redirect_stdout(io.StringIO()):
        index = coco.COCO()
        index.dataset = copy.deepcopy(truth)
        index.createIndex()
        evaluation = cocoeval.COCOeval(index, index.loadRes(copy.deepcopy(rows)), kind)
        evaluation.params.maxDets = max_dets
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation.eval["precision"]


def analyzed(truth, results, kind="bbox", **options):
    return analysis.analyze(coco_metrics.load_truth(truth, (kind,)), results, kind, **options)


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_curves_are_those_of_pycocotools(kind):
    truth, results = tide_scenes.scene(5, crowds=True)
    index = coco_metrics.load_truth(truth)
    before = copy.deepcopy((index.anns, results))
    ours = analysis.analyze(index, results, kind, max_dets=3)
    assert before == (index.anns, results)
    whole = precision_of(truth, results, kind, [1, 2, 3])
    np.testing.assert_array_equal(ours.matching.precision, whole[[0, 5], :, :, 0, -1])
    table = coco_metrics.score_truth(index, results, (kind,), (1, 2, 3))[kind]
    for number, name in ((0, "AP50"), (1, "AP75")):
        assert np.mean([row for row in curves.class_ap(ours.matching, number)]) == pytest.approx(table[name])
        assert curves.mean_precision(ours.matching, number).mean() == pytest.approx(table[name])
    for number in range(tide_scenes.CLASSES):  # and our own curve, by which errors are mended
        chosen = ours.matching.classes == number
        own = curves.interpolated_precision(
            ours.matching.scores[chosen], ours.matching.found[chosen] >= 0, ours.matching.object_counts[number]
        )
        np.testing.assert_array_equal(own, whole[0, :, number, 0, -1])


def test_what_thresholds_make_of_results_and_which_is_best():
    truth, results = tide_scenes.scene(1)
    ours = analyzed(truth, results)
    objects = len(truth["annotations"])
    by_hand = {}
    for index in range(0, 100, 5):
        kept = [result for result in results if result["score"] >= index / 100]
        again = analyzed(truth, kept).matching
        right = int((again.found >= 0).sum())
        by_hand[index / 100] = (right / len(kept), right / objects, 2 * right / (len(kept) + objects))
    kept, right = curves.counts_by_threshold(ours.matching)
    rows = {index / 100: curves.at_threshold(index, kept.sum(1), right.sum(1), objects) for index in range(100)}
    for score, expected in by_hand.items():
        assert (rows[score].precision, rows[score].recall, rows[score].f1) == expected
    assert ours.best == rows[ours.best.score] and ours.best.f1 == max(row.f1 for row in rows.values())
    assert ours.best == ours.common
    own = [row.best.f1 for row in ours.classes]
    assert all(row.best.f1 >= row.common.f1 for row in ours.classes) and len(set(own)) > 1


def test_of_equal_thresholds_the_middle_is_taken():
    ours = analyzed(*one_image([(1, HERE)], [(1, HERE, 0.9), (1, AWAY, 0.1)]))
    assert ours.best.score == pytest.approx(0.51) and ours.best.f1 == 1  # 0.11 to 0.90 are equal


def test_confusions_by_hand():
    """Of three objects one is found, one taken for another class, one missed; one result is on nothing."""
    truth, results = one_image(
        [(1, HERE), (2, FAR), (2, AWAY)],
        [(1, HERE, 0.9), (1, FAR, 0.8), (1, NEAR, 0.7), (2, AWAY, 0.3)],
    )
    ours = analyzed(truth, results).matching
    sorted_out = confusion.outcome(ours, 0.5)
    assert confusion.matrix(ours, sorted_out).tolist() == [[1, 0, 0], [1, 0, 1], [1, 0, 0]]
    assert confusion.by_image(ours, sorted_out).tolist() == [[1, 1, 1]]
    assert confusion.matrix(ours, confusion.outcome(ours, 0.0)).tolist() == [[1, 0, 0], [1, 1, 0], [1, 0, 0]]


@pytest.mark.parametrize("kind", ["bbox", "segm"])
@pytest.mark.parametrize("score", [0.0, 0.4, 0.9])
def test_everything_is_in_the_matrix_once(kind, score):
    truth, results = tide_scenes.scene(2)
    ours = analyzed(truth, results, kind).matching
    counts = confusion.matrix(ours, confusion.outcome(ours, score))
    of_classes = [sum(row["category_id"] == number for row in truth["annotations"]) for number in range(1, 6)]
    kept = [sum(r["category_id"] == number and r["score"] >= score for r in results) for number in range(1, 6)]
    assert counts[:-1].sum(1).tolist() == of_classes and counts[:, :-1].sum(0).tolist() == kept
    assert counts[:-1, :-1][~np.eye(5, dtype=bool)].sum() > 0 or score == 0.9
    # The diagonal is what pycocotools finds among those results.
    right = analyzed(truth, [result for result in results if result["score"] >= score], kind).matching
    found = right.classes[right.found >= 0]
    assert np.diag(counts)[:-1].tolist() == np.bincount(found, minlength=5).tolist()


def test_worst_images_come_first():
    truth, results = tide_scenes.scene(3)
    ours = analyzed(truth, results)
    sums = [row.missed + row.false + row.confused for row in ours.images]
    assert sums == sorted(sums, reverse=True) and min(sums) > 0
    assert sum(row.missed for row in ours.images) == len(ours.outcome.missed)
    worst = ours.images[0].image_id
    kept = [result for result in results if result["image_id"] == worst and result["score"] >= ours.common.score]
    there = [row for row in truth["annotations"] if row["image_id"] == worst]
    found = int((ours.matching.object_images[ours.outcome.found[:, 1]] == ours.matching.image_ids.index(worst)).sum())
    assert ours.images[0].missed + ours.images[0].confused + found == len(there)
    assert ours.images[0].false + ours.images[0].confused + found == len(kept)


def test_the_order_of_categories_in_the_file_is_none_of_ours():
    truth, results = tide_scenes.scene(3)
    expected = analyzed(truth, results)
    truth["categories"].reverse()
    assert analyzed(truth, results).classes == expected.classes
    table = coco_metrics.score(truth, results, ("bbox",))["per_category"]["bbox"]
    whole = precision_of(truth, results, "bbox", [1, 10, 100])[0, :, :, 0, -1].mean(0)
    for row, ap50 in zip(expected.classes, whole, strict=True):  # pycocotools sorts by id
        assert row.ap50 == pytest.approx(ap50) and row.ap50 >= table[row.name]


def test_nothing_found_and_nothing_there():
    """No results; a class without objects; an image without objects; results on it alone."""
    truth, _ = one_image([(1, HERE)], [])
    truth["images"].append({"id": 2, "file_name": "b.png", "height": 200, "width": 300})
    ours = analyzed(truth, [])
    assert ours.best is None and ours.common == curves.Threshold(0.5, None, 0.0, 0.0)
    assert [(row.name, row.objects, row.ap50) for row in ours.classes] == [("a", 1, 0.0), ("b", 0, None)]
    assert ours.confusion.tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]
    results = [{"image_id": 2, "category_id": 2, "bbox": HERE, "score": 0.7}]
    ours = analyzed(truth, results)
    assert ours.classes[1].ap50 is None and ours.classes[1].common.precision == 0.0
    assert [(row.image_id, row.missed, row.false) for row in ours.images] == [(1, 1, 0), (2, 0, 1)]
    assert analysis.to_json(ours)["error_counts"]["bkg"] == 1


def test_what_cannot_be_analyzed_is_one_line():
    truth, results = tide_scenes.scene(0)
    with pytest.raises(ValueError, match="kind is 'keypoints'; allowed: 'bbox', 'segm'"):
        analyzed(truth, results, "keypoints")
    index = coco_metrics.load_truth(truth)
    index.dataset["images"][0]["neg_category_ids"] = []
    with pytest.raises(ValueError, match="ground_truth is of LVIS, .*; allowed: COCO's"):
        analysis.analyze(index, results, "bbox")
