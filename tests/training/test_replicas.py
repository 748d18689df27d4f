"""One replica with four images a step, and two with two each, must take the same steps."""

import os
import pathlib
import sys

import forked
import numpy as np
import pytest

SCRIPT = pathlib.Path(__file__).parent / "replica_steps.py"


def run_both(folder, *cases):
    """Arrays of `replica_steps.py` with one replica and with two."""
    path = os.pathsep.join(filter(None, [str(SCRIPT.parents[2]), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    for replicas in (1, 2):
        command = [sys.executable, str(SCRIPT), str(replicas), str(folder / f"{replicas}.npz"), *cases]
        done = forked.run(command, env=environment)
        assert done.returncode == 0, done.stderr[-3000:]
    return [np.load(folder / f"{replicas}.npz") for replicas in (1, 2)]


def check_equal(one, two, case):
    for part, tolerance in (("before", 0.0), ("after", 1e-5), ("losses", 1e-4)):
        names = [name for name in one.files if name.startswith(f"{case}/{part}/")]
        assert names
        for name in names:
            np.testing.assert_allclose(two[name], one[name], rtol=0, atol=tolerance, err_msg=name)
    after = [name for name in one.files if name.startswith(f"{case}/after/")]
    assert max(np.abs(one[name] - one[name.replace("after", "before")]).max() for name in after) > 1e-3  # not idle


def test_frozen_norm_with_clipping_and_synchronised_norm_without(tmp_path):
    """Clipped also image by image, as the whole batch at once."""
    one, two = run_both(tmp_path, "frozen_clipped", "sync", "frozen_accumulated", "frozen_adam")
    for case in ("frozen_clipped", "sync", "frozen_accumulated", "frozen_adam"):
        check_equal(one, two, case)
    for name in [name for name in one.files if name.startswith("frozen_accumulated/")]:
        np.testing.assert_allclose(
            one[name], one[name.replace("accumulated", "clipped")], rtol=0, atol=1e-5, err_msg=name
        )


@pytest.mark.slow
def test_frozen_norm_without_clipping_and_synchronised_norm_with(tmp_path):
    one, two = run_both(tmp_path, "frozen", "sync_clipped", "frozen_clipped", "frozen_averaged")
    for case in ("frozen", "sync_clipped", "frozen_averaged"):
        check_equal(one, two, case)
    clipped = [name for name in one.files if name.startswith("frozen_clipped/after/")]
    assert max(np.abs(one[name] - one[name.replace("_clipped", "")]).max() for name in clipped) > 1e-3
