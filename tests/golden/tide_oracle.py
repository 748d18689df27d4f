"""Writes tide.json: what tidecv makes of the random files of tests/tide_scenes.py.

    pip install tidecv==1.0.1 pycocotools && python tide_oracle.py

Of files with crowds, results that tidecv ignores (they lie in a crowd of their class) are left out first: it counts them
as no detections and still sorts them as errors.
"""

import importlib.metadata
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
from tide_scenes import SEEDS, scene  # noqa: E402
from tidecv import TIDE  # noqa: E402
from tidecv.data import Data  # noqa: E402

NAMES = {"Cls": "cls", "Loc": "loc", "Both": "both", "Dupe": "dup", "Bkg": "bkg", "Miss": "miss"}


def run(truth, results, mode):
    gt, found = Data("truth", max_dets=100), Data("results", max_dets=100)
    for image in truth["images"]:
        gt.add_image(image["id"], image["file_name"])
    for category in truth["categories"]:
        gt.add_class(category["id"], category["name"])
    for row in truth["annotations"]:
        add = gt.add_ignore_region if row["iscrowd"] else gt.add_ground_truth
        add(row["image_id"], row["category_id"], row["bbox"], row["segmentation"])
    for row in results:
        found.add_detection(row["image_id"], row["category_id"], row["score"], row["bbox"], row["segmentation"])
    tide = TIDE(mode=mode)
    return tide, tide.evaluate(gt, found, name="run")


def figures(truth, results, mode):
    _, first = run(truth, results, mode)
    kept = [row for row, own in zip(results, first.preds.annotations) if own["used"] is not None]
    tide, again = run(truth, kept, mode)
    gains = tide.get_main_errors()["run"]
    counts = {kind.short_name: count for kind, count in again.count_errors().items()}
    return {
        "ignored": len(results) - len(kept),
        "AP50": again.ap / 100,
        "gains": {NAMES[name]: gain / 100 for name, gain in gains.items()},
        "with_ignored": {NAMES[name]: gain / 100 for name, gain in figures_of(truth, results, mode).items()},
        "counts": {NAMES[name]: count for name, count in counts.items()},
    }


def figures_of(truth, results, mode):
    tide, _ = run(truth, results, mode)
    return tide.get_main_errors()["run"]


cases = {
    f"{mode}/{'crowds' if crowds else 'plain'}/{seed}": figures(*scene(seed, crowds), mode)
    for mode in ("bbox", "mask")
    for crowds in (False, True)
    for seed in SEEDS
}
meta = {"tidecv": importlib.metadata.version("tidecv"), "pycocotools": importlib.metadata.version("pycocotools")}
(HERE / "tide.json").write_text(json.dumps({"meta": meta, "cases": cases}, indent=1) + "\n")
