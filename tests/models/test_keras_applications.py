"""Backbones of `keras.applications` by the configuration: pixels, levels, weights, what is refused, what is kept."""

import json
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_config, finding_model, tiny_batch

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf import config as configuration
from mask_rcnn_tf.applications import APPLICATIONS
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.models.backbones import keras_models
from mask_rcnn_tf.models.backbones.keras_levels import KerasLevels
from mask_rcnn_tf.models.variable_paths import stable_paths
from mask_rcnn_tf.ops.images import normalize
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import to_torchvision
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.initialization import initialize


def named_config(name, **fields):
    """A tiny configuration on an application, with its pixels."""
    config = finding_config()
    config.backbone.keras_application, config.backbone.frozen_stages, config.backbone.norm = name, 0, "batch_norm"
    order, scale, mean, std = APPLICATIONS[name]
    config.preprocess.channel_order, config.preprocess.pixel_scale = order, scale
    config.preprocess.mean, config.preprocess.std = mean, std
    for field, value in fields.items():
        setattr(config.backbone, field, value)
    return config


def test_pixels_are_what_keras_makes_of_them():
    image = np.random.default_rng(0).integers(0, 256, (1, 4, 5, 3)).astype(np.float32)
    for name, (order, scale, mean, std) in APPLICATIONS.items():
        family = getattr(keras.applications, name).__module__.rpartition(".")[2]
        wanted = getattr(keras.applications, family).preprocess_input(image.copy())
        found = normalize(tf.constant(image), order, scale, mean, std)
        np.testing.assert_allclose(found, wanted, atol=1e-4, err_msg=name)


def test_every_family_is_whole():
    """All of Keras's but those whose maps have other sides, so that a new one is noticed."""
    there = {name for name in dir(keras.applications) if name[:1].isupper()}
    without = {name for name in there if name.startswith(("Inception", "NASNet", "Xception"))}
    assert set(APPLICATIONS) == there - without and len(APPLICATIONS) == 35


