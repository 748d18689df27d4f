"""ImageNet weights of keras.applications: names, the folded bias, and features equal to Keras's own."""

import re

import checkpoint_files
import keras
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import keras_applications

LEVELS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3)}  # blocks


def random_network(builder):
    """One of keras.applications without its classifier; every statistic and bias is random."""
    network = builder(weights=None, include_top=False, input_shape=(None, None, 3))
    random = np.random.default_rng(5)
    for layer in network.layers:
        for weight in layer.weights:
            if weight.name in ("gamma", "moving_variance"):
                weight.assign(random.uniform(0.5, 1.5, weight.shape))
            elif weight.name != "kernel":
                weight.assign(random.normal(0, 0.3, weight.shape))
    return network


def downloaded(monkeypatch, name, network):
    """`download` with the network in place of the published one."""

    def builder(weights, include_top):
        assert weights == "imagenet" and not include_top
        return network

    monkeypatch.setattr(keras.applications, keras_applications.DOWNLOADS[name], builder)
    return keras_applications.download(name)


def small_heads(config):
    """The configuration's model, with heads that cost nothing, for images of 96 pixels."""
    model = config.model
    model.fpn.channels = model.rpn.channels = model.mask_head.channels = model.box_head.fc_channels = 8
    model.preprocess.short_side, model.preprocess.max_side = 96, 128
    return model


@pytest.fixture(scope="module")
def network():
    keras.utils.set_random_seed(1)
    return random_network(keras.applications.ResNet50)


@pytest.fixture(scope="module")
def tensors(network):
    with pytest.MonkeyPatch.context() as monkeypatch:
        return downloaded(monkeypatch, "resnet50", network)


@pytest.fixture(scope="module")
def imported(tensors, tmp_path_factory):
    """The model, and the report of a published file with the classifier."""
    path = tmp_path_factory.mktemp("keras") / "resnet50_weights_tf_dim_ordering_tf_kernels.h5"
    top = {"predictions/kernel": np.zeros((2048, 1000)), "predictions/bias": np.zeros(1000)}
    checkpoint_files.write_keras_h5(path, {**tensors, **top})
    config = keras_applications.make_config(tensors)
    small_heads(config)
    yield import_checkpoint("keras", path, config)
    path.unlink()  # 100 MB


def differences(network, model, image):
    """Greatest difference of C2..C5 from Keras's, over the greatest feature."""
    names = [f"conv{i}_block{n}_out" for i, n in enumerate(model.config.backbone.stage_blocks, start=2)]
    features = keras.Model(network.input, [network.get_layer(name).output for name in names])
    expected = features(keras.applications.resnet50.preprocess_input(image.astype(np.float32)))
    ours = model.backbone(model.preprocess(tf.constant(image))[0])
    relative = []
    for level, theirs in zip(("C2", "C3", "C4", "C5"), expected, strict=True):
        assert ours[level].shape == theirs.shape
        relative.append(float(tf.reduce_max(tf.abs(ours[level] - theirs)) / tf.reduce_max(tf.abs(theirs))))
    return relative


def random_image(height, width):
    return np.random.default_rng(2).integers(0, 256, (1, height, width, 3), np.uint8)


def test_every_tensor_is_used_and_the_backbone_is_set(tensors, imported):
    model, report = imported
    assert len(tensors) == 53 * 6 and set(report.used) == set(tensors)
    assert report.ignored == dict.fromkeys(("predictions/kernel", "predictions/bias"), "ImageNet's classifier")
    backbone = {weight.path for weight in model.backbone.weights}
    assert set(report.initial) == {weight.path for weight in model.weights} - backbone and len(backbone) == 53 * 5


def test_features_equal_keras(network, imported):
    assert max(differences(network, imported[0], random_image(96, 128))) < 1e-4


def test_features_equal_keras_on_odd_sides(network, imported):
    """Keras pads as we do: 97 x 127 gives the same shapes too, though `MaskRCNN` itself never asks for them."""
    model = imported[0]
    image = random_image(97, 127).astype(np.float32) - 120
    features = keras.Model(network.input, network.get_layer("conv5_block3_out").output)(image)
    np.testing.assert_allclose(model.backbone(image)["C5"], features, atol=1e-4 * np.abs(features).max())


def test_a_lost_bias_would_show(network, tensors, imported):
    model = imported[0]
    entries = keras_applications.make_entries(model, tensors)
    try:
        assign(model, entries, {n: v * 0 if n.endswith("conv/bias") else v for n, v in tensors.items()})
        assert min(differences(network, model, random_image(96, 128))) > 1e-2
    finally:
        assign(model, entries, tensors)


