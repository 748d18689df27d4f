"""The four-step schedule: its runs, what they share, and the model that they become."""

import json
import pathlib

import numpy as np
import pytest
from tiny import finding_config, finding_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.rpn_alone import rpn_alone
from mask_rcnn_tf.training import four_steps

TINY = str(pathlib.Path(__file__).parent / "tiny_config.py")


def tiny():
    config = mrcnn.load_config(TINY)
    config.train.steps, config.train.evaluate_every, config.train.checkpoint_every = 2, 2, 2
    config.train.decay_steps = ()
    return config


def test_configurations(tmp_path):
    steps = four_steps.step_configs(tiny(), tmp_path)
    assert list(steps) == ["1_rpn", "2_detector", "3_rpn", "4_detector"]
    assert [step.model.box_head.enabled for step in steps.values()] == [False, True, False, True]
    assert [step.model.rpn.enabled for step in steps.values()] == [True, False, True, False]
    assert [step.model.frozen for step in steps.values()] == [(), (), ("backbone", "pyramid"), ("backbone", "pyramid")]
    detector = str(tmp_path / "2_detector" / "model.keras")
    assert [step.train.init_from for step in steps.values()] == ["", "", detector, detector]
    read = [pathlib.Path(step.data.train_proposals).name for step in steps.values()]
    assert read == ["", "proposals_1_train.npz", "", "proposals_3_train.npz"]
    for step in steps.values():
        step.validate()
    config = tiny()
    config.model.rpn.enabled = False
    with pytest.raises(ValueError, match="one is False; allowed: both, which train in turns"):
        four_steps.step_configs(config, tmp_path)


def test_models_of_other_backbones_are_not_joined():
    whole, config = finding_model(), finding_config()
    config.rpn.enabled = False
    detector = mrcnn.MaskRCNN(config, whole.stages._replace(rpn_head=None))
    whole_config = mrcnn.load_config(TINY)
    whole_config.model = finding_config()
    proposer = rpn_alone(whole)
    joined = four_steps.unite(whole_config, detector, proposer)
    assert all(np.array_equal(a, b) for a, b in zip(joined.weights, whole.weights, strict=True))
    other = rpn_alone(finding_model())
    other.pyramid.weights[0].assign_add(np.ones(other.pyramid.weights[0].shape))
    with pytest.raises(ValueError, match="pyramid/.* is not the same in both models"):
        four_steps.unite(whole_config, detector, other)


@pytest.mark.slow  # two runs
def test_separately(tmp_path, monkeypatch):
    """Two runs, the second on the first one's proposals, and its score; what is done is not done again."""
    four_steps.train_separately(tiny(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "1_rpn",
        "2_detector",
        "metrics.json",
        "proposals_1_train.npz",
        "proposals_1_val.npz",
    ]
    assert json.loads((tmp_path / "2_detector" / "config.json").read_text())["model"]["rpn"]["enabled"] is False
    metrics = (tmp_path / "metrics.json").read_text()
    assert json.loads(metrics) == json.loads((tmp_path / "2_detector" / "metrics.json").read_text())
    trained = []
    monkeypatch.setattr(four_steps, "train", lambda config, folder: trained.append(folder.name))
    four_steps.train_separately(tiny(), tmp_path)
    assert not trained and (tmp_path / "metrics.json").read_text() == metrics


@pytest.mark.slow  # four runs
def test_four_runs_become_one_model(tmp_path, monkeypatch):
    model = four_steps.train_four_steps(tiny(), tmp_path)
    runs = {name: mrcnn.load_model(tmp_path / name / "model.keras") for name in four_steps.STEPS}
    values = {name: {v.path: v.numpy() for v in run.weights} for name, run in runs.items()}
    ours = {variable.path: variable.numpy() for variable in model.weights}
    shared = [path for path in ours if path.startswith(("backbone/", "pyramid/"))]
    assert len(shared) > 20
    for path in shared:
        for name in four_steps.STEPS[1:]:
            np.testing.assert_array_equal(values[name][path], ours[path], err_msg=f"{name} {path}")
    assert any(not np.array_equal(values["1_rpn"][path], ours[path]) for path in shared)
    for path in set(ours) - set(shared):
        source = "3_rpn" if path.startswith("rpn_head/") else "4_detector"
        np.testing.assert_array_equal(values[source][path], ours[path])
    assert any(not np.array_equal(values["2_detector"][path], ours[path]) for path in values["2_detector"])
    lines = [json.loads(line) for line in (tmp_path / "4_detector" / "log.jsonl").read_text().splitlines()]
    assert any("box_class" in line for line in lines) and not any("rpn_box" in line for line in lines)
    assert {"AR100", "AR1000"} < set(json.loads((tmp_path / "3_rpn" / "metrics.json").read_text())["proposals"])
    saved = mrcnn.load_model(tmp_path / "model.keras")
    assert all(np.array_equal(a, b) for a, b in zip(saved.weights, model.weights, strict=True))
    assert set(json.loads((tmp_path / "metrics.json").read_text())) == {"bbox", "segm", "per_category"}
    trained = []  # what is done is not done again
    monkeypatch.setattr(four_steps, "train", lambda config, folder: trained.append(folder.name))
    monkeypatch.setattr(four_steps, "_score", lambda *_: {})
    (tmp_path / "4_detector" / "metrics.json").unlink()
    four_steps.train_four_steps(tiny(), tmp_path)
    assert trained == ["4_detector"]
