"""Damaged files in a run's folder: the run goes on, or one line says why not; no crash, no hang, no silent step 0."""

import ast
import collections
import json
import os
import pathlib
import select
import shutil
import subprocess
import sys

import numpy as np
import pytest
from checkpoint_mutations import cut_or_repeat, flip_bits
from small_run import write_run

REPOSITORY = pathlib.Path(__file__).parents[2]
FILES = ("config.json", "state.json", "log.jsonl", "step-9.index", "step-9.data-00000-of-00001", "checkpoint")
ODD = (None, True, -1, 0, 2**63, 10**400, 1.5, float("nan"), float("inf"), "", "9", "\0", [], {}, [[1]], {"a": {}})
SECONDS = 5  # of the slowest; the other processes of the tests take the cores


class Reader:
    """The process of read_run.py, started again when it ends."""

    def __init__(self):
        self.process = None

    def read(self, folder):
        """(answer, memory in MB), or ("died ...", 0)."""
        if self.process is None:
            self.start()
        self.process.stdin.write(f"{folder}\n".encode())
        first, self.started = not self.started, True
        ready, _, _ = select.select([self.process.stdout], [], [], 60 if first else SECONDS)
        line = self.process.stdout.readline().decode() if ready else ""
        if not line:
            self.end()
            return f"died {'by signal' if ready else 'of time'}", 0
        answer, _, memory = line.rpartition(" ")
        return ast.literal_eval(answer), int(memory) // 1024

    def start(self):
        environment = os.environ | {"PYTHONPATH": str(REPOSITORY), "CUDA_VISIBLE_DEVICES": ""}
        command = [sys.executable, str(pathlib.Path(__file__).with_name("read_run.py"))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process, self.started = subprocess.Popen(command, env=environment, bufsize=0, **pipes), False

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process = None


def change_json(data, random):
    """A leaf, or a branch, of one of the lines becomes something odd; a key comes or goes."""
    lines = [json.loads(line) for line in ([data] if data.startswith(b"{\n") else data.splitlines())]
    place = lines[random.integers(len(lines))]
    while True:
        key = list(place)[random.integers(len(place))]
        if not isinstance(place[key], dict) or random.integers(4) == 0:
            break
        place = place[key]
    kind = random.integers(8)
    if kind == 0:
        del place[key]
    elif kind == 1:
        place["unknown"] = place[key]
    else:
        place[key] = ODD[random.integers(len(ODD))]
    return "\n".join(map(json.dumps, lines)).encode()


def deep(data, random):
    """Nested beyond what a reader of JSON follows."""
    opening = (b"[", b'{"a":', b'{"step":')[random.integers(3)]
    return data[: random.integers(len(data))] + opening * int(random.integers(1, 60_000))


def mutate(name, data, random):
    kinds = [flip_bits, cut_or_repeat]
    if name.endswith(("json", "jsonl")):
        kinds += [change_json, change_json, deep]
    return kinds[random.integers(len(kinds))](data, random)


def outcomes(count, seed, tmp_path):
    """How often each kind of answer came; asserts that each is right."""
    write_run(tmp_path / "whole")
    write_run(tmp_path / "older", with_note=False)
    random, reader, counts, memories = np.random.default_rng(seed), Reader(), collections.Counter(), []
    for number in range(count):
        folder, name = tmp_path / "run", FILES[number % len(FILES)]
        shutil.rmtree(folder, ignore_errors=True)
        older = number // len(FILES) % 2 == 1
        shutil.copytree(tmp_path / ("older" if older else "whole"), folder)
        path = folder / name if (folder / name).exists() else folder / "checkpoints" / name
        path.write_bytes(mutate(name, path.read_bytes(), random))
        answer, memory = reader.read(folder)
        memories.append(memory)
        kind = answer.split()[0] if not answer.startswith("ok") else answer
        counts["older" if older else "", name, kind] += 1
        assert kind in ("ok step 9", "ok step 6", "error"), (number, name, answer)
        assert "\n" not in answer and len(answer) < 1500, (number, name, answer)
        if kind == "error":  # what is damaged was stored once only
            assert older and name in ("config.json", "state.json"), (number, name, answer)
            assert str(folder) in answer, answer
        assert kind != "ok step 6" or name.startswith("step-9"), (number, name, answer)
    reader.end()
    assert max(memories) < memories[0] + 500, "MB"
    print(dict(counts), "MB:", memories[0], max(memories))
    return counts


def test_damaged_files(tmp_path):
    assert sum(outcomes(54, 0, tmp_path).values()) == 54


@pytest.mark.slow
def test_many_damaged_files(tmp_path):
    assert sum(outcomes(1500, 1, tmp_path).values()) == 1500
