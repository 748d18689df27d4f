"""Has LVIS's own program score random files, and compares with `evaluation.score` and the stored figures.

    python3 -m venv scoring && scoring/bin/pip install "numpy<2" pycocotools
    scoring/bin/pip install --no-deps lvis==0.5.3
    python references/lvis_score.py --program scoring/bin/python

`--write` stores their figures in tests/golden/lvis.json. Exits with 1 when a figure differs by more than 1e-6.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

import lvis_scenes  # noqa: E402

from mask_rcnn_tf.evaluation import score  # noqa: E402

GOLDEN = ROOT / "tests" / "golden" / "lvis.json"
# What their modules import to draw is not there, and `np.float` was NumPy's until 1.24. Mask AP goes by the areas of
# masks, so without boxes, as Detectron2 calls it. They say AR@300 whatever the limit is.
THEIRS = """
import importlib.machinery, json, sys, types
import numpy as np
np.float = float
for name in ("cv2", "matplotlib", "matplotlib.pyplot", "matplotlib.patches"):
    sys.modules[name] = types.ModuleType(name)
sys.modules["matplotlib.patches"].Polygon = None
from lvis import LVIS, LVISEval, LVISResults
figures = {}
for kind in ("bbox", "segm"):
    rows = json.load(open(sys.argv[2]))
    for row in rows:
        del row["segmentation" if kind == "bbox" else "bbox"]
    truth = LVIS(sys.argv[1])
    evaluation = LVISEval(truth, LVISResults(truth, rows, max_dets=int(sys.argv[3])), kind)
    evaluation.run()
    figures[kind] = {"AR" + sys.argv[3] if name.startswith("AR@") else name.split("@")[0]: float(value)
                     for name, value in evaluation.get_results().items()}
print(json.dumps(figures))
"""


def theirs(program, truth, results, limit):
    """{kind: {figure: value}} by their program."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("truth.json", "results.json")]
        for path, content in zip(paths, (truth, results), strict=True):
            pathlib.Path(path).write_text(json.dumps(content))
        command = [program, "-c", THEIRS, *paths, str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout)


def main():
    """Draws, has it scored, compares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True, help="a Python that imports lvis")
    parser.add_argument("--write", action="store_true")
    flags, figures, worst = parser.parse_args(), {}, 0.0
    for seed in lvis_scenes.SEEDS:
        truth, results = lvis_scenes.scene(seed)
        for limit in lvis_scenes.LIMITS:
            found = theirs(flags.program, truth, results, limit)
            ours = score(truth, results, max_dets=(limit,))
            figures[f"{seed}/{limit}"] = found
            for kind, table in found.items():
                assert list(table) == list(ours[kind]), (list(table), list(ours[kind]))
                worst = max(worst, *(abs(value - ours[kind][name]) for name, value in table.items()))
    if flags.write:
        GOLDEN.write_text(json.dumps(figures, indent=1) + "\n")
    stored = json.loads(GOLDEN.read_text())
    same = all(
        np.allclose([*stored[case][kind].values()], [*figures[case][kind].values()], rtol=0, atol=1e-9)
        for case in figures
        for kind in figures[case]
    )
    print(f"{len(figures)} cases, the largest difference {worst:.2g}; the stored figures are theirs: {same}")
    sys.exit(0 if worst < 1e-6 and same else 1)


if __name__ == "__main__":
    main()
