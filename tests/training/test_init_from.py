"""Runs that start from the weights of another model."""

import importlib.util
import logging
import pathlib

import keras
import numpy as np
import pytest

from mask_rcnn_tf import MaskRCNN
from mask_rcnn_tf.training.fit import train

PATH = pathlib.Path(__file__).with_name("tiny_config.py")


def tiny_config(**train_fields):
    spec = importlib.util.spec_from_file_location("tiny_config", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for name, value in train_fields.items():
        setattr(config.train, name, value)
    return config


@pytest.fixture
def source(tmp_path):
    """A saved model with other classes than the scenes have and with statistics of its own."""
    config = tiny_config().model
    config.num_classes, config.class_names = 2, ("cat", "dog")
    model = MaskRCNN(config)
    for variable in model.weights:
        if variable.path.endswith("moving_mean"):
            variable.assign(np.full(variable.shape, 0.25))
    model.save(tmp_path / "source.keras")
    return tmp_path / "source.keras"


def weights(path):
    return {variable.path: variable.numpy() for variable in keras.models.load_model(path).weights}


def check_equal(ours, expected):
    for name, value in expected.items():
        np.testing.assert_array_equal(ours[name], value, err_msg=name)


def test_fine_tuned_and_resumed(source, tmp_path, caplog):
    """Other classes over a frozen backbone; started again without its source, the run stays where it was."""
    config = tiny_config(init_from=str(source), steps=2, evaluate_every=2)
    config.model.backbone.frozen_stages, config.model.backbone.norm = 5, "frozen_batch_norm"
    before = weights(source)
    caplog.set_level(logging.INFO, "mask_rcnn_tf")
    train(config, tmp_path / "run")
    assert f"init_from {source}: not loaded, class-dependent" in caplog.text
    after = weights(tmp_path / "run" / "model.keras")
    check_equal(after, {name: value for name, value in before.items() if name.startswith("backbone/")})
    assert after["box_head/class_logits/bias"].shape == (7,)  # the scenes' six classes and background
    assert np.any(after["box_head/fc0/kernel"] != before["box_head/fc0/kernel"])
    source.unlink()
    caplog.clear()
    train(config, tmp_path / "run")
    assert "resumed from" in caplog.text and "init_from" not in caplog.text
    check_equal(weights(tmp_path / "run" / "model.keras"), after)


@pytest.mark.parametrize("problem", ["missing", "another network"])
def test_what_cannot_be_loaded_is_named(source, tmp_path, problem):
    config = tiny_config(init_from=str(source), steps=2)
    if problem == "missing":
        source.unlink()
    else:
        config.model.preprocess.channel_order = "RGB"
    message = "there is no such file" if problem == "missing" else "--config.model.preprocess.channel_order=BGR"
    with pytest.raises(ValueError, match=rf"config.train.init_from is .*source.keras.*{message}"):
        train(config, tmp_path / "run")
