"""faster-coco-eval gives pycocotools' figures, and a judge that cannot be had is said before anything is predicted."""

import copy
import json
import sys

import numpy as np
import pytest
import tensorflow as tf
from scored_cases import keypoint_case, random_case

from mask_rcnn_tf.evaluation import coco_metrics, judges
from mask_rcnn_tf.evaluation.callback import CocoEvaluation

INSTALLED = "faster_coco_eval is not installed (the extra scoring)"


def same(one, other, name="metrics"):
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for key, value in one.items():
            same(value, other[key], f"{name}/{key}")
    else:
        assert one == pytest.approx(other, abs=1e-9), name


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("max_dets", [None, (1, 5), (2, 20, 300)])
def test_figures_are_the_same(seed, max_dets):
    """Crowds, ties, results of one place twice, categories without objects, all areas."""
    pytest.importorskip("faster_coco_eval", reason=INSTALLED)
    truth, results = random_case(seed, count=60)
    for result in results[::3]:
        result["score"] = round(result["score"], 1)  # ties
    results += copy.deepcopy(results[:5])
    truth["categories"].append({"id": 90, "name": "without objects"})
    before = copy.deepcopy((truth, results))
    faster = coco_metrics.score(truth, results, max_dets=max_dets, judge="faster_coco_eval")
    same(faster, coco_metrics.score(truth, results, max_dets=max_dets))
    assert (truth, results) == before and 0.05 < faster["segm"]["AP"] < 0.9


def test_nothing_found_and_keypoints():
    pytest.importorskip("faster_coco_eval", reason=INSTALLED)
    truth, _ = random_case()
    same(coco_metrics.score(truth, [], judge="faster_coco_eval"), coco_metrics.score(truth, []))
    truth, results = keypoint_case(2)
    options = {"iou_types": ("keypoints",), "sigmas": (0.02, 0.06)}
    faster = coco_metrics.score(truth, results, **options, judge="faster_coco_eval")
    same(faster, coco_metrics.score(truth, results, **options))
    assert 0 < faster["keypoints"]["AP"] < 1


@pytest.mark.parametrize("name", ["bbox100", "segm100", "kp139099", "mmpose"])
def test_published_figures(shared_data, name):
    pytest.importorskip("faster_coco_eval", reason=INSTALLED)
    folder = shared_data / "eval_fixtures"
    case = {case["name"]: case for case in json.loads((folder / "expected.json").read_text())["cases"]}[name]
    results, kinds = json.loads((folder / case["dt"]).read_text()), (case["iouType"],)
    table = coco_metrics.score(folder / case["gt"], results, kinds, judge="faster_coco_eval")[case["iouType"]]
    np.testing.assert_allclose(list(table.values()), case["published_stats"], atol=1e-6)


def test_unknown_and_missing_judges_are_one_line(monkeypatch):
    truth, results = random_case()
    with pytest.raises(ValueError, match="judge is 'cocoapi'; allowed: 'pycocotools', 'faster_coco_eval'"):
        coco_metrics.score(truth, results, judge="cocoapi")
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(ValueError, match=r"allowed: 'pycocotools', or `pip install mask_rcnn_tf\[scoring\]`"):
        judges.check("faster_coco_eval")
    with pytest.raises(ValueError, match="its package cannot be imported"):  # now, not at the end of an epoch
        CocoEvaluation(tf.data.Dataset.range(1), truth, judge="faster_coco_eval")
