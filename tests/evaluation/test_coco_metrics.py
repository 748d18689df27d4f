"""Scores against published figures, pycocotools' own summary, and numbers worked out by hand."""

import contextlib
import copy
import io
import json

import numpy as np
import pytest
from pycocotools import coco, cocoeval
from scored_cases import keypoint_case, random_case, results_of, truth_of

from mask_rcnn_tf.evaluation import coco_metrics

BOX_NAMES = ["AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl"]
KEYPOINT_NAMES = ["AP", "AP50", "AP75", "APm", "APl", "AR", "AR50", "AR75", "ARm", "ARl"]


@pytest.mark.parametrize("name", ["bbox100", "segm100", "kp139099", "mmpose"])
def test_published_figures(shared_data, name):
    folder = shared_data / "eval_fixtures"
    cases = {case["name"]: case for case in json.loads((folder / "expected.json").read_text())["cases"]}
    case = cases[name]
    results = json.loads((folder / case["dt"]).read_text())
    table = coco_metrics.score(folder / case["gt"], results, (case["iouType"],))[case["iouType"]]
    assert list(table) == (KEYPOINT_NAMES if case["iouType"] == "keypoints" else BOX_NAMES)
    np.testing.assert_allclose(list(table.values()), case["published_stats"], atol=1e-6)


def reference(truth, results, kind, max_dets=None):
    """COCOeval with its own summary, on results that carry one type only."""
    key = {"bbox": "bbox", "segm": "segmentation"}[kind]
    results = [{name: item[name] for name in ("image_id", "category_id", "score", key)} for item in results]
    with contextlib.redirect_stdout(io.StringIO()):
        index = coco.COCO()
        index.dataset = copy.deepcopy(truth)
        index.createIndex()
        evaluation = cocoeval.COCOeval(index, index.loadRes(copy.deepcopy(results)), kind)
        if max_dets:
            evaluation.params.maxDets = list(max_dets)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation


@pytest.mark.parametrize("kind", ["bbox", "segm"])
def test_equals_pycocotools_summary(kind, capsys):
    truth, results = random_case()
    before = copy.deepcopy((truth, results))
    table = coco_metrics.score(truth, results)[kind]
    assert list(table) == BOX_NAMES
    np.testing.assert_allclose(list(table.values()), reference(truth, results, kind).stats, atol=1e-12)
    assert 0.1 < table["AP"] < 0.9
    assert (truth, results) == before
    assert capsys.readouterr().out == ""


def test_by_hand():
    """Two truths of one category. The best result matches one, the second none: precision 1, 1/2 and recall 1/2."""
    truth = truth_of([(5, 3, (10, 10, 50, 50), 0), (9, 3, (20, 20, 120, 100), 0)])
    results = results_of(truth, [(5, 3, (10, 10, 50, 50), 0.9), (9, 3, (0, 100, 20, 20), 0.8)])
    metrics = coco_metrics.score(truth, results)
    for kind in ("bbox", "segm"):
        half = 51 / 101  # recalls 0, 0.01, ... 0.50 of 101 have precision 1
        assert metrics[kind]["AP"] == pytest.approx(half)
        assert metrics[kind]["AP50"] == pytest.approx(half)
        assert metrics[kind]["APs"] == -1  # no truth is below 32 x 32
        assert metrics[kind]["APm"] == pytest.approx(1.0)
        assert metrics[kind]["APl"] == 0
        assert metrics[kind]["AR1"] == pytest.approx(0.5)
        assert metrics["per_category"][kind] == {"cat": pytest.approx(half), "oven": -1}


def test_per_category_means_to_ap():
    truth, results = random_case(3)
    metrics = coco_metrics.score(truth, results)
    for kind in ("bbox", "segm"):
        assert np.mean(list(metrics["per_category"][kind].values())) == pytest.approx(metrics[kind]["AP"])


def test_max_dets_other_than_100():
    """AP is at the last of max_dets, where COCOeval.summarize gives -1 for AP."""
    truth, results = random_case(1)
    evaluation = reference(truth, results, "bbox", (1, 3, 7))
    table = coco_metrics.score(truth, results, ("bbox",), max_dets=(1, 3, 7))["bbox"]
    assert list(table)[6:9] == ["AR1", "AR3", "AR7"]
    assert evaluation.stats[0] == -1
    np.testing.assert_allclose(list(table.values())[1:], evaluation.stats[1:], atol=1e-12)
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    assert table["AP"] == pytest.approx(precision[precision > -1].mean())
    many = coco_metrics.score(truth, results, ("bbox",), max_dets=(1, 10, 300))["bbox"]
    assert many["AR300"] == pytest.approx(coco_metrics.score(truth, results, ("bbox",))["bbox"]["AR100"])
    assert set(coco_metrics.score(truth, results, ("bbox",), max_dets=(5,))["bbox"]) >= {"AP", "AR5"}


