"""Images of other channels than RGB, and of 16 bits, from files to detections and exports."""

import numpy as np
import pytest
import tensorflow as tf
from export_writers import WRITERS
from spectral import scene, write_set
from tiny import finding_config, finding_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline
from mask_rcnn_tf.data.appearance import varied
from mask_rcnn_tf.export import runners, saved_model
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.ops import colours
from mask_rcnn_tf.pixels import PixelKind


def model_config(channels=5, bits=16):
    """A tiny model of such images."""
    config = finding_config()
    preprocess, white = config.preprocess, 2**bits - 1
    preprocess.channels, preprocess.bits, preprocess.round_resized = channels, bits, bits == 8
    preprocess.channel_order, preprocess.short_side, preprocess.max_side = "RGB", 64, 96
    preprocess.mean, preprocess.std = (0.3 * white,) * channels, (0.1 * white,) * channels
    return config


def data_config(folder, channels=5, bits=16, **options):
    """A run of two images a batch."""
    path = str(write_set(folder, 4, channels=channels, bits=bits, **options))
    config = Config(model=model_config(channels, bits))
    config.model.num_classes, config.model.class_names, config.model.category_ids = 2, (), ()
    data = config.data
    data.data_dir, data.train_annotations, data.train_images = str(folder / "cache"), path, str(folder)
    data.val_annotations, data.val_images = path, str(folder)
    data.canvases, data.train_short_sides, config.train.batch_size = ((64, 96), (96, 64)), (64,), 2
    return config


def images(channels, bits, count=2):
    rng = np.random.default_rng(5)
    dtype = np.uint8 if bits == 8 else np.uint16
    return [scene(rng, 64, channels, 2**bits - 1)[0].astype(dtype) for _ in range(count)]


@pytest.mark.parametrize("ending", ["npy", "tif"])
def test_batches_are_the_files_levels(tmp_path, ending):
    config = data_config(tmp_path / "set", ending=ending)
    batch = next(iter(pipeline.val_dataset(config)))
    image = np.load(write_set(tmp_path / "same", 1).parent / "0001.npy")  # the first scene is the same
    wanted = (image.astype(np.float64) - 0.3 * 65535) / (0.1 * 65535)
    np.testing.assert_allclose(batch["image"][0, :64, :64], wanted, atol=1e-5)
    assert batch["image"].shape == (1, 64, 96, 5) and not np.any(batch["image"][0, :, 64:])


def test_augmented_and_trained_on(tmp_path):
    """Everything that does not need colours, together; levels stay levels."""
    config = data_config(tmp_path / "set")
    data = config.data
    data.flip_vertical, data.right_angles, data.rotation, data.crop, data.min_visible = True, True, 45.0, 0.8, 0.0
    data.brightness, data.contrast, data.gamma, data.blur, data.noise = 0.4, 0.4, 0.4, 1.0, 20.0
    batch = next(iter(pipeline.train_dataset(config.validate())))
    assert batch["image"].shape[-1] == 5 and np.isfinite(batch["image"]).all()
    assert -3.001 <= np.min(batch["image"]) and np.max(batch["image"]) <= 7.001  # black and white
    model = mrcnn.MaskRCNN(config.model)
    model.compile(optimizer="sgd")
    losses = model.train_on_batch(batch, return_dict=True)
    assert np.isfinite(list(losses.values())).all()


def test_noise_is_of_white_whatever_the_bits(tmp_path):
    """Of 16 bits what 8 bits have, 257 times as large."""
    shallow, deep = data_config(tmp_path / "a", bits=8), data_config(tmp_path / "b", bits=16)
    image = tf.random.stateless_uniform([20, 20, 5], (0, 1), 0.0, 255.0)
    draws = {"brightness": 1.2, "contrast": 0.7, "gamma": 1.3, "blur": 0.8, "noise": 9.0}
    draws = {name: tf.constant(value) for name, value in draws.items()} | {"noise_seed": tf.constant([1, 2], tf.int64)}
    for config in (shallow, deep):
        config.data.blur = 1.0
    np.testing.assert_allclose(varied(deep, image * 257, draws), varied(shallow, image, draws) * 257, atol=0.1)


def test_contrast_keeps_the_mean_of_each_channel_where_there_are_no_colours(tmp_path):
    image = np.random.default_rng(0).uniform(100, 150, (9, 9, 5)) + np.arange(5) * 10
    found = colours.contrast(tf.constant(image, tf.float32), tf.constant(0.5))
    np.testing.assert_allclose(found, image * 0.5 + image.mean((0, 1)) * 0.5, rtol=1e-6)


@pytest.fixture(scope="module")
def model():
    return finding_model(config=model_config())


