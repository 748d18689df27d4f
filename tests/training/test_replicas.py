"""One replica with four images a step, and two with two each, must take the same steps."""

import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parent / "replica_steps.py"
CASES = ("frozen", "frozen_clipped", "sync", "sync_clipped")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Arrays of `replica_steps.py` by number of replicas."""
    folder = tmp_path_factory.mktemp("replicas")
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    for replicas in (1, 2):
        command = [sys.executable, str(SCRIPT), str(replicas), str(folder / f"{replicas}.npz")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
    return {replicas: np.load(folder / f"{replicas}.npz") for replicas in (1, 2)}


def arrays(run, prefix):
    return {name: run[name] for name in run.files if name.startswith(prefix)}


@pytest.mark.parametrize("case", CASES)
def test_same_weights_and_losses(runs, case):
    for part, tolerance in (("before", 0.0), ("after", 1e-5), ("losses", 1e-4)):
        one, two = (arrays(runs[replicas], f"{case}/{part}/") for replicas in (1, 2))
        assert one.keys() == two.keys()
        for name, expected in one.items():
            np.testing.assert_allclose(two[name], expected, rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("case", CASES)
def test_the_steps_were_not_idle(runs, case):
    before, after = (arrays(runs[1], f"{case}/{part}/") for part in ("before", "after"))
    moves = [np.abs(new - old).max() for new, old in zip(after.values(), before.values(), strict=True)]
    assert max(moves) > 1e-2


def test_clipping_took_part(runs):
    free, clipped = (arrays(runs[1], f"{case}/after/").values() for case in ("frozen", "frozen_clipped"))
    assert max(np.abs(a - b).max() for a, b in zip(free, clipped, strict=True)) > 1e-3
