import json

import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import resize as kernel_resize
from PIL import Image

from mask_rcnn_tf.ops import images

TRANSFORMS = ["37x53_64_90", "64x48_32_100", "50x120_64_96", "40x60_40_60"]
SIZES = [(480, 640), (640, 480), (427, 640), (333, 500), (500, 333), (375, 1242), (100, 100), (1333, 799), (600, 601)]


def yxyx(boxes):
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def detectron2_shape(height, width, short_side, max_side):
    """What `ResizeShortestEdge.get_output_shape` computes, in Python's floats."""
    scale = short_side * 1.0 / min(height, width)
    new_height, new_width = (short_side, scale * width) if height < width else (scale * height, short_side)
    if max(new_height, new_width) > max_side:
        scale = max_side * 1.0 / max(new_height, new_width)
        new_height, new_width = new_height * scale, new_width * scale
    return int(new_height + 0.5), int(new_width + 0.5)


def torchvision_shape(height, width, short_side, max_side):
    """What `_resize_image_and_masks` and interpolate(recompute_scale_factor=True) compute, in Python's floats."""
    scale = min(short_side / min(height, width), max_side / max(height, width))
    return int(np.floor(height * scale)), int(np.floor(width * scale))


@pytest.mark.parametrize("rounding,reference", [("nearest", detectron2_shape), ("floor", torchvision_shape)])
def test_resized_shape(rounding, reference):
    rng = np.random.default_rng(0)
    shape_of = tf.function(lambda shape, short: images.resized_shape(shape, short, 1333, rounding), autograph=False)
    shapes = SIZES + [tuple(int(side) for side in rng.integers(20, 2000, 2)) for _ in range(150)]
    for shape in shapes:
        for short_side in (640, 800):
            found = shape_of(tf.constant(shape), tf.constant(short_side))
            assert found.dtype == tf.int32
            assert tuple(found.numpy()) == reference(*shape, short_side, 1333), (shape, short_side)


