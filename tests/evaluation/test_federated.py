"""LVIS's figures against those of its own program (tests/golden/lvis.json), and by hand."""

import copy
import json
import pathlib
import sys

import lvis_scenes
import numpy as np
import pytest
from lvis_scenes import annotation, category, image, result

from mask_rcnn_tf.evaluation import coco_metrics, federated

GOLDEN = json.loads((pathlib.Path(__file__).parents[1] / "golden" / "lvis.json").read_text())
BOX, AWAY = (10, 20, 60, 50), (120, 90, 60, 50)


@pytest.mark.parametrize("seed", lvis_scenes.SEEDS)
def test_equals_the_original_program(seed):
    truth, results = lvis_scenes.scene(seed)
    before = copy.deepcopy((truth, results))
    loaded = coco_metrics.load_truth(truth)
    for limit in lvis_scenes.LIMITS:
        tables = coco_metrics.score_truth(loaded, results, max_dets=None if limit == 300 else (1, limit))
        for kind, expected in GOLDEN[f"{seed}/{limit}"].items():
            assert list(tables[kind]) == list(expected)
            np.testing.assert_allclose([*tables[kind].values()], [*expected.values()], rtol=0, atol=1e-6, err_msg=kind)
    assert (truth, results) == before


@pytest.mark.parametrize("together", [1, 4])
def test_categories_are_scored_in_parts(together, monkeypatch):
    monkeypatch.setattr(federated, "TOGETHER", together)
    truth, results = lvis_scenes.scene(1)
    table = coco_metrics.score(truth, results, ("segm",))
    np.testing.assert_allclose([*table["segm"].values()], [*GOLDEN["1/300"]["segm"].values()], rtol=0, atol=1e-6)
    assert list(table["per_category"]["segm"]) == [row["name"] for row in truth["categories"]]


def by_hand():
    """Two images: in the first category 1 was found and 2 is absent, in the second 3 is unfinished and 1 absent."""
    images = [image(1, negative=[2]), image(2, negative=[1], partial=[3])]
    rows = [annotation(1, 1, 1, BOX), annotation(2, 2, 3, BOX)]
    return {"images": images, "annotations": rows, "categories": [category(i, "fcr"[i - 1]) for i in (1, 2, 3)]}


def test_by_hand():
    results = [
        result(2, 1, BOX, 0.9),  # known to be absent: wrong
        result(1, 1, BOX, 0.5),
        result(1, 3, AWAY, 0.9),  # nobody looked for it
        result(2, 3, AWAY, 0.9),  # may be an object that is not annotated
        result(2, 3, BOX, 0.6),
        result(1, 2, BOX, 0.9),  # wrong, of a category without objects: no figure
    ]
    tables = coco_metrics.score(by_hand(), results)
    for kind in ("bbox", "segm"):
        table = tables[kind]
        assert table["AP"] == table["AP50"] == table["APm"] == pytest.approx(0.75)
        assert (table["APr"], table["APc"], table["APs"]) == (pytest.approx(1.0), -1.0, -1.0)
        assert table["APf"] == pytest.approx(0.5) and table["AR300"] == 1.0
        names = {"thing 1": 0.5, "thing 2": -1.0, "thing 3": 1.0}
        assert tables["per_category"][kind] == pytest.approx(names)
    plain = by_hand()
    for row in plain["images"]:
        del row["neg_category_ids"], row["not_exhaustive_category_ids"]
    coco = coco_metrics.score(plain, results)["bbox"]
    assert coco["AP"] == pytest.approx((1 / 2 + 1 / 3) / 2) and "APr" not in coco  # as pycocotools counts them


def test_the_limit_is_of_an_image_over_all_categories():
    """The object's own result is the 301st of its image, and of two equal scores the first counts."""
    many = [result(1, 3, AWAY, 0.8)] * 299 + [result(1, 2, AWAY, 0.5)]
    found = [*many, result(1, 1, BOX, 0.5), result(2, 3, BOX, 0.1)]
    assert coco_metrics.score(by_hand(), found, ("bbox",))["bbox"]["APf"] == 0.0
    assert coco_metrics.score(by_hand(), found, ("bbox",), (301,))["bbox"]["APf"] == pytest.approx(1.0)
    assert coco_metrics.score(by_hand(), found[::-1], ("bbox",))["bbox"]["APf"] == pytest.approx(1.0)


def test_without_results_and_proposals():
    tables = coco_metrics.score(by_hand(), [], ("segm", "proposals"), (100, 300))
    assert {tables["segm"][name] for name in ("AP", "APr", "APf", "AR300")} == {0.0} and tables["segm"]["APc"] == -1.0
    assert tables["proposals"]["AR300"] == 0.0
    found = [{"image_id": 1, "category_id": 1, "bbox": list(BOX), "score": 0.5}]
    assert coco_metrics.score(by_hand(), found, ("proposals",))["proposals"]["AR300"] == 0.5


def test_one_line_says_what_is_missing(monkeypatch):
    with pytest.raises(
        ValueError, match=r"^iou_types is \('keypoints',\); allowed: any of \('bbox', 'segm', 'proposals'"
    ):
        coco_metrics.score(by_hand(), [], ("keypoints",))
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(
        ValueError, match=r"^package faster_coco_eval cannot .*; allowed: `pip install mask_rcnn_tf\[lvis"
    ):
        coco_metrics.load_truth(by_hand())
    del (truth := by_hand())["images"][0]["neg_category_ids"]
    with pytest.raises(
        ValueError, match=r"^ground_truth is not in LVIS format: images\[0\].neg_category_ids is missing"
    ):
        coco_metrics.score(truth, [])
