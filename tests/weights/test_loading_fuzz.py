"""Damaged and hostile `.keras` files: each is read or refused in one line, in little time and memory."""

import collections
import json
import os
import pathlib
import select
import subprocess
import sys

import keras_mutations
import numpy as np
import pytest
from tiny import finding_model

PROGRAM = pathlib.Path(__file__).parents[1] / "load_models.py"
# Seconds of the processor, several times the usual 1.4, because busy neighbours slow it; of the wall, a process that
# hangs; MB, of which TensorFlow has 500.
SLOWEST, HANGS, LARGEST = 6.0, 30, 1000


class Loader:
    """`load_models.py`, started again where a file ended it."""

    def __init__(self):
        self.process = None

    def load(self, path) -> dict:
        """What became of a file."""
        if self.process is None:
            command = [sys.executable, str(PROGRAM)]
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            self.load(path)  # the first load has TensorFlow's start in it
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        ready, _, _ = select.select([self.process.stdout], [], [], HANGS * 3)
        line = self.process.stdout.readline() if ready else ""
        if line:
            return json.loads(line)
        status = self.close()
        return {"outcome": "hang" if not ready else f"status {status}", "text": "", "wall": 0, "cpu": 0, "mb": 0}

    def close(self) -> int | None:
        """Ends the process; its status, negative for a signal."""
        process, self.process = self.process, None
        if process is None:
            return None
        process.stdin.close()
        try:
            return process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()
        finally:
            process.stdout.close()


@pytest.fixture(scope="module")
def loader():
    loader = Loader()
    yield loader
    loader.close()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.keras"
    finding_model().save(path)
    return path.read_bytes()


def fuzz(loader, good, folder, each, seed):
    """Loads `each` damaged files of every kind; returns the outcomes."""
    random, path = np.random.default_rng(seed), folder / "damaged.keras"
    outcomes, most = collections.Counter(), collections.Counter()
    path.write_bytes(good)
    assert loader.load(path)["outcome"] == "read"
    for kind in keras_mutations.KINDS:
        for i in range(each):
            path.write_bytes(keras_mutations.mutate(kind, good, random))
            answer = loader.load(path)
            outcomes[kind, answer["outcome"]] += 1
            most |= collections.Counter({name: answer[name] for name in ("wall", "cpu", "mb")})
            assert answer["outcome"] in ("read", "refused"), (kind, i, answer)
            assert answer["cpu"] < SLOWEST and answer["wall"] < HANGS and answer["mb"] < LARGEST, (kind, i, answer)
            assert not os.path.exists("canary")
    print(dict(outcomes), dict(most))
    return outcomes


def test_damaged_files(loader, good, tmp_path):
    outcomes = fuzz(loader, good, tmp_path, 6, seed=0)
    assert outcomes.total() == 42 and sum(count for (_, word), count in outcomes.items() if word == "refused") > 20


@pytest.mark.slow
def test_1050_damaged_files(loader, good, tmp_path):
    outcomes = fuzz(loader, good, tmp_path, 150, seed=1)
    assert outcomes.total() == 1050
