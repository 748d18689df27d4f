"""What a model promises beyond its numbers: seeds of any length, frozen parts that stay frozen, scores in float32."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_model, tiny_batch, tiny_config, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.sublayers import sublayers
from mask_rcnn_tf.models.targets import image_seeds

PREDICTORS = ("objectness", "deltas", "class_logits", "box_deltas")


def seeds(seed, step=5, draw=1):
    return image_seeds(seed, tf.constant(step, tf.int64), tf.constant([3, 4], tf.int64), draw).numpy()


def test_seeds_of_any_length_differ_and_short_ones_are_as_ever():
    np.testing.assert_array_equal(seeds(7), [[5 * 2 + 1 + (7 << 40), 3], [5 * 2 + 1 + (7 << 40), 4]])
    many = [0, 1, 2**23 - 1, 2**23, 2**24, 2**24 + 1, 2**31, 2**40 + 1, 2**61]
    assert len({seeds(seed).tobytes() for seed in many}) == len(many)


@pytest.mark.parametrize("seed", [2**23, 2**40 + 5])
def test_a_long_seed_trains(seed):
    config = tiny_config()
    config.seed = seed
    model = mrcnn.MaskRCNN(config)
    model.compile(keras.optimizers.SGD(0.01), run_eagerly=True)
    assert np.isfinite(model.train_on_batch(tiny_batch(), return_dict=True)["loss"])


def test_what_is_frozen_stays_frozen_when_it_is_saved(tmp_path):
    model = tiny_model()
    model.backbone.trainable = False
    model.box_head.fcs[1].trainable = False
    before = {variable.path for variable in model.trainable_variables}
    model.save(tmp_path / "frozen.keras")
    loaded = keras.models.load_model(tmp_path / "frozen.keras")
    assert {variable.path for variable in loaded.trainable_variables} == before
    assert not loaded.backbone.trainable and before and not any(path.startswith("backbone") for path in before)


def test_what_was_thawed_stays_thawed_when_it_is_saved(tmp_path):
    config = tiny_config()
    config.backbone.frozen_stages = 2
    model = mrcnn.MaskRCNN(config)
    model.backbone.stem.trainable = True
    model.save(tmp_path / "thawed.keras")
    loaded = keras.models.load_model(tmp_path / "thawed.keras")
    expected = {variable.path for variable in model.trainable_variables}
    assert {variable.path for variable in loaded.trainable_variables} == expected
    assert "backbone/stem/kernel" in expected and not any(path.startswith("backbone/c2") for path in expected)


def test_predictors_compute_in_float32_under_bfloat16():
    model = tiny_model(dtype="mixed_bfloat16")
    layers = [layer for _, layer in sublayers(model) if layer.name in PREDICTORS]
    assert len(layers) == len(PREDICTORS)
    assert {layer.compute_dtype for layer in layers} == {"float32"}
    image = tf.random.stateless_normal([1, 96, 96, 3], [0, 1])
    tensors = model.trace(image, tf.constant([[96, 96]]))
    names = [name for name in tensors if name.startswith(("objectness", "deltas", "class_logits", "box_deltas"))]
    for name in (*names, "mask_logits"):
        rounded = tf.cast(tf.cast(tensors[name], tf.bfloat16), tf.float32)
        assert tensors[name].dtype == tf.float32
        assert np.abs(tensors[name] - rounded).max() > 0, name  # none is a bfloat16 in a float32's clothes


def test_export_is_keras_idiom(served_signatures, tmp_path):
    """`served_models` was written by `model.export`."""
    model = finding_model()
    image = tf.constant(np.random.default_rng(0).integers(0, 256, (1, 96, 96, 3)), tf.uint8)
    assert set(served_signatures) == {"serving_default", "serving_bytes"}
    expected = model(image)["num_detections"]
    np.testing.assert_array_equal(served_signatures["serving_default"](images=image)["num_detections"], expected)
    assert expected[0] > 0
    with pytest.raises(ValueError, match="format is 'openvino'; allowed: 'tf_saved_model', 'onnx', 'tflite'"):
        model.export(tmp_path / "2", format="openvino")
