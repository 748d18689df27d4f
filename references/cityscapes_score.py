"""Has Cityscapes' own program score results that we wrote for a drawn folder, and compares with figures by hand.

    python3 -m venv scoring && scoring/bin/pip install "cityscapesscripts==2.3.0" "numpy<2"
    python references/cityscapes_score.py --program scoring/bin/csEvalInstanceLevelSemanticLabeling

Exits with 1 when a figure differs.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
from pycocotools import mask as coco_mask

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import drawn_city  # noqa: E402

from mask_rcnn_tf.data import cityscapes  # noqa: E402
from mask_rcnn_tf.evaluation.cityscapes_results import write_results  # noqa: E402

# The car that is moved overlaps its own by 448 of 672 pixels: found at IoU 0.5, 0.55, 0.6 and 0.65, not at six others.
SPOILT = {"car": ((4 * 5 + 6 * 4) / 6 / 10, 5 / 6), "person": (2 / 3, 2 / 3)}
PERFECT = {"car": (1.0, 1.0), "person": (1.0, 1.0)}


def perfect(truth):
    """Every object but the groups, as found with scores that fall."""
    rows = [row for row in truth["annotations"] if not row["iscrowd"]]
    return [row | {"score": 0.9 - i / 16} for i, row in enumerate(rows)]


def spoilt(rows):
    """The first car is missing, the last, which has the lowest score, moved by 8 pixels, the first person a car."""
    kept = [dict(row) for i, row in enumerate(rows) if i != 1]
    moved = np.roll(coco_mask.decode(kept[-1]["segmentation"]), 8, axis=1)
    rle = coco_mask.encode(np.asfortranarray(moved))
    kept[-1] |= {"segmentation": rle | {"counts": rle["counts"].decode()}, "score": 0.02}
    kept[0] |= {"category_id": cityscapes.LABELS["car"], "score": 0.01}
    return kept


def score(program, root, folder):
    """{class: (AP, AP50)} by their program."""
    environment = os.environ | {"CITYSCAPES_DATASET": str(root), "CITYSCAPES_RESULTS": str(folder)}
    for cached in pathlib.Path(program).parents[1].rglob("cityscapesscripts/evaluation/gtInstances.json"):
        cached.unlink()  # of another folder
    done = subprocess.run([program], cwd=root, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)
    (written,) = (root / "evaluationResults").glob("*.json")
    classes = json.loads(written.read_text())["averages"]["classes"]
    return {name: (classes[name]["ap"], classes[name]["ap50%"]) for name in PERFECT}


def main():
    """Draws, writes, has it scored, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    program = os.path.abspath(parser.parse_args().program)
    good = True
    for change, expected in ((list, PERFECT), (spoilt, SPOILT)):
        with tempfile.TemporaryDirectory() as place:
            root = pathlib.Path(place).resolve()
            drawn_city.write(root)
            truth = cityscapes.to_coco(root, "val", verbose=0)
            write_results(truth, change(perfect(truth)), root / "results", verbose=0)
            found = score(program, root, root / "results")
        print(found, "expected", expected)
        good &= all(np.allclose(found[name], expected[name], atol=1e-9) for name in expected)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
