import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import finding_model, tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export import canvas, signatures
from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.export.errors import ExportError


def test_default_canvas_holds_every_image():
    config = tiny_config()
    assert canvas.default_canvas(config) == (128, 128)
    config.preprocess.max_side = 1333
    assert canvas.default_canvas(config) == (1344, 1344)


@pytest.mark.parametrize("sides", [(96,), (96, 0), (96, -32), (100, 96), (96.0, 96), (96, 96, 3)])
def test_wrong_canvas(sides):
    with pytest.raises(ExportError, match="allowed: .H, W., positive multiples of 32"):
        canvas.check_canvas(tiny_config(), sides)


def test_parse_canvas():
    assert canvas.parse_canvas(["96", " 128"]) == (96, 128)
    for text in ("96", "96,", "96,a", "-96,96", "96,96,3"):
        with pytest.raises(ExportError, match="allowed: H,W in whole pixels"):
            canvas.parse_canvas(text.split(","))


def test_image_is_what_pillow_gives():
    config = tiny_config()  # short side 96, long side at most 128
    image = np.random.default_rng(0).integers(0, 256, (300, 350, 3), np.uint8)
    placed, shape = canvas.place_on_canvas(config, image, (128, 128))
    assert shape.tolist() == [96, 112] and placed.dtype == np.uint8
    resized = Image.fromarray(image).resize((112, 96), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(placed[:96, :112], np.asarray(resized))
    assert not placed[96:].any() and not placed[:, 112:].any()


def test_image_that_would_not_fit_is_made_smaller():
    image = np.full((350, 300, 3), 9, np.uint8)
    placed, shape = canvas.place_on_canvas(tiny_config(), image, (96, 128))
    assert shape.tolist() == [96, 82] and placed.shape == (96, 128, 3)


def test_levels_that_are_not_rounded_stay_float():
    config = tiny_config()
    config.preprocess.round_resized = config.preprocess.antialias = False
    image = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    placed, _ = canvas.place_on_canvas(config, image, (128, 160))
    assert placed.dtype == np.float32 and np.any(placed != np.round(placed))


def test_canvas_of_the_image_itself_finds_what_predict_finds():
    """Where the canvas is what the model would have padded to, both ways into the network are one."""
    model = finding_model()
    (image,) = drawn_scenes(model.config, 1)
    image = np.concatenate([image, image[:, :20]], 1)  # 96 x 116: resized to 96 x 116, padded to 96 x 128
    placed, shape = canvas.place_on_canvas(model.config, image, (96, 128))
    inputs = (tf.constant(value[None]) for value in (placed, shape, np.array(image.shape[:2], np.int32)))
    found = signatures.detect_canvas(model, *inputs)
    (expected,) = mrcnn.predict_images(model, [image])
    assert found["num_detections"][0] == len(expected["detection_scores"]) > 0
    np.testing.assert_allclose(found["detection_boxes"][0], expected["detection_boxes"], atol=1e-2)
    np.testing.assert_allclose(found["detection_masks"][0], expected["detection_masks"], atol=1e-3)
    assert set(found["detection_classes"][0].numpy()) <= set(model.config.category_ids)


def test_pixels_beyond_the_image_do_not_count():
    model = finding_model()
    image = np.zeros((1, 96, 128, 3), np.uint8)
    image[0, :60, :80] = np.random.default_rng(1).integers(0, 256, (60, 80, 3))
    shape = tf.constant([[60, 80]])
    clean = signatures.detect_canvas(model, image, shape, shape)
    image[0, 60:] = 255
    dirty = signatures.detect_canvas(model, image, shape, shape)
    for name in clean:
        np.testing.assert_array_equal(clean[name], dirty[name])
