"""Damaged COCO files and result files: each is read or refused by one clear message, in little time and memory."""

import json
import pathlib
import subprocess
import sys

import pytest

PROGRAM = pathlib.Path(__file__).parent / "coco_fuzz.py"
SLOWEST, LARGEST = 2.0, 1024.0  # seconds of one input, MB of all


def fuzz(folder, kind, seed, count):
    """Outcomes by what was read and how it ended."""
    command = [sys.executable, str(PROGRAM), kind, str(seed), str(count), str(folder)]
    run = subprocess.run(command, capture_output=True, text=True)
    assert run.returncode == 0, (run.returncode, run.stderr[-3000:])  # negative: a signal, -14 (SIGALRM) a hang
    found = json.loads(run.stdout.splitlines()[-1])
    print(kind, found)
    assert not [name for name in found["outcomes"] if name.endswith("traceback")], run.stderr[-3000:]
    assert found["slowest"] < SLOWEST and found["memory"] < LARGEST
    return found["outcomes"]


@pytest.mark.parametrize(("kind", "count"), [("coco", 200), ("results", 120)])
def test_damaged_files(tmp_path, kind, count):
    outcomes = fuzz(tmp_path, kind, 0, count)
    ways = {name.split()[0] for name in outcomes}
    assert len(ways) == {"coco": 6, "results": 2}[kind]
    for way in ways:  # both happen: files are damaged, and not only their structure is
        assert outcomes[f"{way} ok"] > count / 20 and outcomes[f"{way} error"] > count / 20


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "seed", "count"), [*(("coco", n, 1000) for n in (1, 2, 3, 4)), ("results", 1, 3000)])
def test_7000_damaged_files(tmp_path, kind, seed, count):
    assert sum(fuzz(tmp_path, kind, seed, count).values()) == count * {"coco": 6, "results": 2}[kind]
