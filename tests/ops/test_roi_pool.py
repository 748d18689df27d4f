"""RoIPool and RoIWarp against torchvision and against their definitions in float64, with their gradients."""

import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import roi_align
from samples_of_rois import axis_weights, samples_of

from mask_rcnn_tf.ops import roi_gather, roi_pool

STRIDES = (4.0, 8.0)
ROIS = np.array(
    [
        (0, 0, 64, 96),
        (5.1, 3.2, 33.3, 40.9),
        (10, 10, 10, 10),  # nothing: one feature pixel
        (50, 60, 130, 120),  # partly outside
        (-20, -30, 14, 12),
        (200, 200, 260, 240),  # wholly outside
        (-90, -90, -40, -40),
        (6, 6, 10, 10),  # halves of feature pixels
        (2, 40, 61, 41),
        (30.5, 17.7, 59.9, 90.1),
    ],
    np.float32,
)
IMAGES = np.arange(len(ROIS), dtype=np.int32) % 2
LEVELS = (np.arange(len(ROIS), dtype=np.int32) // 2) % 2
FORMS = {"native": False, "xla": True}


def yxyx(boxes):
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def nhwc(array):
    return np.transpose(array, (0, 2, 3, 1))


@pytest.fixture(scope="module")
def features():
    random = np.random.default_rng(0)
    return [random.normal(size=(2, side, width, 3)).astype(np.float32) for side, width in ((16, 24), (8, 12))]


def value_and_gradient(function, features, upstream, compiled):
    @tf.function(jit_compile=compiled, autograph=False)
    def run(features):
        with tf.GradientTape() as tape:
            tape.watch(features)
            found = function(features)
        return found, tape.gradient(found, features, upstream)

    found, gradients = run([tf.constant(level) for level in features])
    return found.numpy(), [gradient.numpy() for gradient in gradients]


def call_pool(features, rois=ROIS, images=IMAGES, levels=LEVELS, size=(7, 5), strides=STRIDES):
    return roi_pool.pool(roi_gather.prepare(features), tf.constant(rois), images, levels, size, strides)


@pytest.mark.parametrize("form", FORMS)
def test_pool_as_torchvision(golden, form):
    golden = golden("golden_roi_pool")
    rois, images = yxyx(golden["rois"][:, 1:]), golden["rois"][:, 0].astype(np.int32)
    found, (gradient,) = value_and_gradient(
        lambda features: call_pool(features, rois, images, np.zeros_like(images), (7, 5), (4.0,)),
        [nhwc(golden["x"])],
        tf.constant(nhwc(golden["dy"])),
        FORMS[form],
    )
    np.testing.assert_array_equal(found, nhwc(golden["y"]))
    np.testing.assert_allclose(gradient, nhwc(golden["dx"]), atol=1e-5)


def rounded(roi, stride):
    """First pixel (y, x) and number of pixels of a RoI, halves away from 0."""
    places = roi.astype(np.float64) / stride
    whole = np.sign(places) * np.floor(np.abs(places) + 0.5)
    return whole[:2], np.maximum(whole[2:] - whole[:2] + 1, 1)


def define_pool(feature, roi, stride, bins):
    start, size = rounded(roi, stride)
    pooled = np.zeros((*bins, feature.shape[-1]))
    for place in np.ndindex(*bins):
        step, limit = size / bins, feature.shape[:2]
        low = np.clip(np.floor(place * step) + start, 0, limit).astype(int)
        high = np.clip(np.ceil((np.array(place) + 1) * step) + start, 0, limit).astype(int)
        inside = feature[low[0] : high[0], low[1] : high[1]].astype(np.float64)
        if inside.size:
            pooled[place] = inside.max((0, 1))
    return pooled


@pytest.mark.parametrize("form", FORMS)
def test_pool_by_definition_on_several_levels(features, form):
    found, _ = value_and_gradient(call_pool, features, tf.ones([len(ROIS), 7, 5, 3]), FORMS[form])
    for row, roi in enumerate(ROIS):
        level = LEVELS[row]
        expected = define_pool(features[level][IMAGES[row]], roi, STRIDES[level], (7, 5))
        np.testing.assert_allclose(found[row], expected, atol=1e-6, err_msg=str(roi))


def define_samples(feature, roi, stride, bins, ratio, quantized):
    """Bilinear samples [bins, grid, bins, grid, C] of a RoI in float64, and how far each pixel weighs in them."""
    if quantized:
        start, size = rounded(roi, stride)
    else:
        places = roi.astype(np.float64) / stride - 0.5
        start, size = places[:2], places[2:] - places[:2]
    weights = []
    for axis in (0, 1):
        grid = ratio or max(int(np.ceil(size[axis] / bins)), 0)
        one = axis_weights(samples_of(start[axis], size[axis], bins, grid), feature.shape[axis])
        weights.append(one.reshape(bins, grid, feature.shape[axis]))
    return np.einsum("agh,hwc,bkw->agbkc", weights[0], feature.astype(np.float64), weights[1]), weights


def define(features, upstream, ratio, quantized, reduction):
    """Pooled values and gradients in float64."""
    pooled, gradients = [], [np.zeros(level.shape) for level in features]
    for row, roi in enumerate(ROIS):
        level, image, bins = LEVELS[row], IMAGES[row], upstream.shape[1]
        feature = features[level][image]
        samples, (rows, columns) = define_samples(feature, roi, STRIDES[level], bins, ratio, quantized)
        if samples.size == 0:  # a RoI without a side
            pooled.append(np.zeros(upstream.shape[1:]))
            continue
        flat = samples.transpose(0, 2, 1, 3, 4)
        flat = flat.reshape(bins, bins, -1, samples.shape[-1])
        if reduction == "max":
            pooled.append(flat.max(2))
            share = (flat == flat.max(2, keepdims=True)).astype(np.float64)
            share /= share.sum(2, keepdims=True)
        else:
            pooled.append(flat.mean(2))
            share = np.full(flat.shape, 1 / flat.shape[2])
        share = share * upstream[row].astype(np.float64)[:, :, None]
        share = share.reshape(bins, bins, rows.shape[1], columns.shape[1], -1)
        gradients[level][image] += np.einsum("agh,abgkc,bkw->hwc", rows, share, columns)
    return np.array(pooled), gradients


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("reduction", ["average", "max"])
@pytest.mark.parametrize("ratio", [2, 0])
@pytest.mark.parametrize("quantized", [False, True], ids=["align", "warp"])
def test_samples_by_definition(features, form, reduction, ratio, quantized):
    upstream = np.random.default_rng(1).normal(size=(len(ROIS), 3, 3, 3)).astype(np.float32)
    options = {"max_sampling": 12, "quantized": quantized, "reduction": reduction}
    found, gradients = value_and_gradient(
        lambda levels: roi_align(levels, STRIDES, tf.constant(ROIS), IMAGES, LEVELS, 3, ratio, True, form, **options),
        features,
        tf.constant(upstream),
        FORMS[form],
    )
    expected, expected_gradients = define(features, upstream, ratio, quantized, reduction)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    for ours, theirs in zip(gradients, expected_gradients, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_warp_differs_from_align_by_less_than_a_pixel_of_the_feature(features):
    """The rounding that RoIAlign does away with: features that grow by 1 a pixel are pooled up to a pixel off."""
    slope = [level * 0 + np.arange(level.shape[2], dtype=np.float32)[:, None] for level in features]
    roi = np.array([[5.1, 3.2, 33.3, 40.9]], np.float32)
    zeros = np.zeros(1, np.int32)
    align, warp = (
        roi_align(slope, STRIDES, tf.constant(roi), zeros, zeros, 3, 2, True, "native", quantized=quantized).numpy()
        for quantized in (False, True)
    )
    assert 0.2 < np.abs(align - warp).max() < 1.5
