"""Reads runs' folders, one a line of the input, as a run does that goes on; see test_run_fuzz.py."""

import pathlib
import resource
import sys
import traceback

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.training.callbacks import StepLog
from mask_rcnn_tf.training.checkpoint import BestModel
from mask_rcnn_tf.training.run_folder import find_start


def read(folder):
    """What was found, in one line: the checkpoint, or the message of the error."""
    try:
        path, note = find_start(Config(), folder)
        step = int(path.rpartition("-")[2]) if path else 0
        StepLog(folder, 3, lambda step: 0.1, 4).resume(step, note.get("log", {}), in_epoch=False)
        best = BestModel(folder, "val_segm_AP")
        best.resume(step, note.get("state"), evaluated=False)
        return f"ok step {step}"
    except (ValueError, OSError) as error:
        return f"error {error!s}"
    except Exception:
        return f"traceback {traceback.format_exc()!r}"


if __name__ == "__main__":
    for line in sys.stdin:
        print(
            repr(read(pathlib.Path(line.rstrip("\n")))), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True
        )
