"""ONNX's operators, run by ONNX Runtime, against TensorFlow's kernels and the references' arrays."""

import functools
import json

import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import class_nms, nms, roi_align

from mask_rcnn_tf.export.to_onnx import convert

KERNELS = ["onnx", "tensorrt"]
BOX_LISTS = [tf.TensorSpec([None, None, 4], tf.float32, "boxes"), tf.TensorSpec([None, None], tf.float32, "scores")]
CLASS_BOXES = [
    tf.TensorSpec([None, None, None, 4], tf.float32, "boxes"),
    tf.TensorSpec([None, None, None], tf.float32, "scores"),
]


def session(function, specs):
    """A function of arrays that ONNX Runtime runs."""
    onnxruntime = pytest.importorskip("onnxruntime")
    proto = convert(tf.function(function, autograph=False), specs)
    loaded = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [value.name for value in loaded.get_inputs()]
    return lambda *arrays: loaded.run(None, dict(zip(names, arrays, strict=True)))


@functools.cache
def nms_session():
    return session(lambda boxes, scores: nms(boxes, scores, 12, 0.5, "onnx"), BOX_LISTS)


def crowd(seed, *shape, levels=0):
    """Boxes on whole pixels, whose IoUs are often equal to thresholds, some inverted or without area, and scores."""
    random = np.random.default_rng(seed)
    corner, sides = random.integers(0, 30, (*shape, 2)), random.integers(-2, 16, (*shape, 2))
    scores = random.integers(0, levels, shape) / levels if levels else random.random(shape)
    return np.concatenate([corner, corner + sides], -1).astype(np.float32), scores.astype(np.float32)


def check_nms(boxes, scores):
    expected = [value.numpy() for value in nms(tf.constant(boxes), tf.constant(scores), 12, 0.5, "native")]
    for ours, theirs in zip(nms_session()(boxes, scores), expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    return expected[1]


@pytest.mark.parametrize("levels", [0, 4])
@pytest.mark.parametrize("count", [3, 80])
def test_nms(levels, count):
    counts = check_nms(*crowd(count, 5, count, levels=levels))
    assert (counts > 1).all() and (counts <= 12).all()


def test_nms_of_nothing():
    boxes, scores = crowd(1, 2, 6)
    scores[0], scores[1, 2] = -np.inf, np.nan
    assert check_nms(boxes, scores).tolist()[0] == 0
    check_nms(boxes[:, :0], scores[:, :0])


def test_suppression_is_strictly_above_the_threshold():
    """IoU 1/2 is kept at 0.5, more is not; a box without area and an inverted one meet nothing."""
    boxes = [[0, 0, 4, 4], [0, 0, 4, 2], [0, 0, 4, 3], [1, 1, 1, 1], [4, 4, 0, 0], [1, 1, 1, 1]]
    scores = [[0.9, 0.8, 0.7, 0.6, 0.5, 0.6]]
    indices, counts = nms_session()(np.float32([boxes]), np.float32(scores))
    assert indices[0][: counts[0]].tolist() == [0, 1, 3, 5, 4]


def test_class_nms():
    """Many, few and no scores above the threshold; a score that equals it does not count."""

    def detect(boxes, scores, kernels):
        return class_nms(boxes, scores, 20, 0.5, 0.25, kernels, 1)

    run = session(lambda boxes, scores: detect(boxes, scores, "onnx"), CLASS_BOXES)
    boxes, scores = crowd(7, 3, 40, 4, levels=8)
    for highest, counts in ((1.0, [20] * 3), (0.25, [0] * 3)):
        lower = np.minimum(scores, np.float32(highest))
        expected = [value.numpy() for value in detect(tf.constant(boxes), tf.constant(lower), "native")]
        for ours, theirs in zip(run(boxes, lower), expected, strict=True):
            np.testing.assert_array_equal(ours, theirs)
        assert expected[3].tolist() == counts


@pytest.mark.parametrize("kernels", KERNELS)
@pytest.mark.parametrize("ratio, aligned", [(0, True), (2, False)])
def test_roi_align_over_levels(ratio, aligned, kernels):
    """Boxes of all levels, some beyond the image, one a point; and none at all."""

    def align(levels, rois, images, indices, kernels):
        return roi_align(levels, [4, 8], rois, images, indices, (3, 5), ratio, aligned, kernels)

    random = np.random.default_rng(5)
    levels = [random.normal(size=(2, *shape, 6)).astype(np.float32) for shape in ((16, 20), (8, 10))]
    corner = random.uniform(-30, 70, (40, 2))
    rois = np.concatenate([corner, corner + random.uniform(0, 60, (40, 2))], 1).astype(np.float32)
    rois[3] = 0
    images, indices = random.integers(0, 2, (2, 40), np.int32)
    specs = [tf.TensorSpec([None, None, None, 6], tf.float32, name) for name in ("fine", "coarse")]
    specs += [tf.TensorSpec([None, 4], tf.float32, "rois")]
    specs += [tf.TensorSpec([None], tf.int32, name) for name in ("images", "indices")]
    run = session(lambda fine, coarse, *rest: align([fine, coarse], *rest, kernels), specs)
    expected = align([tf.constant(level) for level in levels], rois, images, indices, "native")
    np.testing.assert_allclose(run(*levels, rois, images, indices)[0], expected, rtol=0, atol=1e-5)
    alone = indices * 0
    expected = align([tf.constant(level) for level in levels], rois, images, alone, "native")
    np.testing.assert_allclose(run(*levels, rois, images, alone)[0], expected, rtol=0, atol=1e-5)
    assert run(*levels, rois[:0], images[:0], indices[:0])[0].shape == (0, 3, 5, 6)


@pytest.mark.parametrize("aligned", [0, 1])
def test_golden_roi_align(golden, aligned):
    data, case = golden("unit_roi"), f"s0.25_o7x7_sr0_al{aligned}"
    feature = np.transpose(data["x"], (0, 2, 3, 1))
    rois, images = data["rois"][:, [2, 1, 4, 3]], data["rois"][:, 0].astype(np.int32)
    assert json.loads(str(data[f"roi_align/{case}/args"]))["spatial_scale"] == 0.25
    specs = [
        tf.TensorSpec(feature.shape, tf.float32, "feature"),
        tf.TensorSpec([None, 4], tf.float32, "rois"),
        tf.TensorSpec([None], tf.int32, "images"),
    ]
    run = session(
        lambda feature, rois, images: roi_align(
            [feature], [4], rois, images, tf.zeros_like(images), 7, 0, bool(aligned), "onnx"
        ),
        specs,
    )
    expected = np.transpose(data[f"roi_align/{case}/out/y"], (0, 2, 3, 1))
    np.testing.assert_allclose(run(feature, rois, images)[0], expected, rtol=0, atol=1e-5 * np.abs(feature).max())


@pytest.mark.parametrize("kernels", KERNELS)
def test_tensorflow_runs_them_too(kernels):
    """Before an export a model with these kernels gives what the native ones give."""
    boxes, scores = (tf.constant(value) for value in crowd(3, 2, 30))
    for ours, theirs in zip(nms(boxes, scores, 9, 0.5, kernels), nms(boxes, scores, 9, 0.5, "native"), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    level = tf.random.stateless_normal([2, 12, 12, 3], [1, 2])
    arguments = ([level], [4], boxes[0], tf.zeros([30], tf.int32), tf.zeros([30], tf.int32), 4, 2, True)
    np.testing.assert_allclose(roi_align(*arguments, kernels), roi_align(*arguments, "native"), rtol=0, atol=1e-6)
