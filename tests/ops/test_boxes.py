import json

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops

YX = [1, 0, 3, 2]  # x1, y1, x2, y2 <-> y1, x1, y2, x2; likewise for deltas and weights


def _boxes(seed, *shape):
    random = np.random.default_rng(seed)
    corner, sides = random.random((*shape, 2)) * 200, random.random((*shape, 2)) * 80 + 0.5
    return np.concatenate([corner, corner + sides], -1).astype(np.float32)


def _iou_float64(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    result = np.zeros((len(a), len(b)))
    for i, p in enumerate(a):
        for j, q in enumerate(b):
            sides = np.minimum(p[2:], q[2:]) - np.maximum(p[:2], q[:2])
            meet = np.prod(sides) if sides.min() > 0 else 0.0
            union = np.prod(p[2:] - p[:2]) + np.prod(q[2:] - q[:2]) - meet
            result[i, j] = meet / union if meet else 0.0
    return result


def test_area():
    np.testing.assert_allclose(box_ops.area(tf.constant([[[1.0, 2, 4, 7], [3, 3, 3, 9]]])), [[15.0, 0.0]])


def test_pairwise_iou_equals_torchvision(golden):
    cases = golden("unit_boxes")
    a, b = cases["box_iou/0/in/a"][:, YX], cases["box_iou/0/in/b"][:, YX]
    np.testing.assert_allclose(box_ops.pairwise_iou(a, b), cases["box_iou/0/out/iou"], rtol=1e-6, atol=1e-7)


def test_pairwise_iou_equals_definition_batched_and_compiled():
    a, b = _boxes(0, 2, 30), _boxes(1, 2, 20)
    a[0, 3] = [50, 50, 50, 90]
    expected = np.stack([_iou_float64(p, q) for p, q in zip(a, b, strict=True)])
    compiled = tf.function(box_ops.pairwise_iou, jit_compile=True, autograph=False)
    np.testing.assert_allclose(box_ops.pairwise_iou(a, b), expected, atol=1e-5)
    np.testing.assert_allclose(compiled(a, b), expected, atol=1e-5)
    one_for_all = box_ops.pairwise_iou(a[0][np.newaxis], b)
    assert one_for_all.shape == (2, 30, 20)
    np.testing.assert_allclose(one_for_all[1], _iou_float64(a[0], b[1]), atol=1e-5)


def test_pairwise_iou_of_boxes_without_area_is_zero():
    empty = tf.constant([[5.0, 5, 5, 5], [5, 5, 5, 5], [20, 20, 10, 10], [0, 8, 9, 2]])
    assert not np.any(box_ops.pairwise_iou(empty, empty))
    assert not np.any(box_ops.pairwise_iou(empty, tf.constant([[0.0, 0, 40, 40]])))


def test_clip_boxes_equals_torchvision(golden):
    cases = golden("unit_boxes")
    size = json.loads(str(cases["clip_boxes/0/args"]))["image_size_hw"]
    boxes = tf.constant(cases["clip_boxes/0/in/boxes"][np.newaxis][..., YX])
    clipped = box_ops.clip_boxes(boxes, tf.constant([size]))
    np.testing.assert_array_equal(clipped[0], cases["clip_boxes/0/out/boxes"][:, YX])


def test_clip_boxes_uses_the_shape_of_each_image():
    boxes = tf.tile(tf.constant([-5.0, -5, 99, 99]), [2 * 3 * 2])
    clipped = box_ops.clip_boxes(tf.reshape(boxes, [2, 3, 2, 4]), tf.constant([[10, 20], [30, 40]]))
    np.testing.assert_array_equal(clipped[0, 2, 1], [0, 0, 10, 20])
    np.testing.assert_array_equal(clipped[1, 0, 0], [0, 0, 30, 40])


@pytest.mark.parametrize("min_size", ["1e-3", "1e-2"])
def test_has_area_equals_torchvision(golden, min_size):
    cases = golden("unit_boxes")
    kept = box_ops.has_area(cases[f"remove_small_boxes/{min_size}/in/boxes"][:, YX], float(min_size))
    np.testing.assert_array_equal(np.flatnonzero(kept), cases[f"remove_small_boxes/{min_size}/out/keep"])


def test_has_area_wants_both_sides_above_zero():
    boxes = tf.constant([[0.0, 0, 1e-6, 1], [0, 0, 0, 1], [0, 0, 1, -1], [2, 2, 1, 1]])
    np.testing.assert_array_equal(box_ops.has_area(boxes), [True, False, False, False])


@pytest.mark.parametrize("case", ["w1_1_1_1", "w10_10_5_5"])
def test_encode_and_decode_equal_torchvision(golden, case):
    cases = golden("unit_boxes")
    weights = [json.loads(str(cases[f"box_encode/{case}/args"]))["weights"][i] for i in YX]
    boxes, reference = (cases[f"box_encode/{case}/in/{name}"][:, YX] for name in ("reference", "proposals"))
    encoded = box_ops.encode_deltas(boxes, reference, weights)
    np.testing.assert_allclose(encoded, cases[f"box_encode/{case}/out/deltas"][:, YX], rtol=1e-5, atol=1e-5)
    roundtrip = box_ops.decode_deltas(encoded, reference, weights)
    np.testing.assert_allclose(roundtrip, cases[f"box_roundtrip/{case}/out/boxes"][:, YX], atol=1e-4)
    np.testing.assert_allclose(roundtrip, boxes, atol=1e-3)
    deltas = cases[f"box_decode/{case}/in/deltas"].reshape(25, 5, 4)[..., YX]
    reference = cases[f"box_decode/{case}/in/boxes"][:, np.newaxis, YX]
    expected = cases[f"box_decode/{case}/out/boxes"][..., YX]
    compiled = tf.function(box_ops.decode_deltas, jit_compile=True, autograph=False)
    for decode in (box_ops.decode_deltas, compiled):
        np.testing.assert_allclose(decode(deltas, reference, weights), expected, rtol=1e-5, atol=1e-3)


def test_encode_equals_definition():
    boxes, reference, weights = _boxes(2, 40), _boxes(3, 40), (10.0, 9.0, 5.0, 4.0)
    b, r = boxes.astype(np.float64), reference.astype(np.float64)
    sides, reference_sides = b[:, 2:] - b[:, :2], r[:, 2:] - r[:, :2]
    offsets = ((b[:, 2:] + b[:, :2]) - (r[:, 2:] + r[:, :2])) / 2 / reference_sides
    expected = np.concatenate([offsets, np.log(sides / reference_sides)], -1) * weights
    np.testing.assert_allclose(box_ops.encode_deltas(boxes, reference, weights), expected, rtol=1e-4, atol=1e-4)


def test_decode_clamps_sides_above_only():
    decoded = box_ops.decode_deltas(tf.constant([0.0, 0, 50, -20]), tf.constant([0.0, 0, 16, 16]), (1, 1, 1, 1)).numpy()
    np.testing.assert_allclose(decoded[2] - decoded[0], 1000.0, rtol=1e-5)
    np.testing.assert_allclose(decoded[3] - decoded[1], 16 * np.exp(-20), atol=1e-6)
