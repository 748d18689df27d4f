"""What the code before wrote still loads: a model, and a run to continue. `golden/make_before.py` made the files."""

import json
import shutil

import keras
import make_before
import numpy as np
import pytest
import tensorflow as tf
from conftest import GOLDEN

from mask_rcnn_tf.training.fit import train

BEFORE = GOLDEN / "before"
SUFFIX = "/.ATTRIBUTES/VARIABLE_VALUE"


def test_a_model_loads_and_finds_the_same():
    model = keras.models.load_model(BEFORE / "model.keras")
    found, expected = model.predict(make_before.images(), verbose=0), np.load(BEFORE / "detections.npz")
    fresh = {variable.path: variable for variable in make_before.finding_model(model.config).weights}
    for variable in model.weights:  # drawn from the same seed today as then
        np.testing.assert_allclose(variable, fresh[variable.path], rtol=1e-6, atol=1e-8, err_msg=variable.path)
    assert sorted(found) == sorted(expected.files) and expected["num_detections"].min() > 0
    for name in expected.files:  # bit-equal on one machine; processors round differently
        np.testing.assert_allclose(found[name], expected[name], rtol=1e-4, atol=1e-3, err_msg=name)


@pytest.fixture
def run(tmp_path):
    shutil.copytree(BEFORE / "run", tmp_path / "run")
    config = make_before.small_config()
    config.data.data_dir, config.train.steps = str(tmp_path / "data"), 6
    path = tmp_path / "run" / "config.json"
    stored = json.loads(path.read_text())
    stored["data"]["data_dir"] = config.data.data_dir
    path.write_text(json.dumps(stored))
    return config, tmp_path / "run"


@pytest.mark.slow
def test_a_run_resumes(run):
    config, folder = run
    before = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-4"))
    train(config, folder)
    assert [json.loads(line)["step"] for line in (folder / "log.jsonl").read_text().splitlines()][-1] == 6
    names = dict(tf.train.list_variables(str(folder / "checkpoints" / "step-6")))
    assert any("backbone" in name for name in names) and "weights/0/.ATTRIBUTES/VARIABLE_VALUE" not in names
    after = tf.train.load_checkpoint(str(folder / "checkpoints" / "step-6"))
    model = keras.models.load_model(folder / "model.keras")
    metrics = {id(variable) for variable in model.metrics_variables}
    weights = [variable for variable in model.variables if id(variable) not in metrics]
    random = {variable.path: variable.numpy() for variable in type(model)(model.config).variables}
    for position, variable in enumerate(weights):
        stored = before.get_tensor(f"weights/{position}/.ATTRIBUTES/VARIABLE_VALUE")
        moved, name = np.abs(variable.numpy() - stored).max(initial=0.0), variable.path
        np.testing.assert_array_equal(variable, after.get_tensor(f"weights/{name.replace('/', '.S')}{SUFFIX}"), name)
        # Two steps of a small learning rate after the stored weights, not after random ones.
        assert "moving" in name or moved < 0.02, name
        assert moved > 0 or not variable.trainable, name
        if name.endswith("kernel"):
            assert moved < 0.5 * np.abs(random[name] - stored).max(), name
    assert len(weights) > 60


def test_a_field_that_is_newer_than_the_run_has_its_default(run):
    config, folder = run
    stored = json.loads((folder / "config.json").read_text())
    assert "levels" not in stored["model"]["rpn"]  # added after the run was made
    config.train.warmup_rule = "ramp"
    with pytest.raises(ValueError, match="train.warmup_rule was 'product' and is 'ramp'"):
        train(config, folder)


def test_a_field_that_is_gone_is_named(run):
    config, folder = run
    stored = json.loads((folder / "config.json").read_text())
    stored["train"]["warm_up"] = 3
    (folder / "config.json").write_text(json.dumps(stored))
    with pytest.raises(ValueError, match=r"config\.json is not of this version: config\.train has no key 'warm_up'"):
        train(config, folder)
