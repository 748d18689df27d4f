"""Weights of `keras.applications` in their own network: files of Keras, names, downloads that fail, what is refused."""

import checkpoint_files
import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_config

from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.models.backbones.keras_models import named_variables, stable_name
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.importer import import_checkpoint

NAME = "MobileNetV3Small"  # the smallest


def config_of(name):
    config = finding_config()
    config.backbone.keras_application, config.backbone.frozen_stages = name, 0
    config.backbone.norm = "frozen_batch_norm"
    order, scale, mean, std = APPLICATIONS[name]
    config.preprocess.channel_order, config.preprocess.pixel_scale = order, scale
    config.preprocess.mean, config.preprocess.std = mean, std
    return Config(model=config)


@pytest.fixture(scope="module")
def network():
    """Keras's own, without its classifier; every statistic is random."""
    keras.utils.set_random_seed(1)
    network = getattr(keras.applications, NAME)(weights=None, include_top=False, input_shape=(None, None, 3))
    random = np.random.default_rng(5)
    for variable in network.weights:
        if variable.name in ("gamma", "moving_variance"):
            variable.assign(random.uniform(0.5, 1.5, variable.shape))
        elif variable.name != "kernel":
            variable.assign(random.normal(0, 0.3, variable.shape))
    return network


def write(network, path):
    if path.suffix == ".keras":
        network.save(path)
    elif path.name.endswith(".weights.h5"):
        network.save_weights(path)
    else:
        arrays = {name: np.asarray(variable) for name, variable in named_variables(network).items()}
        checkpoint_files.write_keras_h5(path, arrays | {"predictions/bias": np.zeros(1000, np.float32)})


@pytest.mark.parametrize("file", ["own.keras", "own.weights.h5", "published.h5"])
def test_files_of_keras_give_its_features(network, tmp_path, file):
    write(network, tmp_path / file)
    model, report = import_checkpoint("keras", tmp_path / file, config_of(NAME))
    backbone = {variable.path for variable in model.backbone.weights}
    assert len(report.used) == len(network.weights) == len(backbone) and not backbone & set(report.initial)
    assert set(report.ignored) == ({"predictions/bias"} if file == "published.h5" else set())
    image = np.random.default_rng(2).integers(0, 256, (1, 64, 96, 3)).astype(np.float32)
    wanted = network(keras.applications.mobilenet_v3.preprocess_input(image.copy()), training=False)
    found = model.backbone(tf.constant(image))["C5"]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


def test_what_does_not_fit_is_one_line(network, tmp_path):
    network.save_weights(tmp_path / "own.weights.h5")
    (tmp_path / "broken.keras").write_bytes(b"PK\x03\x04 no archive")
    for file, name, text in (
        (
            "own.weights.h5",
            "MobileNetV2",
            "not the weights of MobileNetV2 without its classifier .*: it has 206 arrays",
        ),
        ("broken.keras", NAME, "broken.keras"),
        ("none.keras", NAME, "no such file"),
    ):
        with pytest.raises(CheckpointError, match=text) as error:
            import_checkpoint("keras", tmp_path / file, config_of(name))
        assert "\n" not in str(error.value)
    write(network, tmp_path / "published.h5")
    with pytest.raises(CheckpointError, match="goes into a configuration with its name in model.backbone.keras_appl"):
        import_checkpoint("keras", tmp_path / "published.h5")


def test_a_download_that_fails_is_one_line(monkeypatch):
    real = getattr(keras.applications, NAME)

    def offline(weights=None, **options):
        if weights == "imagenet":
            raise Exception("URL fetch failure on https://somewhere:\n None -- no network")
        return real(weights=weights, **options)

    monkeypatch.setattr(keras.applications, NAME, offline)
    with pytest.raises(CheckpointError, match=f"{NAME}: Keras could not load its ImageNet weights: .*fetch") as error:
        import_checkpoint("keras", NAME, config_of(NAME))
    assert "\n" not in str(error.value)


def test_a_download_gives_the_network_its_weights(network, monkeypatch):
    """Where Keras finds a file: the builder gives its network, as with weights='imagenet'."""
    real = getattr(keras.applications, NAME)
    monkeypatch.setattr(
        keras.applications, NAME, lambda weights=None, **rest: network if weights else real(weights=None, **rest)
    )
    model, report = import_checkpoint("keras", NAME, config_of(NAME))
    assert len(report.used) == len(network.weights)
    for name, variable in named_variables(model.backbone.body).items():
        np.testing.assert_array_equal(variable, named_variables(network)[name])


def test_names_without_the_numbers_of_a_process():
    assert stable_name("layer_normalization_7/gamma") == "layer_normalization/gamma"
    assert stable_name("convnext_tiny_stage_0_block_1_layer_scale/variable_31") == (
        "convnext_tiny_stage_0_block_1_layer_scale/gamma"
    )
    assert stable_name("block_3_expand_BN/moving_mean") == "block_3_expand_BN/moving_mean"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetB0", "EfficientNetV2B0"])
def test_weights_of_other_families(name, tmp_path):
    """EfficientNetB0's file has statistics of pixels, which are constants here and named as ignored."""
    keras.utils.set_random_seed(1)
    network = getattr(keras.applications, name)(weights=None, include_top=False, input_shape=(None, None, 3))
    network.save_weights(tmp_path / "own.weights.h5")
    model, report = import_checkpoint("keras", tmp_path / "own.weights.h5", config_of(name))
    assert len(report.ignored) == (3 if name == "EfficientNetB0" else 0)
    theirs = named_variables(network)
    for path, variable in named_variables(model.backbone.body).items():
        np.testing.assert_array_equal(variable, theirs[path], err_msg=path)
