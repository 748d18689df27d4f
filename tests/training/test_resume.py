"""A run that is killed and started again ends in the weights, the log and the scores of a run that is not."""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf import MaskRCNN
from mask_rcnn_tf.training import TorchSGD

REPOSITORY = pathlib.Path(__file__).parents[2]
STEPS = 24


def start(model_dir, *overrides):
    command = [
        sys.executable,
        "tools/train.py",
        f"--config={pathlib.Path(__file__).with_name('tiny_config.py')}",
        f"--model_dir={model_dir}",
        f"--config.train.steps={STEPS}",
        "--config.train.evaluate_every=16",
        "--config.train.summary_every=1",
        *overrides,
    ]
    path = os.pathsep.join(filter(None, [str(REPOSITORY), os.environ.get("PYTHONPATH")]))
    # One thread: sums over threads differ in the last bit from run to run, and sampling makes large differences of it.
    threads = {"TF_NUM_INTRAOP_THREADS": "1", "TF_NUM_INTEROP_THREADS": "1"}
    environment = os.environ | threads | {"PYTHONPATH": path, "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.Popen(
        command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


def finish(process):
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output[-3000:]
    return output


def kill_after(process, model_dir, step):
    """Kills without warning once the log holds `step` steps."""
    log = model_dir / "log.jsonl"
    while process.poll() is None:
        if log.exists() and len(log.read_text().splitlines()) >= step:
            process.send_signal(signal.SIGKILL)
        time.sleep(0.005)
    output, _ = process.communicate()
    assert process.returncode == -signal.SIGKILL, output[-3000:]


def final_tensors(model_dir):
    reader = tf.train.load_checkpoint(str(model_dir / "checkpoints" / f"step-{STEPS}"))
    names = [name for name in reader.get_variable_to_shape_map() if name.startswith(("weights/", "optimizer/"))]
    return {name: reader.get_tensor(name) for name in names}


def logged(model_dir):
    """Losses and scores by step."""
    lines = [json.loads(line) for line in (model_dir / "log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "images_per_second"} for line in lines]


@pytest.mark.slow  # three processes that trace and train
@pytest.mark.parametrize("overrides", [(), ("--config.train.ema_momentum=0.9",)])
def test_killed_and_resumed_equals_uninterrupted(tmp_path, overrides):
    step = random.randrange(1, STEPS - 2)
    print("killed after line", step)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    processes = start(whole, *overrides), start(killed, *overrides)
    kill_after(processes[1], killed, step)
    output = finish(processes[0])
    assert "learning rate 0.02 = 0.02 * 4 images / 4" in output
    output = finish(start(killed, *overrides))
    assert ("resumed from" in output) == (step >= 3)  # tiny_config stores every 3 steps
    expected, ours = final_tensors(whole), final_tensors(killed)
    assert expected.keys() == ours.keys()
    assert any("_average/" in name for name in ours) == bool(overrides)
    for name, value in expected.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)
    check_logs(logged(whole), logged(killed))
    check_files(whole, killed)


def check_logs(expected, ours):
    assert [(line["step"], sorted(line)) for line in ours] == [(line["step"], sorted(line)) for line in expected]
    for one, other in zip(ours, expected, strict=True):
        np.testing.assert_allclose(list(one.values()), [other[key] for key in one], rtol=2e-3, atol=1e-4)


def check_files(whole, killed):
    states = [json.loads((folder / "state.json").read_text()) for folder in (whole, killed)]
    assert states[0] == states[1]
    assert states[0]["evaluated_step"] == STEPS
    metrics = json.loads((killed / "metrics.json").read_text())
    assert metrics == json.loads((whole / "metrics.json").read_text())
    assert {"AP", "AP50", "AR100"} <= metrics["bbox"].keys() & metrics["segm"].keys()
    config = json.loads((killed / "config.json").read_text())
    assert config["model"]["class_names"]
    model = keras.models.load_model(killed / "model.keras")
    assert isinstance(model, MaskRCNN)
    assert isinstance(model.optimizer, TorchSGD)
    assert int(model.optimizer.iterations) == STEPS
    assert model.config.class_names == tuple(config["model"]["class_names"])
    assert (killed / "best.keras").exists()
    assert (killed / "predictions.png").exists()


@pytest.mark.parametrize(
    "number, code", [(signal.SIGTERM, 143), pytest.param(signal.SIGINT, 130, marks=pytest.mark.slow)]
)
def test_a_signal_stores_the_step_and_says_where_the_run_stands(tmp_path, number, code):
    process, log = start(tmp_path / "run", "--config.train.steps=100000", "--config.train.evaluate_every=100000"), None
    while process.poll() is None:
        log = tmp_path / "run" / "log.jsonl"
        if log.exists() and len(log.read_text().splitlines()) >= 5:
            process.send_signal(number)
            break
        time.sleep(0.05)
    output, _ = process.communicate(timeout=100)
    assert process.returncode == code and "Traceback" not in output, output[-3000:]
    last = output.splitlines()[-1]
    step = logged(tmp_path / "run")[-1]["step"]
    assert last.endswith(f"step {step} of 100000 is stored in {tmp_path}/run; the same command continues from there")
    assert f"stopped by {'SIGTERM' if code == 143 else 'Ctrl-C'}: " in last
    assert (tmp_path / "run" / "checkpoints" / f"step-{step}.index").exists()
