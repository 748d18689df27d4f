"""Compares two COCO result files detection by detection, e.g. ours with another program's from the same weights.

    python tools/compare_results.py --results ours.json --reference torchvision.json --paste integer

Exits with 1 when anything differs by more than the tolerances.
"""

import os
import sys

from absl import flags

from mask_rcnn_tf.coco.reader import read_results
from mask_rcnn_tf.evaluation.compare_results import Comparison, Tolerance, compare
from mask_rcnn_tf.training.flags import run

RESULTS = flags.DEFINE_string("results", None, "COCO results (JSON).", required=True)
REFERENCE = flags.DEFINE_string("reference", None, "COCO results (JSON) to compare with.", required=True)
BOX = flags.DEFINE_float("box_tolerance", Tolerance.box, "Pixels that a side of a box may differ by.", 0)
SCORE = flags.DEFINE_float("score_tolerance", Tolerance.score, "What a score may differ by.", 0)
MASK_IOU = flags.DEFINE_float("mask_iou", Tolerance.mask_iou, "Least IoU of two masks.", 0, 1)
SCORE_THRESHOLD = flags.DEFINE_float("score_threshold", 0.05, "Lowest score that both programs keep.", 0, 1)
MAX_DETECTIONS = flags.DEFINE_integer("max_detections", 100, "Detections an image that both programs keep.", 1)
PASTE = flags.DEFINE_enum(
    "paste", "continuous", ["continuous", "integer"], "How masks were pasted; see DetectionConfig."
)
SHOWN = 20


def _compare() -> Comparison:
    return compare(
        read_results(RESULTS.value),
        read_results(REFERENCE.value),
        Tolerance(BOX.value, SCORE.value, MASK_IOU.value),
        SCORE_THRESHOLD.value,
        MAX_DETECTIONS.value,
        PASTE.value,
    )


def main(_):
    """Compares and prints."""
    if os.path.realpath(RESULTS.value) == os.path.realpath(REFERENCE.value):
        print("warning: results and reference are the same file")
    try:
        found = _compare()
    except ValueError as error:
        sys.exit(f"compare_results: {error}")
    print(f"{found.matched} detections in both, {found.edge} of one alone at the threshold or the last place")
    print(f"largest differences: box {found.box:.2g} px, score {found.score:.2g}")
    if len(found.mask_ious):
        below = found.pixels[found.mask_ious < MASK_IOU.value]
        print(f"mask IoU: least {found.mask_ious[0]:.4f}, {len(below)} of {len(found.pixels)} below {MASK_IOU.value}")
        if len(below):
            print(f"  these differ by {below.min()} to {below.max()} pixels")
    if found.differences:
        print("\n".join(found.differences[:SHOWN]))
        sys.exit(f"{len(found.differences)} differences")
    print("the same detections")


if __name__ == "__main__":
    run(main)