def test_no_results_is_zero():
    truth = truth_of([(5, 3, (10, 10, 50, 50), 0)])
    for kind, table in coco_metrics.score(truth, []).items():
        if kind != "per_category":
            assert {name: value for name, value in table.items() if value} == dict.fromkeys(
                ["APs", "APl", "ARs", "ARl"], -1.0
            )


def test_annotation_id_zero_and_missing_fields():
    """pycocotools alone takes a match with annotation 0 for a miss, and fails without iscrowd or area."""
    truth = truth_of([(5, 3, (10, 10, 50, 50), 0), (9, 3, (20, 20, 120, 100), 0)])
    results = results_of(truth, [(5, 3, (10, 10, 50, 50), 0.9), (9, 3, (20, 20, 120, 100), 0.8)])
    for number, annotation in enumerate(truth["annotations"]):
        annotation["id"] = number
        del annotation["iscrowd"], annotation["area"]
    metrics = coco_metrics.score(truth, results)
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == pytest.approx(1.0)


@pytest.mark.parametrize(("sigma", "ap"), [(0.1, 1.0), (0.005, 0.0)])
def test_keypoints_with_sigmas(sigma, ap):
    """OKS = exp(-9 / (2 * area * (2 sigma)^2)): 0.963 and 0 for an area of 3000; a different case for each sigma."""
    truth, results = keypoint_case(2)
    assert np.exp(-9 / (2 * 3000 * (2 * sigma) ** 2)) == pytest.approx({0.1: 0.9632, 0.005: 0.0}[sigma], abs=1e-3)
    table = coco_metrics.score(truth, results, ("keypoints",), sigmas=(sigma, sigma))["keypoints"]
    assert list(table) == KEYPOINT_NAMES
    assert table["AP"] == pytest.approx(ap)


def test_keypoints_need_sigmas():
    truth, results = keypoint_case(2)
    with pytest.raises(ValueError, match="sigmas has 17 values .None is COCO., but keypoints has 2 joints"):
        coco_metrics.score(truth, results, ("keypoints",))


@pytest.mark.parametrize(("key", "value"), [("image_id", 77), ("category_id", 71)])
def test_unknown_ids_are_one_error(key, value):
    truth, results = random_case()
    results[3][key] = value
    with pytest.raises(ValueError, match=f"results have {key} {value}; the ground truth has no such {key}"):
        coco_metrics.score(truth, results)


def test_other_bad_input():
    truth, results = random_case()
    with pytest.raises(ValueError, match="iou_types is .'mask',.; allowed"):
        coco_metrics.score(truth, results, ("mask",))
    with pytest.raises(ValueError, match="max_dets is .100, 10.; allowed"):
        coco_metrics.score(truth, results, max_dets=(100, 10))
    with pytest.raises(ValueError, match="ground_truth has no 'categories'"):
        coco_metrics.score({"images": [], "annotations": []}, [])
    del results[0]["segmentation"]
    with pytest.raises(ValueError, match=f"1 of {len(results)} results have no 'segmentation'"):
        coco_metrics.score(truth, results)
    truth["annotations"][2]["segmentation"] = []
    with pytest.raises(ValueError, match="ground_truth: annotation 3 of image 5: annotation has no mask"):
        coco_metrics.score(truth, results)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ground_truth": []}, "ground_truth is a list; allowed: a COCO-format dict, or its path"),
        ({"ground_truth": None}, "ground_truth is a NoneType; allowed: a COCO-format dict, or its path"),
        ({"results": None}, "results is a NoneType; allowed: a list of COCO results"),
        ({"results": "results.json"}, "results is a str; allowed: a list of COCO results"),
        ({"iou_types": None}, "iou_types is None; allowed: a tuple of"),
        ({"max_dets": ("1",)}, "max_dets is .'1',.; allowed: ascending whole numbers"),
        ({"max_dets": (1.5,)}, "max_dets is .1.5,.; allowed: ascending whole numbers"),
        ({"max_dets": 100}, "max_dets is 100; allowed: ascending whole numbers"),
    ],
)
def test_arguments_of_another_kind_are_one_line(change, message):
    truth, results = random_case()
    with pytest.raises(ValueError, match=message) as error:
        coco_metrics.score(**({"ground_truth": truth, "results": results} | change))
    assert "\n" not in str(error.value)


def test_format_table():
    text = coco_metrics.format_table({"bbox": {"AP": 0.5012, "APs": -1.0}, "per_category": {"bbox": {"cat": 1.0}}})
    assert text == "bbox      AP 50.1  APs -"
