"""`predict` and `evaluate` without tf.data's tuner: what Keras is given, and that it predicts the same."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_batch, tiny_config, tiny_model

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline
from mask_rcnn_tf.untuned import untuned


def tuned(dataset):
    return dataset.options().autotune.enabled


def test_the_tuner_is_off_unless_somebody_has_said():
    dataset, options = tf.data.Dataset.range(3), tf.data.Options()
    options.autotune.enabled = True
    assert tuned(dataset) is None and tuned(untuned(dataset)) is False and list(untuned(dataset)) == [0, 1, 2]
    assert tuned(untuned(dataset.with_options(options))) is True
    assert tuned(untuned(dataset).batch(2).prefetch(1)) is False


@pytest.fixture(scope="module")
def model():
    model = tiny_model()
    model.compile()
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 255, (3, 70, 110, 3), np.uint8)


@pytest.mark.parametrize("kind", ["array", "tensor", "dict", "data set", "generator"])
def test_predictions_are_those_of_batches(model, images, kind):
    given = {
        "array": lambda: images,
        "tensor": lambda: tf.constant(images),
        "dict": lambda: {"image": tiny_batch(3)["image"].numpy(), "image_shape": tiny_batch(3)["image_shape"].numpy()},
        "data set": lambda: tf.data.Dataset.from_tensor_slices(images).batch(2),
        "generator": lambda: ((images[rows],) for rows in (slice(2), slice(2, 3))),
    }
    size = {} if kind in ("data set", "generator") else {"batch_size": 2}
    found = model.predict(given[kind](), verbose=0, **size)
    whole = given["dict"]() if kind == "dict" else images
    parts = [tf.nest.map_structure(lambda value: value[rows], whole) for rows in (slice(2), slice(2, 3))]  # noqa: B023
    batches = [model.predict_on_batch(part) for part in parts]
    for name, values in found.items():
        np.testing.assert_array_equal(values, np.concatenate([batch[name] for batch in batches]), err_msg=name)


def test_keras_gets_untuned_data_sets(model, images, monkeypatch):
    given = []
    monkeypatch.setattr(keras.Model, "predict", lambda self, x, *args: given.append((x, args)))
    monkeypatch.setattr(keras.Model, "evaluate", lambda self, x, *args, **options: given.append((x, options)))
    data = tf.data.Dataset.from_tensor_slices(images).batch(1)
    model.predict(images, batch_size=2, verbose=0, steps=1)
    model.predict(data)
    model.evaluate(data, return_dict=True)
    assert [tuned(x) for x, _ in given] == [False] * 3
    assert [len(batch) for batch in given[0][0]] == [2, 1]
    assert given[0][1] == (None, 0, 1, None) and given[2][1] == {"return_dict": True}
    model.predict(x := [images])
    assert given[-1][0] is x


def test_our_own_data_sets_are_untuned(tmp_path):
    config = Config(model=tiny_config())
    config.data.dataset, config.data.data_dir = "mrcnn_shapes", str(tmp_path)
    config.data.shapes.train_scenes = config.data.shapes.val_scenes = 2
    config.data.shapes.size = 96
    config.data.canvases = ((config.model.preprocess.max_side,) * 2,)
    config.data.train_short_sides = (config.model.preprocess.short_side,)
    made = pipeline.train_dataset(config), pipeline.val_dataset(config), pipeline.val_images(config)
    assert [tuned(dataset) for dataset in (*made, pipeline.train_examples(config, [1], 1))] == [False] * 4
