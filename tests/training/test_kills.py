"""Runs that are killed at random moments, by SIGKILL, SIGTERM and Ctrl-C, end in what a run without kills ends in."""

import functools
import io
import json
import os
import pathlib
import random
import subprocess
import sys
import zipfile

import h5py
import numpy as np
import pytest
import tensorflow as tf

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[1]
KILLS = 10  # of each seed; with averages one of each moment
# How late a moment may be, by its kind; some come after the run's end, and then it is not killed.
LATEST = {"folder": 60, "best": 4, "preparation": 12, "evaluation": 3, "checkpoint": 6, "save": 2, "time": 150}
SCORED = ("evaluation", "best", "save", "checkpoint")  # where averages stand in the place of weights
STATUS = {"SIGKILL": (-9,), "SIGTERM": (143, -15), "SIGINT": (130,)}


class Server:
    """The process of killed_run.py."""

    def __init__(self, output):
        # One thread: sums over threads differ in the last bit from run to run.
        settings = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
        settings["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY), str(HERE), os.environ.get("PYTHONPATH", "")])
        self.output = output
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "killed_run.py")],
            env=os.environ | settings,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output.open("w"),
            text=True,
        )

    def run(self, **arguments):
        self.process.stdin.write(json.dumps(arguments) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("status "):
                return int(line.split()[1])
        raise AssertionError(self.output.read_text()[-3000:])


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("server") / "stderr")
    yield server
    server.process.stdin.close()
    server.process.wait(60)


@pytest.fixture(scope="module")
def whole(server, tmp_path_factory):
    """What a run without kills ends in, by the momentum of its averages."""

    @functools.cache
    def run(ema_momentum):
        folder = tmp_path_factory.mktemp("whole")
        places = {"folder": str(folder / "run"), "data_dir": str(folder / "data")}
        assert server.run(**places, ema_momentum=ema_momentum) == 0, server.output.read_text()[-3000:]
        return contents(folder / "run")

    return run


def contents(folder):
    """What a run ends in: tensors, those of its models too, log, state and metrics."""
    reader = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-24"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith(("weights/", "optimizer/"))]
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    tensors = {name: reader.get_tensor(name) for name in names}
    return {
        "tensors": tensors | saved(folder / "best.keras") | saved(folder / "model.keras"),
        "log": [{key: value for key, value in line.items() if key != "images_per_second"} for line in log],
        "state": json.loads((folder / "state.json").read_text()),
        "metrics": json.loads((folder / "metrics.json").read_text()),
    }


def saved(path):
    """The arrays in a model's file by path; with averages its weights are these."""
    with zipfile.ZipFile(path) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        arrays = {}

        def keep(name, item):
            if isinstance(item, h5py.Dataset):
                arrays[f"{path.name}/{name}"] = item[()]

        file.visititems(keep)
    return arrays


@pytest.mark.slow  # about 15 processes that trace and train
@pytest.mark.parametrize("seed, moments, ema_momentum", [(0, (), 0.0), (1, (), 0.0), (2, (), 0.0), (3, SCORED, 0.9)])
def test_killed_runs_equal_one_without_kills(server, whole, tmp_path, seed, moments, ema_momentum):
    random_ = random.Random(seed)
    kinds = [*(moments or LATEST), *random_.choices(moments or list(LATEST), k=20)]
    signals = random_.sample(["SIGKILL", "SIGKILL", "SIGTERM", "SIGINT"] * 8, 32)
    kills, number, folder, enough = 0, 0, None, len(moments) or KILLS
    while kills < enough or folder is not None:
        if folder is None:
            number, folder = number + 1, tmp_path / str(number)
        options = {"ema_momentum": ema_momentum}
        if kills < enough:
            kind = "preparation" if not (moments or folder.exists()) and number % 2 else kinds[kills]
            options |= {"kind": kind, "number": random_.randint(1, LATEST[kind]), "signal_name": signals[kills]}
        status = server.run(folder=str(folder / "run"), data_dir=str(folder / "data"), **options)
        print(options, status, flush=True)
        if status == 0:
            check(contents(folder / "run"), whole(ema_momentum), folder / "run")
            folder = None
            kinds = kinds[1:] + kinds[:1]
        else:
            assert status in STATUS[options["signal_name"]], server.output.read_text()[-3000:]
            kills += 1


def check(ours, expected, folder):
    assert ours["tensors"].keys() == expected["tensors"].keys()
    for name, value in expected["tensors"].items():
        np.testing.assert_array_equal(ours["tensors"][name], value, err_msg=name)
    assert ours["log"] == expected["log"]
    assert ours["state"] == expected["state"] and ours["metrics"] == expected["metrics"]
    assert not list(folder.rglob("*partial*"))
