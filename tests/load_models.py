"""A program: loads the `.keras` file of each line of its input, and prints a JSON line of what became of it.

A process of its own, because a file may end it.
"""

import json
import pathlib
import re
import resource
import sys
import time

import numpy as np

from mask_rcnn_tf.weights.loading import load_model


def _own_peak():
    """Kilobytes. `ru_maxrss` would begin with the peak of the process that started this one."""
    status = pathlib.Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1])


def _used() -> float:
    """Seconds of processor time, of this process and of those it started."""
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(used.ru_utime + used.ru_stime for used in both)


def _outcome(path: str) -> dict:
    try:
        model = load_model(path)
    except ValueError as error:
        text = str(error)
        good = len(text.splitlines()) == 1 and text.isprintable() and len(text) < len(path) + 700
        return {"outcome": "refused" if good else "badly said", "text": text}
    except Exception as error:
        return {"outcome": "traceback", "text": f"{type(error).__name__}: {error}"}
    finite = all(np.isfinite(np.asarray(variable.value)).all() for variable in model.variables)
    return {"outcome": "read" if finite else "not finite", "text": ""}


for line in sys.stdin:
    begin, used = time.monotonic(), _used()
    answer = _outcome(line.rstrip("\n"))
    memory = max(_own_peak(), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024
    print(json.dumps(answer | {"wall": time.monotonic() - begin, "cpu": _used() - used, "mb": memory}), flush=True)