def test_paths_and_arrays_are_predicted_alike(model, tmp_path):
    (image, other), path = images(5, 16), tmp_path / "a.npy"
    np.save(path, image)
    from_path, from_array = mrcnn.predict_images(model, [path, image])
    assert len(from_array.boxes)
    for name in ("detection_boxes", "detection_scores", "detection_masks"):
        np.testing.assert_array_equal(from_path[name], from_array[name])
    assert from_path.plot().size == from_array.plot(image).size
    both = mrcnn.make_predictor(model, batch_size=2)([image, other])
    np.testing.assert_allclose(both[0]["detection_boxes"], from_array["detection_boxes"], atol=1e-2)


def test_a_saved_file_and_test_time_augmentation(model, tmp_path):
    image = images(5, 16)[0]
    model.save(tmp_path / "a.keras")
    loaded = mrcnn.load(tmp_path / "a.keras")
    wanted, found = (mrcnn.predict_images(one, [image])[0]["detection_boxes"] for one in (model, loaded))
    np.testing.assert_array_equal(found, wanted)
    augmentation = mrcnn.AugmentationConfig(short_sides=(64,), flip=False)
    (once,) = mrcnn.predict_images(model, [image], augmentation)
    np.testing.assert_allclose(once["detection_boxes"], wanted, atol=1e-2)


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (np.zeros((9, 9, 3), np.uint8), r"uint8 \[9, 9, 3\]"),
        (np.zeros((9, 9, 5), np.uint8), r"uint8 \[9, 9, 5\]"),
        (np.zeros((9, 9, 4), np.uint16), r"uint16 \[9, 9, 4\]"),
    ],
)
def test_other_kinds_are_refused(model, image, came):
    with pytest.raises(ValueError, match=rf"images\[0\] is {came}; allowed: a path .*, or uint16 \[h, w, 5\], levels"):
        mrcnn.predict_images(model, [image])
    with pytest.raises(ValueError, match=r"allowed: uint16 \[B, h, w, 5\], or a dict"):
        model(tf.constant(image[None]))
    with pytest.raises(ExportError, match=rf"images\[0\] is {came}; allowed: uint16 \[h, w, 5\]"):
        saved_model(model, "never", [image])


def test_a_saved_model_of_channels_takes_arrays(model, tmp_path):
    saved_model(model, tmp_path / "served")
    loaded = tf.saved_model.load(str(tmp_path / "served"))
    assert set(loaded.signatures) == {"serving_default"}  # no picture file has five channels
    spec = loaded.signatures["serving_default"].structured_input_signature[1]["images"]
    assert spec.shape.as_list() == [None, None, None, 5] and spec.dtype == tf.uint16


@pytest.mark.slow  # what decodes the files is in tests/ops/test_array_files.py
@pytest.mark.parametrize("kind", [PixelKind(1, 16), PixelKind(4, 8)])
def test_a_saved_model_of_grey_or_alpha_takes_files_too(tmp_path, kind):
    """The exporter compares both signatures with the model."""
    model = finding_model(config=model_config(kind.channels, kind.bits))
    saved_model(model, tmp_path / "served", images(kind.channels, kind.bits))
    assert set(tf.saved_model.load(str(tmp_path / "served")).signatures) == {"serving_default", "serving_bytes"}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in WRITERS if name != "model"])
def test_exports(model, tmp_path, name):
    some = images(5, 16)
    WRITERS[name](model, tmp_path / name, some)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        assert len(runners.load(tmp_path / name).predict(some[:1])[0]["detection_boxes"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model.preprocess.mean": (1.0, 2.0)}, "preprocess.mean is .*; allowed: channels = 5 numbers"),
        ({"model.preprocess.channel_order": "BGR"}, "channel_order is 'BGR'; allowed: 'RGB', where channels is 5"),
        ({"model.preprocess.round_resized": True}, "round_resized is True; allowed: False, where bits is 16"),
        ({"model.preprocess.bits": 12}, "preprocess.bits is 12; allowed: 8, 16"),
        ({"data.hue": 0.1}, r"data.hue is 0.1; allowed: 0.0, where model.preprocess has uint16 \[h, w, 5\]"),
        ({"data.jpeg_quality": 50}, "data.jpeg_quality is 50; allowed: 100"),
        ({"data.dataset": "mrcnn_shapes"}, "data.dataset is 'mrcnn_shapes'; allowed: 'coco_json', where model.prepro"),
    ],
)
def test_configurations_that_contradict_themselves(change, reason):
    config = Config(model=model_config())
    for path, value in change.items():
        *sections, leaf = path.split(".")
        section = config
        for name in sections:
            section = getattr(section, name)
        setattr(section, leaf, value)
    with pytest.raises(ValueError, match=reason):
        config.validate()
