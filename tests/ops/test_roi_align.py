import json

import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import roi_align
from samples_of_rois import axis_weights, samples_of

from mask_rcnn_tf.ops import roi_align as native
from mask_rcnn_tf.ops.roi_regions import assign_levels

CASES = [
    f"s{scale}_o{out}_sr{ratio}_al{aligned}"
    for scale, outs in ((1.0, ["7x7"]), (0.25, ["7x7", "14x14", "3x5"]), (0.125, ["7x7"]))
    for out in outs
    for ratio in (0, 2)
    for aligned in (0, 1)
]

STRIDES = [4, 8, 16, 32]


def yxyx(boxes):
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def nhwc(array):
    return np.transpose(array, (0, 2, 3, 1))


def call(kernels, features, *args, **kwargs):
    """roi_align in a tf.function, compiled by XLA for the xla kernels."""
    function = tf.function(
        lambda features: roi_align(features, *args, kernels=kernels, **kwargs),
        jit_compile=kernels == "xla",
        autograph=False,
    )
    return function([tf.constant(level) for level in features])


def define(feature, roi, stride, bins, ratio, aligned):
    """RoIAlign of one RoI in float64, from a feature map [H, W, C]; bins are one number or (rows, columns)."""
    roi = roi.astype(np.float64) / stride - (0.5 if aligned else 0)
    size = roi[2:] - roi[:2]
    if not aligned:
        size = np.maximum(size, 1)
    axes = []
    for axis in (0, 1):
        count = np.broadcast_to(bins, 2)[axis]
        grid = ratio or max(int(np.ceil(size[axis] / count)), 0)
        weights = axis_weights(samples_of(roi[axis], size[axis], count, grid), feature.shape[axis])
        axes.append(weights.reshape(count, grid, -1).sum(1) / max(grid, 1))
    return np.einsum("jw,iwc->ijc", axes[1], np.tensordot(axes[0], feature.astype(np.float64), 1))


@pytest.mark.parametrize("kernels", ["native", "xla"])
@pytest.mark.parametrize("case", CASES)
def test_golden(golden, case, kernels):
    data = golden("unit_roi")
    args = json.loads(str(data[f"roi_align/{case}/args"]))
    rois = data["rois"]
    feature, levels = nhwc(data["x"]), np.zeros(len(rois), np.int32)
    actual = call(
        kernels, [feature], [1 / args["spatial_scale"]], yxyx(rois[:, 1:]), rois[:, 0].astype(np.int32), levels,
        tuple(args["output_size"]), args["sampling_ratio"], args["aligned"], max_sampling=40,
    )  # fmt: skip
    tolerance = 1e-5 * np.abs(feature).max()
    np.testing.assert_allclose(actual, nhwc(data[f"roi_align/{case}/out/y"]), rtol=0, atol=tolerance)


