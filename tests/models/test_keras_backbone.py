"""Keras models as backbones: features, saving, training, exports; what does not fit is refused."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from export_writers import WRITERS, two_images
from tiny import finding_config, finding_model, tiny_batch

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.backbones.keras_backbone import KerasBackbone
from mask_rcnn_tf.models.backbones.keras_levels import KerasLevels

LAYERS = ("fine", "middle", "coarse")
IMAGE = np.random.default_rng(0).integers(0, 256, (1, 96, 120, 3)).astype(np.uint8)


def small_model(shape=(None, None, 3), stride=2):
    """Strides 4, 8, 16, a batch norm, a nested model as ConvNeXt has, and a classifier that is not needed."""
    inputs = keras.Input(shape)
    outputs = keras.layers.Rescaling(1 / 255)(inputs)
    outputs = keras.layers.Conv2D(8, 4, 4, padding="same", name="fine")(outputs)
    outputs = keras.layers.BatchNormalization(name="norm")(outputs)
    middle = keras.Sequential([keras.layers.Conv2D(12, 3, stride, "same", activation="gelu", name="c")], name="middle")
    outputs = keras.layers.Conv2D(16, 2, 2, activation="relu", name="coarse")(middle(outputs))
    outputs = keras.layers.Dense(10, name="classifier")(keras.layers.GlobalAveragePooling2D()(outputs))
    return keras.Model(inputs, outputs)


def plain_pixels():
    config = finding_config()
    config.preprocess.channel_order, config.preprocess.pixel_scale = "RGB", 1.0
    config.preprocess.mean, config.preprocess.std = (0.0,) * 3, (1.0,) * 3
    config.rpn.levels, config.roi.levels = ("P2", "P3", "P4", "P5"), ("P2", "P3", "P4")
    config.anchors.sizes = config.anchors.sizes[:4]
    return config


def test_features_are_those_of_the_layers():
    keras.utils.set_random_seed(0)
    source = small_model()
    backbone = KerasBackbone(source, LAYERS, channels=16)
    backbone.build((None, None, None, 3))
    assert backbone.spec == {"P2": (4, 16), "P3": (8, 16), "P4": (16, 16), "P5": (32, 16)}
    image = tf.cast(IMAGE[:, :, :96], tf.float32)
    for got, name in zip(backbone.body(image), LAYERS, strict=True):
        wanted = keras.Model(source.inputs, source.get_layer(name).output)(image)
        np.testing.assert_array_equal(got, wanted)
    levels = backbone(image)
    assert {name: level.shape for name, level in levels.items()} == backbone.compute_output_shape(image.shape)
    assert not any("classifier" in variable.path for variable in backbone.weights)


@pytest.mark.slow
def test_a_model_on_it_trains_is_saved_and_exported(tmp_path):
    model = finding_model(config=plain_pixels(), backbone=KerasBackbone(small_model(), LAYERS, channels=16))
    norm = model.backbone.body.get_layer("norm")
    before = [variable.numpy() for variable in norm.weights]
    kernel = model.backbone.body.get_layer("fine").kernel.numpy()
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)  # the export is traced
    model.train_on_batch(tiny_batch())
    assert np.any(model.backbone.body.get_layer("fine").kernel.numpy() != kernel)
    for variable, value in zip(norm.weights, before, strict=True):  # its statistics too
        np.testing.assert_array_equal(variable.numpy(), value)
    found = model(IMAGE)
    assert found["num_detections"][0] > 0
    model.save(tmp_path / "own.keras")
    loaded = mrcnn.load_model(tmp_path / "own.keras")
    assert len(loaded.trainable_variables) == len(model.trainable_variables)
    again = loaded(IMAGE)
    for name, value in found.items():
        np.testing.assert_array_equal(again[name], value, err_msg=name)
    loaded.export(tmp_path / "own")  # compared before it appears


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "model"])
def test_a_model_on_it_is_exported(tmp_path, name):
    """GELU, of ConvNeXt, too; each form is compared before it appears."""
    model = finding_model(config=plain_pixels(), backbone=KerasBackbone(small_model(), LAYERS, channels=16))
    WRITERS[name](model, tmp_path / name, two_images())
    assert (tmp_path / name).exists()


def branched_model():
    """Two residual stages, as ConvNeXt has them: a branch ends beside the sum that everything after it reads."""
    inputs = keras.Input((None, None, 3))
    outputs = keras.layers.Conv2D(8, 4, 4, name="stem")(inputs)
    outputs = outputs + keras.layers.Conv2D(8, 1, name="branch")(outputs)  # a sum without a layer
    outputs = keras.layers.Conv2D(12, 2, 2, name="down")(outputs)
    inner = keras.layers.Conv2D(12, 1, name="inner")(outputs)
    return keras.Model(inputs, keras.layers.Add(name="sum")([outputs, inner]))


def test_stages_end_at_the_last_map_that_all_that_follows_reads():
    keras.utils.set_random_seed(0)
    source = branched_model()
    levels = KerasLevels(source)
    levels.build((None, None, None, 3))
    assert levels.spec == {"C2": (4, 8), "C3": (8, 12)}
    image = tf.cast(IMAGE[:, :, :96], tf.float32)
    stem, branch, kernel = (source.get_layer(name) for name in ("stem", "branch", "down"))
    fine = stem(image) + branch(stem(image))
    found = levels(image)
    np.testing.assert_allclose(found["C2"], fine, atol=1e-4)
    np.testing.assert_allclose(found["C3"], source(image), atol=1e-3)
    assert kernel(fine).shape == found["C3"].shape
    assert list(KerasLevels(source, levels=("C3",)).spec) == ["C3"]
    with pytest.raises(ValueError, match=r"levels are C3, C4; .* has no C4, but C2 \(add.*\), C3 \(sum\)"):
        KerasLevels(source, levels=("C3", "C4"))


def test_frozen_stages_are_all_that_a_level_is_computed_from():
    levels = KerasLevels(small_model(), frozen_stages=3, frozen_norms=False)
    levels.build((None, None, None, 3))
    assert {variable.path.split("/")[0] for variable in levels.trainable_variables} == {"coarse"}
    whole = KerasLevels(small_model(), frozen_norms=False)
    whole.build((None, None, None, 3))
    assert len(whole.trainable_variables) == 8


def test_norms_train_if_they_shall():
    backbone = KerasBackbone(small_model(), LAYERS, channels=16, frozen_norms=False)
    backbone.build((None, None, None, 3))
    assert backbone.body.get_layer("norm").trainable


def test_other_dtypes_have_the_same_weights():
    keras.utils.set_random_seed(0)
    source = small_model()
    mixed = KerasBackbone(source, LAYERS, channels=16, dtype="mixed_bfloat16")
    mixed.build((None, None, None, 3))
    image = tf.cast(IMAGE, tf.float32)
    for got, wanted in zip(mixed.body(image), KerasBackbone(source, LAYERS).body(image), strict=True):
        assert got.dtype == tf.bfloat16 and wanted.dtype == tf.float32
        np.testing.assert_allclose(tf.cast(got, tf.float32), wanted, atol=0.03 * np.abs(wanted).max())


@pytest.mark.parametrize(
    "make, text",
    [
        (lambda: KerasBackbone("ResNet51", ("a",)), "model is 'ResNet51'; allowed: a keras.Model, or one of keras.app"),
        (lambda: KerasBackbone("imagenet_utils", ("a",)), "model is 'imagenet_utils'; allowed"),
        (
            lambda: KerasBackbone(small_model((96, 96, 3)), LAYERS),
            r"model takes \(None, 96, 96, 3\); allowed",
        ),
        (lambda: KerasBackbone(small_model(), ("fine", "mid")), "layers are 'fine', 'mid'; allowed: .*'middle', 'coar"),
        (
            lambda: KerasBackbone(small_model(stride=1), LAYERS),
            "fine: 64 x 80, middle: 64 x 80, coarse: 32 x 40 for",
        ),
        (
            lambda: KerasBackbone(small_model(), ("fine", "coarse")),
            "allowed: its sides by a power of two, and by twi",
        ),
    ],
)
def test_what_does_not_fit_is_refused(make, text):
    with pytest.raises(ValueError, match=text):
        make()
