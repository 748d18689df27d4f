"""The recall of proposals, against its definition in float64 and, where they say the same, against pycocotools."""

import contextlib
import io

import numpy as np
import pytest
from pycocotools import cocoeval

from mask_rcnn_tf.evaluation import coco_metrics

LIMITS = (3, 20)
RANGES = {"": (0, 1e10), "s": (0, 1024), "m": (1024, 9216), "l": (9216, 1e10)}


def scene(seed, images=6):
    """A COCO dict with crowds and objects of all sizes, and proposals around them and elsewhere; one image has none."""
    random, rows, results = np.random.default_rng(seed), [], []
    for image_id in range(1, images + 1):
        for _ in range(random.integers(0, 7)):
            side = random.choice([20, 60, 150]) * random.uniform(0.8, 1.2, 2)
            box = [*random.uniform(0, 300, 2), *side]
            rows.append({"id": len(rows) + 1, "image_id": image_id, "category_id": int(random.integers(1, 4))})
            rows[-1] |= {"bbox": box, "area": side[0] * side[1] * 0.8, "iscrowd": int(random.random() < 0.2)}
            for _ in range(random.integers(0, 4) if image_id > 1 else 0):
                moved = np.array(box) + random.normal(0, 0.08, 4) * side.mean()
                results.append({"image_id": image_id, "category_id": 1, "bbox": moved.tolist()})
        for _ in range(5 if image_id > 1 else 0):
            box = [*random.uniform(0, 300, 2), *random.uniform(20, 90, 2)]
            results.append({"image_id": image_id, "category_id": 1, "bbox": box})
    scores = random.permutation(len(results)) / len(results)
    results = [result | {"score": float(score)} for result, score in zip(results, scores, strict=True)]
    size = {"height": 600, "width": 600}
    table = [{"id": i, "file_name": f"{i}.png", **size} for i in range(1, images + 1)]
    return {"images": table, "annotations": rows, "categories": [{"id": i, "name": str(i)} for i in (1, 2, 3)]}, results


def iou(a, b):
    width = max(0.0, min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1]))
    return width * height / (a[2] * a[3] + b[2] * b[3] - width * height)


def by_definition(truth, results, limit, area):
    """Detectron2's, a pair at a time, in float64; images without proposals count."""
    best, total = [], 0
    for image in truth["images"]:
        mine = sorted((r for r in results if r["image_id"] == image["id"]), key=lambda r: -r["score"])[:limit]
        objects = [row for row in truth["annotations"] if row["image_id"] == image["id"] and not row["iscrowd"]]
        objects = [row for row in objects if RANGES[area][0] <= row["area"] <= RANGES[area][1]]
        total += len(objects)
        pairs = [(iou(p["bbox"], o["bbox"]), i, j) for i, p in enumerate(mine) for j, o in enumerate(objects)]
        used, covered = set(), set()
        for value, i, j in sorted(pairs, key=lambda pair: -pair[0]):
            if i not in used and j not in covered:
                used.add(i), covered.add(j)
                best.append(value)
    return np.mean([sum(v >= 0.5 + 0.05 * k - 1e-12 for v in best) / total for k in range(10)]) if total else -1.0


@pytest.mark.parametrize("seed", range(5))
def test_definition(seed):
    truth, results = scene(seed)
    table = coco_metrics.score(truth, results, ("proposals",), LIMITS)["proposals"]
    assert list(table) == [f"AR{area}{limit}" for limit in LIMITS for area in RANGES]
    for limit in LIMITS:
        for area in RANGES:
            expected = by_definition(truth, results, limit, area)
            np.testing.assert_allclose(table[f"AR{area}{limit}"], expected, atol=1e-12, err_msg=f"{area}{limit}")
    assert 0 < table["AR3"] < table["AR20"] < 1


def test_pycocotools_says_nearly_the_same():
    """It lets proposals choose in the order of their scores: one may take what another fits better."""
    differences = []
    for seed in range(8):
        truth, results = scene(seed)
        table = coco_metrics.score(truth, results, ("proposals",), LIMITS)["proposals"]
        with contextlib.redirect_stdout(io.StringIO()):
            index = coco_metrics.load_truth(truth, ("bbox",))
            evaluation = cocoeval.COCOeval(index, index.loadRes(results), "bbox")
            evaluation.params.useCats, evaluation.params.maxDets = 0, list(LIMITS)
            evaluation.evaluate(), evaluation.accumulate()
        recalls = evaluation.eval["recall"][:, 0]  # thresholds, areas, limits
        for i, area in enumerate(RANGES):
            for k, limit in enumerate(LIMITS):
                values = recalls[:, i, k]
                expected = values[values > -1].mean() if (values > -1).any() else -1.0
                differences.append(abs(table[f"AR{area}{limit}"] - expected))
    assert max(differences) < 0.06 and np.median(differences) < 1e-9


def test_nothing_found_and_nothing_there():
    truth, results = scene(0)
    table = coco_metrics.score(truth, [], ("proposals",), (100,))["proposals"]
    assert table["AR100"] == 0.0
    far = [row | {"area": 50.0} for row in truth["annotations"]]
    table = coco_metrics.score(truth | {"annotations": far}, results, ("proposals",), (100,))["proposals"]
    assert table["ARl100"] == -1.0 and table["ARs100"] == table["AR100"] > 0


def test_categories_do_not_count():
    truth, results = scene(1)
    other = [result | {"category_id": 77} for result in results]
    assert coco_metrics.score(truth, other, ("proposals",)) == coco_metrics.score(truth, results, ("proposals",))