@pytest.mark.parametrize("kernels", ["native", "xla"])
@pytest.mark.parametrize("ratio", [0, 2])
@pytest.mark.parametrize("aligned", [0, 1])
@pytest.mark.parametrize("in_graph", [True, False])
def test_golden_gradient(golden, ratio, aligned, kernels, in_graph):
    data, case = golden("unit_roi"), f"roi_align_grad/o7_s0.25_sr{ratio}_al{aligned}"
    rois, feature = tf.constant(data["rois"]), tf.constant(nhwc(data["x"]))

    def gradients(feature, rois):
        with tf.GradientTape() as tape:
            tape.watch([feature, rois])
            boxes = tf.gather(rois[:, 1:], [1, 0, 3, 2], axis=1)
            images, levels = tf.cast(rois[:, 0], tf.int32), tf.zeros([rois.shape[0]], tf.int32)
            out = roi_align([feature], [4], boxes, images, levels, 7, ratio, bool(aligned), kernels, max_sampling=5)
        return tape.gradient(out, [feature, rois], nhwc(data[f"{case}/in/dy"]))

    if in_graph:
        feature_gradient, _ = tf.function(
            lambda feature, rois: (gradients(feature, rois)[0], 0), jit_compile=kernels == "xla", autograph=False
        )(feature, rois)
    else:
        feature_gradient, roi_gradient = gradients(feature, rois)
        assert roi_gradient is None
    expected = nhwc(data[f"{case}/out/dx"])
    np.testing.assert_allclose(feature_gradient, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def pyramid_case(npz, out):
    features = [nhwc(npz[f"multiscale_roi_align/in/P{level}"]) for level in range(2, 6)]
    boxes = [npz[f"multiscale_roi_align/in/boxes{image}"] for image in (0, 1)]
    images = np.repeat([0, 1], [len(part) for part in boxes]).astype(np.int32)
    levels = npz[f"multiscale_roi_align/o{out}/out/level"]
    return features, yxyx(np.concatenate(boxes)), images, levels, nhwc(npz[f"multiscale_roi_align/o{out}/out/y"])


@pytest.mark.parametrize("kernels", ["native", "xla"])
@pytest.mark.parametrize("out", [7, 14])
def test_golden_pyramid(golden, out, kernels):
    features, rois, images, levels, expected = pyramid_case(golden("unit_roi"), out)
    found = assign_levels(rois, 224, 4, min_level=2, max_level=5, rule="torchvision")
    np.testing.assert_array_equal(found, levels)
    actual = call(kernels, features, STRIDES, rois, images, found - 2, out, 2, False)
    peak = max(np.abs(level).max() for level in features)
    difference = np.abs(actual - expected) / peak
    # On this map, random from pixel to pixel, the last bit of a float32 coordinate of 160 is worth 3e-5: the golden
    # itself is 2.4e-5 from the float64 definition. Hence 1e-5 for nearly all, and twice the golden's error at most.
    assert np.mean(difference <= 1e-5) > 0.95
    assert difference.max() < 5e-5
    sides = zip(rois, images, levels, strict=True)
    exact = [define(features[lv - 2][image], roi, 2**lv, out, 2, False) for roi, image, lv in sides]
    np.testing.assert_allclose(actual, exact, rtol=0, atol=5e-5 * peak)


def random_rois(rng, count, height, width, largest=np.inf):
    """Clipped boxes [count, 4] of all sizes."""
    centre, side = rng.random((count, 2)) * [height, width], 8 + rng.random((count, 2)) ** 3 * [height, width]
    side = np.minimum(side, largest)
    corners = np.concatenate([centre - side / 2, centre + side / 2], 1)
    return np.clip(corners, 0, [height, width, height, width]).astype(np.float32)


@pytest.mark.parametrize("kernels", ["native", "xla"])
@pytest.mark.parametrize("aligned", [False, True])
@pytest.mark.parametrize("ratio", [2, 0])
def test_large_map(kernels, aligned, ratio):
    rng = np.random.default_rng(0)
    feature = rng.standard_normal((1, 200, 304, 2)).astype(np.float32)
    rois = random_rois(rng, 1000, 800, 1216, largest=330)  # an adaptive grid of at most 6
    zeros = np.zeros(1000, np.int32)
    actual = call(kernels, [feature], [4], rois, zeros, zeros, 14, ratio, aligned, max_sampling=6).numpy()
    sample = np.arange(0, 1000, 17)
    exact = np.stack([define(feature[0], rois[index], 4, 14, ratio, aligned) for index in sample])
    np.testing.assert_allclose(actual[sample], exact, rtol=0, atol=2e-4 * np.abs(feature).max())


@pytest.mark.parametrize("ratio", [2, 0])
@pytest.mark.parametrize(("channels", "dtype"), [(3, "float32"), (4, "float32"), (8, "bfloat16"), (6, "bfloat16")])
def test_kernels_agree_on_a_pyramid_with_rois_outside(ratio, channels, dtype):
    """Channels that 64 bits hold a whole number of times are gathered together under XLA, others are not."""
    rng = np.random.default_rng(1)
    shapes = [(30, 20), (15, 40), (1, 1)]  # the second is wider than the first, the last has one pixel
    features = [tf.cast(rng.standard_normal((2, *shape, channels)), dtype) for shape in shapes]
    rois = (random_rois(rng, 60, 120, 100) + rng.uniform(-30, 30, (60, 1))).astype(np.float32)
    images, levels = (rng.integers(0, high, 60).astype(np.int32) for high in (2, 3))
    args = ([4, 8, 16], rois, images, levels, (3, 5), ratio, True)
    native, xla = (call(kernels, features, *args, max_sampling=12).numpy() for kernels in ("native", "xla"))
    np.testing.assert_allclose(native, xla, rtol=0, atol=2e-5)
    for found, level, image, roi in zip(native, levels, images, rois, strict=True):
        pixels = tf.cast(features[level][image], tf.float32).numpy()
        exact = define(pixels, roi, 4 * 2**level, (3, 5), ratio, True)
        np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5)