@pytest.mark.parametrize(
    "changes, text",
    [
        ({"backbone.keras_application": "ResNet51"}, r"keras_application is 'ResNet51'; allowed: '', 'ConvNeXtTiny', "),
        ({"backbone.keras_layers": ("a", "b")}, r"keras_layers is \('a', 'b'\); allowed: \(\), or with keras_applicat"),
        ({"backbone.norm": "group_norm"}, "norm is 'group_norm'; allowed: 'frozen_batch_norm' or 'batch_norm', where"),
        ({"backbone.frozen_stages": 1}, "frozen_stages is 1; allowed: 0 or 2 or 3 or 4 or 5, where backbone.keras_a"),
        ({"backbone.non_local_after": ("c4_0",)}, r"non_local_after is \('c4_0',\); allowed: \(\), where"),
        ({"backbone.c5_dilation": 2, "fpn.enabled": False}, "c5_dilation is 2; allowed: 1, where"),
        ({"roi.body": "C5"}, "roi.body is 'C5'; allowed: 'none', where"),
        (
            {"preprocess.channel_order": "BGR"},
            r"channel_order is 'BGR'; allowed: what ConvNeXtTiny takes: channel_order=RGB, pixel_scale=1.0, mean=\(0",
        ),
        ({"preprocess.std": (58.0,) * 3}, r"preprocess.std is \(58.0, 58.0, 58.0\); allowed: what ConvNeXtTiny takes"),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(changes, text):
    config = named_config("ConvNeXtTiny")
    for name, value in changes.items():
        section, field = name.split(".")
        setattr(getattr(config, section), field, value)
    with pytest.raises(ValueError, match=rf"^config\.model\..*{text}") as error:
        configuration.validate_model(config)
    assert "\n" not in str(error.value)


def test_layers_without_an_application_are_refused():
    config = finding_config()
    config.backbone.keras_layers = ("a",) * 4
    with pytest.raises(ValueError, match="keras_layers is .*; allowed: \\(\\), or with keras_application a layer for"):
        configuration.validate_model(config)


@pytest.fixture(scope="module")
def mobile():
    """The smallest of them, with its batch norms trained."""
    return finding_model(config=named_config("MobileNetV3Small"))


def test_levels_are_those_of_the_stages(mobile):
    assert mobile.backbone.spec == {"C2": (4, 72), "C3": (8, 96), "C4": (16, 288), "C5": (32, 576)}
    assert mobile.stages.spec == {f"P{i}": (2**i, 16) for i in range(2, 7)}
    assert len(mobile.backbone.weights) == len({variable.path for variable in mobile.backbone.weights}) > 150


def test_named_layers_take_the_place_of_the_stages_ends():
    names = ("expanded_conv_1_add", "expanded_conv_3_expand_bn")
    config = named_config("MobileNetV3Small", keras_layers=names, out_levels=("C3", "C4"))
    config.rpn.levels = config.roi.levels = ("P3", "P4")
    config.anchors.sizes = config.anchors.sizes[:2]
    with pytest.raises(ValueError, match=r"keras_layers is .*, of MobileNetV3Small: layers are .*; allowed: "):
        mrcnn.MaskRCNN(config)
    config.backbone.keras_layers = ("expanded_conv_2_add", "expanded_conv_4_add")
    model = mrcnn.MaskRCNN(config)
    assert model.backbone.spec == {"C3": (8, 24), "C4": (16, 40)} and set(model.stages.spec) == {"P3", "P4", "P5"}
    config.backbone.out_levels = ("C2", "C3")
    with pytest.raises(ValueError, match=r"levels are C2, C3; MobileNetV3Small has no C2, but C3 \(expanded_"):
        mrcnn.MaskRCNN(config)


def test_trains_is_saved_and_loaded_with_what_is_frozen(mobile, tmp_path):
    mobile.compile(keras.optimizers.SGD(1e-4), run_eagerly=True)
    before = {
        path: np.asarray(value).copy() for path, value in zip(stable_paths(mobile.weights), mobile.weights, strict=True)
    }
    assert np.isfinite(mobile.train_on_batch(tiny_batch(), return_dict=True)["loss"])
    moved = [path for path, value in zip(before, mobile.weights, strict=True) if np.any(before[path] != value)]
    assert any(path.startswith("conv_bn/moving_mean") for path in moved) and "conv/kernel" in moved
    mobile.save(tmp_path / "mobile.keras")
    loaded = mrcnn.load_model(tmp_path / "mobile.keras")
    assert loaded.config == mobile.config and len(loaded.trainable_variables) == len(mobile.trainable_variables)
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 120, 3)).astype(np.uint8)
    found, again = mobile(image), loaded(image)
    assert found["num_detections"][0] > 0
    for key, value in found.items():
        np.testing.assert_array_equal(again[key], value, err_msg=key)
    written = json.loads(json.dumps(configuration.to_dict(mobile.config)))
    assert configuration.from_dict(configuration.ModelConfig, written) == mobile.config


def test_a_folded_copy_finds_the_same(mobile):
    """What every export begins with: norms of pyramid and heads are folded, Keras's own layers stay."""
    image = np.random.default_rng(1).integers(0, 256, (1, 96, 120, 3)).astype(np.uint8)
    found, again = mobile(image), fold(mobile)(image)
    assert found["num_detections"][0] > 0
    for key, value in found.items():
        np.testing.assert_allclose(again[key], value, atol=1e-3, err_msg=key)


def test_other_projects_have_no_such_backbone(mobile, tmp_path):
    with pytest.raises(ValueError, match="keras_application is 'MobileNetV3Small'; allowed: '', as in torchvision"):
        to_torchvision(mobile)
    path = tmp_path / "r50.pkl"
    path.write_bytes(pickle.dumps({"model": {"backbone.bottom_up.stem.conv1.weight": np.zeros((8, 3, 7, 7), "f4")}}))
    with pytest.raises(CheckpointError, match="keras_application is 'MobileNetV3Small'; allowed: '', for its backbone"):
        import_checkpoint("detectron2", path, configuration.Config(model=mobile.config))