@pytest.mark.parametrize("case", TRANSFORMS)
@pytest.mark.parametrize("normalize_first", [False, True])
def test_transform_golden(golden, case, normalize_first):
    data, key = golden("unit_masks_kp"), f"transform/{case}"
    args = json.loads(str(data[f"{key}/args"]))
    image = tf.constant(data[f"{key}/in/image"].transpose(1, 2, 0) * 255)
    shape = images.resized_shape(tf.shape(image)[:2], args["min_size"], args["max_size"], "floor")
    np.testing.assert_array_equal(shape, data[f"{key}/out/image_size"])

    def resize(image):
        return images.resize(image, shape, antialias=False, round_resized=False)

    def normalize(image):
        return images.normalize(image, "RGB", 1 / 255, args["mean"], args["std"])

    image = resize(normalize(image)) if normalize_first else normalize(resize(image))
    canvas = images.canvas_shape(shape, args["size_divisible"])
    batched = images.pad_to(image, canvas[0], canvas[1])
    expected = data[f"{key}/out/batched"][0].transpose(1, 2, 0)
    np.testing.assert_allclose(batched, expected, rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", TRANSFORMS)
def test_transform_golden_boxes_and_masks(golden, case):
    data, key = golden("unit_masks_kp"), f"transform/{case}"
    original, resized = data[f"{key}/in/masks"].shape[1:], data[f"{key}/out/image_size"]
    boxes = images.scale_boxes(yxyx(data[f"{key}/in/boxes"]), original, resized)
    np.testing.assert_allclose(boxes, yxyx(data[f"{key}/out/boxes"]), rtol=1e-6)
    resize = tf.function(images.resize_masks_nearest, autograph=False)
    masks = resize(data[f"{key}/in/masks"], tf.constant(resized))
    assert masks.dtype == tf.uint8
    np.testing.assert_array_equal(masks, data[f"{key}/out/masks"])


@pytest.mark.parametrize(
    "from_shape,to_shape",
    [
        ((97, 130), (60, 80)),
        ((61, 47), (160, 123)),
        ((90, 200), (77, 171)),
        ((64, 80), (80, 100)),
        ((300, 200), (24, 16)),
        ((240, 320), (400, 533)),  # in strips
    ],
)
@pytest.mark.parametrize("smooth", [True, False])
@pytest.mark.parametrize("kernels", ["native", "xla"])
def test_resize_equals_pillow(from_shape, to_shape, smooth, kernels):
    # One scale for both axes, as in the network's resizing: Pillow 13 turns its two passes round for very unequal ones.
    image = np.random.default_rng(0).integers(0, 256, [*from_shape, 3]).astype(np.uint8)
    if smooth:
        image = np.asarray(Image.fromarray(image).resize((13, 11)).resize(from_shape[::-1], Image.Resampling.BICUBIC))
    expected = np.asarray(Image.fromarray(image).resize(to_shape[::-1], Image.Resampling.BILINEAR))
    resize = tf.function(
        lambda image: kernel_resize(image, to_shape, True, True, kernels), jit_compile=kernels == "xla", autograph=False
    )
    resized = resize(tf.constant(image))
    assert resized.dtype == tf.uint8
    np.testing.assert_array_equal(resized, expected)


def test_rounded_resize_wants_levels():
    with pytest.raises(ValueError, match="image is .*float32.*; allowed with round_resized: uint8"):
        images.resize(tf.zeros([4, 4, 3]), [8, 8], True, True)


def test_resize_takes_batches_of_unknown_size():
    function = tf.function(
        lambda image: images.pad_to(images.resize(image, [20, 30], True, True), 32, 32),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
        autograph=False,
    )
    batch = np.random.default_rng(0).integers(0, 256, [2, 40, 50, 3]).astype(np.uint8)
    result = function(batch)
    assert function.get_concrete_function().structured_outputs.shape.as_list() == [None, 32, 32, 3]
    np.testing.assert_array_equal(result[1, :20, :30], images.resize(batch[1], [20, 30], True, True))
    np.testing.assert_array_equal(result[:, 20:], 0)
    np.testing.assert_array_equal(result[:, :, 30:], 0)
    assert function(batch[:0]).shape == (0, 32, 32, 3)


@pytest.mark.parametrize("dtype", [tf.uint8, tf.float32])
@pytest.mark.parametrize("scale,std", [(1.0, (1.0, 1.0, 1.0)), (1 / 255, (0.229, 0.224, 0.225))])
def test_normalize_rows_is_normalize_bit_for_bit(dtype, scale, std):
    image = tf.constant(np.random.default_rng(0).integers(0, 256, [7, 11, 3]), dtype)
    numbers = scale, (103.53, 116.28, 123.675), std
    expected = images.normalize(tf.cast(image, tf.float32), "BGR", *numbers)
    np.testing.assert_array_equal(images.normalize_rows(images.ordered(image, "BGR"), *numbers), expected)


def test_normalize_orders_channels():
    image = tf.constant([[[10.0, 20.0, 30.0]]])
    mean, std = (1.0, 2.0, 3.0), (1.0, 2.0, 4.0)
    np.testing.assert_allclose(images.normalize(image, "BGR", 1.0, mean, std)[0, 0], [29, 9, 1.75])
    np.testing.assert_allclose(images.normalize(image, "RGB", 0.5, mean, std)[0, 0], [4, 4, 3])
    with pytest.raises(ValueError, match="channel_order is 'GBR'"):
        images.normalize(image, "GBR", 1.0, mean, std)


def test_boxes_to_original_scales_each_axis_and_clips():
    boxes = tf.constant([[[10.0, 20, 30, 40], [-5, -5, 500, 500]], [[0, 0, 10, 10], [5, 5, 64, 32]]])
    found = images.boxes_to_original(boxes, tf.constant([[100, 200], [64, 32]]), tf.constant([[50, 50], [128, 128]]))
    expected = [[[5, 5, 15, 10], [0, 0, 50, 50]], [[0, 0, 20, 40], [10, 20, 128, 128]]]
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_unknown_rounding_is_refused():
    with pytest.raises(ValueError, match="rounding is 'ceil'"):
        images.resized_shape([4, 4], 8, 9, "ceil")


@pytest.mark.parametrize("rounding", ["nearest", "floor"])
def test_an_extremely_long_image_keeps_a_pixel(rounding):
    np.testing.assert_array_equal(images.resized_shape([20000, 1], 800, 1333, rounding), [1333, 1])