def test_adaptive_xla_is_capped():
    feature = np.random.default_rng(0).standard_normal((1, 40, 40, 2)).astype(np.float32)
    rois, zeros = np.float32([[0, 0, 40, 40]]), np.zeros(1, np.int32)
    capped = call("xla", [feature], [1], rois, zeros, zeros, 2, 0, True, max_sampling=8)
    np.testing.assert_allclose(capped[0], define(feature[0], rois[0], 1, 2, 8, True), rtol=0, atol=1e-5)


def test_unknown_sizes_no_rois_and_bfloat16():
    def pool(fine, coarse, rois, images, levels, ratio):
        with tf.GradientTape() as tape:
            tape.watch([fine, coarse])
            out = roi_align([fine, coarse], [4, 8], rois, images, levels, 7, ratio, True, "native")
        return out, tape.gradient(out, [fine, coarse])

    level, index = tf.TensorSpec([None, None, None, 3], tf.bfloat16), tf.TensorSpec([None], tf.int32)
    for ratio in (0, 2):
        function = tf.function(
            lambda *args, ratio=ratio: pool(*args, ratio),
            input_signature=[level, level, tf.TensorSpec([None, 4]), index, index],
            autograph=False,
        )
        fine = tf.cast(tf.random.stateless_normal([1, 10, 12, 3], [0, 1]), tf.bfloat16)
        coarse = tf.cast(tf.random.stateless_normal([1, 5, 6, 3], [0, 2]), tf.bfloat16)
        none, gradients = function(fine, coarse, tf.zeros([0, 4]), tf.zeros([0], tf.int32), tf.zeros([0], tf.int32))
        assert none.shape == (0, 7, 7, 3) and none.dtype == tf.float32
        assert not tf.reduce_any(gradients[0] != 0)
        rois = np.float32([[3, 5, 30, 40], [0, 0, 40, 48]])
        out, gradients = function(fine, coarse, rois, [0, 0], [0, 1])
        for roi, level_map, stride, found in zip(rois, (fine, coarse), (4, 8), out, strict=True):
            exact = define(tf.cast(level_map[0], tf.float32).numpy(), roi, stride, 7, ratio, True)
            np.testing.assert_allclose(found, exact, rtol=0, atol=2e-5)
        assert gradients[0].dtype == tf.bfloat16


def detectron2_levels(boxes):
    """`assign_boxes_to_levels` in float64."""
    boxes = boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    return np.clip(np.floor(4 + np.log2(np.sqrt(sides.prod(1)) / 224 + 1e-8)), 2, 5).astype(int)


def test_assign_levels_at_boundaries():
    sides = [0, 1, 55.99, 56, 56.01, 111.99, 112, 112.01, 223.99, 224, 224.01, 447.99, 448, 448.01, 895, 896, 2000]
    boxes = np.float32(
        [[0, 0, side, side] for side in sides] + [[16, 0, 128, 448], [5, 7, 61, 7 + 224], [0, 3, 28, 451]]
    )
    found = assign_levels(boxes[None], 224, 4, min_level=2, max_level=5, rule="detectron2")
    assert found.dtype == tf.int32
    with np.errstate(divide="ignore"):
        np.testing.assert_array_equal(found[0], detectron2_levels(boxes))
    rng = np.random.default_rng(0)
    boxes = random_rois(rng, 2000, 800, 1216)
    boxes = boxes[(boxes[:, 2:] > boxes[:, :2]).all(1)]
    for jit in (False, True):
        assign = tf.function(
            lambda rois: assign_levels(rois, 224, 4, min_level=2, max_level=5, rule="detectron2"),
            jit_compile=jit,
            autograph=False,
        )
        np.testing.assert_array_equal(assign(boxes), detectron2_levels(boxes))


