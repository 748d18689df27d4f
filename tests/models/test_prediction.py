"""A photo of 60 megapixels in torchvision's resize, which Pillow does not do: the boxes, and what it costs."""

import functools
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tiny import finding_config, finding_model

import mask_rcnn_tf as mrcnn

LARGEST = 2000  # MB more than before, for 180 MB of pixels
MEASURE = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import test_prediction

def usage(name):
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return int(status[name].split()[0]) // 1024

model, image = test_prediction.torchvision_model(), test_prediction.photo(6708, 8944)
before = usage("VmRSS")
test_prediction.check_boxes(model, image)
print(usage("VmHWM") - before)
"""


@functools.cache
def torchvision_model():
    """A model that finds things, with the preprocessing of the torchvision preset at a small size."""
    config, preset = finding_config(), mrcnn.load_config("torchvision_mask_rcnn_r50_fpn").model
    sides = {name: getattr(config.preprocess, name) for name in ("short_side", "max_side")}
    config.preprocess, config.detection.paste = preset.preprocess, preset.detection.paste
    for name, side in sides.items():
        setattr(config.preprocess, name, side)
    return finding_model(config=config)


def photo(height, width):
    scene = Image.fromarray(np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    return np.asarray(scene.resize((width, height), Image.Resampling.BICUBIC))


def sampled(image, shape):
    """The bilinear resize without antialiasing by its definition: four pixels around each centre, in float64."""
    rows, columns = (
        np.clip((np.arange(side) + 0.5) * pixels / side - 0.5, 0, pixels - 1)
        for side, pixels in zip(shape, image.shape, strict=False)
    )
    (y, x), (dy, dx) = zip(*((np.int64(place), place - np.int64(place)) for place in (rows, columns)), strict=True)
    below, right = (np.minimum(low + 1, side - 1) for low, side in zip((y, x), image.shape, strict=False))
    dy, dx = dy[:, None, None], dx[None, :, None]
    upper = image[y][:, x] * (1 - dx) + image[y][:, right] * dx
    lower = image[below][:, x] * (1 - dx) + image[below][:, right] * dx
    return upper * (1 - dy) + lower * dy


def check_boxes(model, image):
    """What `predict_images` finds is what the network finds on the definition's pixels, moved to the photo's."""
    (found,) = mrcnn.predict_images(model, [image])
    preprocess = model.config.preprocess
    scale = min(preprocess.short_side / min(image.shape[:2]), preprocess.max_side / max(image.shape[:2]))
    shape = [int(side * scale) for side in image.shape[:2]]
    small = (sampled(image, shape) / 255 - preprocess.mean) / preprocess.std
    margins = [(0, -side % 32) for side in shape]
    canvas = np.pad(small, [*margins, (0, 0)]).astype(np.float32)
    found_there = model({"image": tf.constant(canvas[None]), "image_shape": tf.constant([shape])})
    expected = {name: value.numpy() for name, value in found_there.items()}
    count = int(expected["num_detections"][0])
    assert count == len(found["detection_scores"]) > 3
    ratio = np.tile(np.divide(image.shape[:2], shape), 2)
    boxes = np.clip(expected["detection_boxes"][0, :count] * ratio, 0, np.tile(image.shape[:2], 2))
    np.testing.assert_allclose(found["detection_boxes"], boxes, rtol=0, atol=1e-2 * ratio.max())
    np.testing.assert_allclose(found["detection_scores"], expected["detection_scores"][0, :count], atol=1e-4)
    assert found["detection_boxes"].max() > max(image.shape[:2]) / 2


@pytest.mark.parametrize("shape", [(2000, 1500), (750, 1001)])
def test_boxes_are_in_the_photos_pixels(shape):
    check_boxes(torchvision_model(), photo(*shape))


def test_batches_find_what_is_found_one_by_one():
    """Images of one size that follow each other are predicted at once; others stand between them."""
    model, random = torchvision_model(), np.random.default_rng(3)
    shapes = [(90, 120)] * 3 + [(60, 50)] + [(90, 120)] * 2
    images = [np.kron(random.integers(0, 256, (h // 10, w // 10, 3), np.uint8), np.ones((10, 10, 1), np.uint8))
              for h, w in shapes]  # fmt: skip
    together, alone = (mrcnn.predict_images(model, images, batch_size=size) for size in (2, 1))
    assert [found.image_shape for found in together] == shapes
    for ours, theirs in zip(together, alone, strict=True):
        assert len(ours) > 3 and ours.class_names == theirs.class_names
        np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=0, atol=1e-2)
        np.testing.assert_allclose(ours.scores, theirs.scores, rtol=0, atol=1e-4)
        np.testing.assert_allclose(ours["detection_masks"], theirs["detection_masks"], rtol=0, atol=1e-3)


def test_a_batch_of_large_images_is_in_their_pixels():
    model, image = finding_model(), photo(1500, 2000)  # which Pillow shrinks
    model.run_eagerly = True  # tracing takes ten times as long
    ours, _ = mrcnn.predict_images(model, [image, image[:, ::-1]], batch_size=2)
    (theirs,) = mrcnn.predict_images(model, [image])
    np.testing.assert_allclose(ours.boxes, theirs.boxes, rtol=0, atol=0.2)  # 16 pixels of the photo are one
    assert ours.boxes.max() > 1000


@pytest.mark.parametrize("size", [0, 1.5, "2", None])
def test_sizes_of_batches(size):
    with pytest.raises(ValueError, match="batch_size is .*; allowed: 1 or more images"):
        mrcnn.predict_images(torchvision_model(), [], batch_size=size)
    with pytest.raises(ValueError, match="batch_size is 2; allowed: 1, as images are augmented"):
        mrcnn.make_predictor(torchvision_model(), mrcnn.AugmentationConfig((96,)), batch_size=2)


@pytest.mark.slow
def test_60_megapixels():
    """In a process of its own: the peak of this one may be another test's."""
    folder = pathlib.Path(__file__).parent
    command = [sys.executable, "-c", MEASURE, str(folder)]
    environment = os.environ | {"PYTHONPATH": f"{folder.parent}:{folder.parents[1]}", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    assert int(done.stdout.split()[-1]) < LARGEST
