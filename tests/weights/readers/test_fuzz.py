"""Damaged and hostile checkpoint files: nothing of them is run, and each is read or refused with one clear error."""

import collections
import os
import resource
import sys
import time

import checkpoint_mutations
import numpy as np
import pytest

from mask_rcnn_tf.weights.readers import h5_files
from mask_rcnn_tf.weights.readers.checkpoints import CheckpointError, read_checkpoint

# What running something would raise (https://docs.python.org/3/library/audit_events.html).
EVENTS = ("os.system", "os.exec", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
EVENTS += ("subprocess.Popen", "exec", "compile", "import", "pickle.find_class", "code.__new__", "ctypes.dlopen")
SLOWEST, LARGEST = 10, 400  # seconds of one file, MB for all


@pytest.fixture
def audited():
    """The audit events of EVENTS between `clear()` and the end of the test; an audit hook cannot be removed."""
    events, active = [], [True]

    def hook(event, arguments):
        if active[0] and event in EVENTS and not _is_h5_process(event, arguments):
            events.append((event, ascii(arguments)[:200]))

    sys.addaudithook(hook)
    yield events
    active[0] = False


def _is_h5_process(event, arguments):
    return event == "subprocess.Popen" and arguments[1][1:3] == ["-P", str(h5_files.PROGRAM)]


def _outcome(path):
    """ "read" or "refused"; anything else fails."""
    try:
        arrays = read_checkpoint(path).arrays
    except CheckpointError as error:
        message = str(error)
        assert message.startswith(f"{path}: ") and len(message.splitlines()) == 1, message
        assert len(message) < len(str(path)) + 500 and message.isprintable(), message
        return "refused"
    assert arrays and all(isinstance(name, str) and isinstance(array, np.ndarray) for name, array in arrays.items())
    assert all(array.dtype.kind in "fiub" and array.flags.c_contiguous for array in arrays.values())
    assert all(np.isfinite(array).all() for array in arrays.values())
    return "read"


def _fuzz(folder, audited, counts, seed):
    """Reads `counts[format]` damaged files of each format; prints what became of them."""
    random, canary, path = np.random.default_rng(seed), folder / "canary", folder / "damaged"
    good, pieces = checkpoint_mutations.write_good(folder, random), checkpoint_mutations.hostile_opcodes(canary)
    for data in good.values():
        path.write_bytes(data)
        assert _outcome(path) == "read"
    outcomes, slowest, start = collections.Counter(), 0, time.monotonic()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name, count in counts.items():
        for i in range(count):
            path.write_bytes(checkpoint_mutations.mutate(name, good[name], random, pieces))
            audited.clear()
            begin = time.monotonic()
            outcomes[_outcome(path)] += 1
            slowest = max(slowest, time.monotonic() - begin)
            assert not audited, (name, i, audited)
            assert not os.path.exists(canary), (name, i)
    used = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - memory) / 1024
    print(f"{dict(outcomes)}, {time.monotonic() - start:.0f} s, slowest {slowest:.2f} s, {used:.0f} MB more memory")
    assert slowest < SLOWEST and used < LARGEST
    return outcomes


def test_damaged_files(tmp_path, audited):
    counts = dict.fromkeys(checkpoint_mutations.FORMATS, 26) | {"h5": 12}
    outcomes = _fuzz(tmp_path, audited, counts, seed=0)
    assert outcomes.total() == sum(counts.values()) and outcomes["refused"] > 200


@pytest.mark.slow
def test_2000_damaged_files(tmp_path, audited):
    counts = dict.fromkeys(checkpoint_mutations.FORMATS, 162) | {"h5": 220}
    outcomes = _fuzz(tmp_path, audited, counts, seed=1)
    assert outcomes.total() >= 2000 and outcomes["refused"] > 1400


def test_the_canary_and_the_audit_would_see(tmp_path, audited):
    """An ordinary unpickler runs what the hostile pieces hold."""
    import pickle

    canary = tmp_path / "canary"
    piece = checkpoint_mutations.hostile_opcodes(canary)[0]
    pickle.loads(b"\x80\x02" + piece + b".")
    assert canary.exists()
    assert {"os.system", "pickle.find_class"} <= {event for event, _ in audited}