def test_bad_arguments_are_refused():
    rois, zeros, feature = tf.zeros([1, 4]), tf.zeros([1], tf.int32), tf.zeros([1, 4, 4, 1])
    with pytest.raises(ValueError, match="kernels is 'fast'"):
        roi_align([feature], [4], rois, zeros, zeros, 7, 2, True, "fast")
    with pytest.raises(ValueError, match="1 features and 2 strides"):
        roi_align([feature], [4, 8], rois, zeros, zeros, 7, 2, True, "native")
    with pytest.raises(ValueError, match="rule is 'fpn'"):
        assign_levels(rois, 224, 4, min_level=2, max_level=5, rule="fpn")


@pytest.mark.parametrize("reduction", ["average", "max"])
def test_gradients_of_many_rois_are_added_in_float32(reduction):
    """In bfloat16 a sum of ones ends at 256."""
    count = 600

    @tf.function(jit_compile=True, autograph=False)
    def gradient(level):
        with tf.GradientTape() as tape:
            tape.watch(level)
            rois, zeros = tf.tile([[0.0, 0.0, 4.0, 4.0]], [count, 1]), tf.zeros([count], tf.int32)
            pooled = roi_align([level], (1,), rois, zeros, zeros, 1, 2, True, "xla", reduction=reduction)
            total = tf.reduce_sum(pooled)
        return tape.gradient(total, level)

    level = tf.cast(tf.random.stateless_uniform([1, 4, 4, 1], (0, 1)), tf.bfloat16)
    found = gradient(level)
    assert found.dtype == tf.bfloat16
    np.testing.assert_allclose(tf.reduce_sum(tf.cast(found, tf.float32)), count, rtol=1e-2)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("shapes", [[(5, 7)], [(6, 5), (3, 3)], [(8, 12), (4, 6), (2, 3), (1, 2)], [(1, 1), (1, 1)]])
def test_canvas_and_its_gradient(shapes, known):
    """Each level with a ring of its border, as `numpy.pad` has it, zeros elsewhere; and the transpose of that."""
    rng = np.random.default_rng(len(shapes))
    levels = [rng.normal(size=(2, *shape, 3)).astype(np.float32) for shape in shapes]
    signature = [tf.TensorSpec(level.shape if known else [None, None, None, 3]) for level in levels]

    @tf.function(input_signature=signature, autograph=False)
    def lay_out(*levels):
        with tf.GradientTape() as tape:
            tape.watch(levels)
            canvas = native.prepare(levels)
            weights = tf.reshape(tf.range(tf.cast(tf.size(canvas.pixels), tf.float32)), tf.shape(canvas.pixels)) % 17.0
            total = tf.reduce_sum(weights * canvas.pixels)
        return canvas, weights, tape.gradient(total, levels)

    canvas, weights, gradients = lay_out(*map(tf.constant, levels))
    rest, weights = canvas.pixels.numpy().copy(), weights.numpy().astype(np.float64)
    for level, gradient, (top, left) in zip(levels, gradients, canvas.origins.numpy().astype(int), strict=True):
        height, width = level.shape[1:3]
        framed = np.s_[:, top - 1 : top + height + 1, left - 1 : left + width + 1]
        np.testing.assert_array_equal(rest[framed], np.pad(level, [(0, 0), (1, 1), (1, 1), (0, 0)], "edge"))
        rest[framed] = 0
        rows, columns = (np.clip(np.arange(-1, side + 1), 0, side - 1) for side in (height, width))
        expected = np.zeros(level.shape)
        np.add.at(expected, np.s_[:, rows[:, None], columns], weights[framed])
        np.testing.assert_array_equal(gradient.numpy(), expected)
    assert not rest.any()