def test_frozen_norms_over_random_weights_are_refused_and_frozen_stages_do_not_train():
    model = finding_model(config=named_config("MobileNetV3Small", norm="frozen_batch_norm", frozen_stages=3))
    model.compile(keras.optimizers.SGD(1e-4), run_eagerly=True)
    with pytest.raises(ValueError, match="no pretrained weights were loaded: .*, or choose 'batch_norm'.$"):
        model.train_on_batch(tiny_batch())
    trained = {variable.path for variable in model.backbone.trainable_variables}
    assert not any(path.startswith(("conv/", "expanded_conv_1_", "expanded_conv_2_")) for path in trained)
    assert not any("bn" in path for path in trained)
    assert {"conv_1/kernel", "expanded_conv_5_project/kernel"} <= trained


@pytest.mark.slow
def test_a_second_convnext_in_a_process_takes_the_weights_of_the_first():
    """Keras numbers weights without a name through the process: by their paths none would be found."""
    models = [mrcnn.MaskRCNN(named_config("ConvNeXtTiny")) for _ in range(2)]
    first, second = ([variable.path for variable in model.weights] for model in models)
    assert first != second and stable_paths(models[0].weights) == stable_paths(models[1].weights)
    assert len(set(stable_paths(models[0].weights))) == len(first)
    for variable in models[0].backbone.weights:
        variable.assign(np.random.default_rng(0).normal(0, 0.01, variable.shape))
    report = initialize(models[1], models[0])
    assert not any("backbone" in line or "convnext" in line for line in report.kept["not there"])
    for ours, theirs in zip(models[1].backbone.weights, models[0].backbone.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ConvNeXtTiny", "EfficientNetV2B0", "EfficientNetB0", "DenseNet121", "ResNet50V2"])
def test_levels_of_each_family_equal_kerass_own(name, monkeypatch):
    """Features of the whole model, built by Keras: the same weights, to the last of each stage."""
    keras.utils.set_random_seed(0)
    levels = KerasLevels(name)
    assert [stride for stride, _ in levels.spec.values()] == [4, 8, 16, 32]
    builder = getattr(keras.applications, name)
    theirs = builder(weights=None, include_top=False, input_shape=(None, None, 3))
    ours = keras_models.named_variables(levels.body)
    for path, variable in keras_models.named_variables(theirs).items():
        if path in ours:
            variable.assign(ours[path])
    if name == "EfficientNetB0":  # whose statistics are in its file
        layer = next(layer for layer in theirs.layers if isinstance(layer, keras.layers.Normalization))
        layer.adapt_mean.assign(keras_models.IMAGENET_MEAN)
        layer.adapt_variance.assign(np.square(keras_models.IMAGENET_STD))
        layer.finalize_state()
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (1, 96, 128, 3)).astype(np.float32))
    wanted, found = theirs(image, training=False), levels(image)["C5"]
    np.testing.assert_allclose(found, wanted, atol=1e-4 * np.abs(wanted).max())


@pytest.mark.slow
@pytest.mark.parametrize("name", APPLICATIONS)
def test_every_application_has_the_five_strides(name):
    if any(word in name for word in ("Large", "Base", "B5", "B6", "B7", "V2L", "V2M")):
        pytest.skip("hundreds of millions of weights; built as its smaller siblings are")
    levels = KerasLevels(name)
    assert [stride for stride, _ in levels.spec.values()] == [4, 8, 16, 32]
    assert len(keras_models.named_variables(levels.body)) == len(levels.weights)
    assert not [layer for layer in levels.body.layers if isinstance(layer, keras.layers.Dropout) and layer.rate]