@pytest.mark.slow
def test_features_of_resnet101_equal_keras(monkeypatch):
    keras.utils.set_random_seed(1)
    network = random_network(keras.applications.ResNet101)
    tensors = downloaded(monkeypatch, "resnet101", network)
    config = keras_applications.make_config(tensors)
    assert config.model.backbone.stage_blocks == LEVELS["resnet101"]
    model = mrcnn.MaskRCNN(small_heads(config))
    assign(model, keras_applications.make_entries(model, tensors), tensors)
    assert max(differences(network, model, random_image(96, 128))) < 1e-4


def test_config_is_that_of_the_weights(tensors):
    config = keras_applications.make_config(tensors).validate()
    assert config.name == "keras_mask_rcnn_r50_fpn"
    backbone = config.model.backbone
    assert (backbone.stage_blocks, backbone.norm_epsilon) == (LEVELS["resnet50"], 1.001e-5)
    assert backbone.stride_in_1x1 and backbone.norm == "frozen_batch_norm" and backbone.frozen_stages == 2


def old_name(name, weights):
    """A name of today as in the file of deep-learning-models v0.2."""
    layer, weight = name.split("/")
    match = re.fullmatch(r"conv(\d)_block(\d+)_(\d)_(conv|bn)", layer)
    if match:
        kind = {"conv": "res", "bn": "bn"}[match[4]]
        layer = f"{kind}{match[1]}{' abcdef'[int(match[2])]}_branch{['1', '2a', '2b', '2c'][int(match[3])]}"
    else:
        layer = {"conv1_conv": "conv1", "conv1_bn": "bn_conv1"}[layer]
    return f"{layer}/{weights(layer, weight)}"


def keras1_weight(layer, weight):
    old = {"kernel": "W", "bias": "b", "moving_mean": "running_mean", "moving_variance": "running_std"}
    return f"{layer}_{old.get(weight, weight)}" + "_1" * (weight == "kernel")


@pytest.mark.parametrize("weights", [keras1_weight, lambda layer, weight: weight], ids=["keras1", "keras2"])
def test_old_names_give_the_same_variables(tensors, imported, weights):
    model = imported[0]
    expected = [np.asarray(weight).copy() for weight in model.backbone.weights]
    old = {old_name(name, weights): value for name, value in tensors.items()}
    old["fc1000/bias"] = np.zeros(1000)
    old = keras_applications.prepare(old)
    backbone = keras_applications.make_config(old).model.backbone
    assert (backbone.stage_blocks, backbone.norm_epsilon) == (LEVELS["resnet50"], 1e-3)
    for weight in model.backbone.weights:
        weight.assign(tf.zeros_like(weight))
    report = assign(model, keras_applications.make_entries(model, old), old, keras_applications.IGNORED)
    assert len(report.used) == len(tensors) and list(report.ignored) == ["fc1000/bias"]
    for weight, value in zip(model.backbone.weights, expected, strict=True):
        np.testing.assert_array_equal(weight, value)


def test_what_does_not_fit_is_named(tensors, imported):
    model = imported[0]
    bad = {**tensors, "conv1_conv/kernel": np.zeros((3, 3, 3, 64)), "extra/kernel": np.zeros(1)}
    del bad["conv5_block3_2_bn/moving_variance"]
    before = np.asarray(model.backbone.stem.norm.moving_mean).copy()
    with pytest.raises(CheckpointError) as error:
        assign(model, keras_applications.make_entries(model, bad), bad, keras_applications.IGNORED)
    for part in (
        "1 missing: conv5_block3_2_bn/moving_variance",
        "1 unexpected: extra/kernel",
        "conv1_conv/kernel has shape [3, 3, 3, 64], the model needs [7, 7, 3, 64]",
    ):
        assert part in str(error.value)
    np.testing.assert_array_equal(model.backbone.stem.norm.moving_mean, before)


def test_other_networks_and_norms_are_refused():
    names = ["block1_conv1/kernel", "block1_conv1/bias"]
    with pytest.raises(CheckpointError, match=r"\(0, 0, 0, 0\) residual blocks.*first names: block1_conv1/kernel"):
        keras_applications.make_config(dict.fromkeys(names, np.zeros(1)))
    config = small_heads(mrcnn.load_config("keras_mask_rcnn_r50_fpn"))
    config.backbone.norm, config.backbone.stage_blocks = "group_norm", (1, 1, 1, 1)
    with pytest.raises(CheckpointError, match="norm is 'group_norm'; allowed: a batch norm"):
        keras_applications.make_entries(mrcnn.MaskRCNN(config), {})


def test_a_failed_download_is_one_error(monkeypatch):
    def fail(**_):
        raise Exception("URL fetch failure on https://somewhere: None -- no network")

    monkeypatch.setattr(keras.applications, "ResNet101", fail)
    with pytest.raises(CheckpointError, match="^resnet101: Keras could not load its ImageNet weights: URL fetch fail"):
        keras_applications.download("resnet101")
