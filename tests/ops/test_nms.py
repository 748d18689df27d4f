import json

import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import class_nms, nms

from mask_rcnn_tf.ops.boxes import clip_boxes, decode_deltas, has_area

YX = [1, 0, 3, 2]
FORMS = ["native", "xla", "compiled"]
CASES = [
    "random200_t0.3",
    "random200_t0.5",
    "random200_t0.7",
    "score_ties",
    "all_equal_scores",
    "duplicates",
    "iou_equals_threshold_0.5",
    "iou_just_below_third",
    "degenerate",
    "empty",
    "one",
]
COMPILED = {function: tf.function(function, jit_compile=True, autograph=False) for function in (nms, class_nms)}


def _run(form, function, *args, **kwargs):
    """Runs nms or class_nms: "native" and "xla" kernels plainly, or the latter "compiled" by XLA."""
    if form == "compiled":
        return COMPILED[function](*args, kernels="xla", **kwargs)
    return function(*args, kernels=form, **kwargs)


def _nms(form, boxes, scores, max_outputs, iou_threshold):
    indices, counts = _run(form, nms, tf.constant(boxes), tf.constant(scores), max_outputs, iou_threshold)
    assert indices.shape == (len(boxes), max_outputs) and indices.dtype == counts.dtype == tf.int32
    for row, count in zip(indices.numpy(), counts, strict=True):
        assert not row[count:].any()
    return [row[:count] for row, count in zip(indices.numpy(), counts, strict=True)]


def _class_nms(form, boxes, scores, *args, max_candidates=500):
    args = (tf.constant(boxes), tf.constant(scores), *args)
    return [x.numpy() for x in _run(form, class_nms, *args, max_candidates=max_candidates)]


def _random(seed, *shape, levels=0):
    """Boxes on whole pixels (exact IoUs) in a crowd, and scores; `levels` > 0 makes that many different scores."""
    random = np.random.default_rng(seed)
    corner, sides = random.integers(0, 60, (*shape, 2)), random.integers(8, 30, (*shape, 2))
    scores = random.integers(0, levels, shape) / levels if levels else random.random(shape)
    return np.concatenate([corner, corner + sides], -1).astype(np.float32), scores.astype(np.float32)


def _greedy(boxes, scores, threshold):
    """The definition, in float64, stable ties."""
    boxes, keep = boxes.astype(np.float64), []
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=1)
    for i in np.argsort(-scores, kind="stable"):
        sides = [np.minimum(boxes[i, 2:], boxes[j, 2:]) - np.maximum(boxes[i, :2], boxes[j, :2]) for j in keep]
        meet = np.array([np.prod(np.maximum(side, 0)) for side in sides])
        if scores[i] > -np.inf and not np.any(meet / (areas[i] + areas[keep] - meet) > threshold):
            keep.append(i)
    return np.array(keep, np.int64)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", CASES)
def test_nms_equals_torchvision(golden, case, form):
    cases = golden("unit_boxes")
    boxes, scores = cases[f"nms/{case}/in/boxes"][np.newaxis][..., YX], cases[f"nms/{case}/in/scores"][np.newaxis]
    threshold = json.loads(str(cases[f"nms/{case}/args"]))["iou_threshold"]
    expected = cases[f"nms/{case}/out/keep"]
    np.testing.assert_array_equal(_nms(form, boxes, scores, 203, threshold)[0], expected)


@pytest.mark.parametrize("form", FORMS)
def test_nms_stops_at_max_outputs(form):
    boxes, scores = _random(6, 1, 40)
    expected = _greedy(boxes[0], scores[0], 0.5)
    assert len(expected) > 7
    np.testing.assert_array_equal(_nms(form, boxes, scores, 7, 0.5)[0], expected[:7])


@pytest.mark.parametrize("form", FORMS)
def test_nms_of_a_batch_equals_definition(form):
    boxes, scores = _random(0, 3, 150, levels=20)
    scores[1, ::3] = -np.inf
    scores[2] = -np.inf
    kept = _nms(form, boxes, scores, 150, 0.4)
    for image in range(3):
        np.testing.assert_array_equal(kept[image], _greedy(boxes[image], scores[image], 0.4))
    assert len(kept[2]) == 0 < len(kept[1])


@pytest.mark.parametrize("form", FORMS)
def test_inverted_and_empty_boxes_meet_nothing(form):
    boxes = np.float32([[[0, 0, 10, 10], [10, 10, 0, 0], [10, 10, 0, 0], [0, 10, 10, 0], [4, 4, 4, 9], [0, 0, 10, 10]]])
    scores = np.linspace(1, 0, 6, dtype=np.float32)[np.newaxis]
    np.testing.assert_array_equal(_nms(form, boxes, scores, 6, 0.5)[0], [0, 1, 2, 3, 4])


@pytest.mark.parametrize("form", FORMS)
def test_long_chains_of_suppression_are_settled(form):
    """Each box suppresses only the next one, so that every second is kept."""
    y = np.arange(40, dtype=np.float32)[:, np.newaxis] * 4
    boxes = np.concatenate([y, y * 0, y + 10, y * 0 + 10], 1)[np.newaxis]
    scores = np.linspace(1, 0.1, 40, dtype=np.float32)[np.newaxis]
    np.testing.assert_array_equal(_nms(form, boxes, scores, 40, 0.4)[0], np.arange(0, 40, 2))


@pytest.mark.parametrize("form", FORMS)
def test_nan_scores_are_never_selected(form):
    boxes = np.float32([[[0, 0, 1, 1], [2, 2, 3, 3], [4, 4, 5, 5]]])
    assert _nms(form, boxes, np.float32([[0.1, np.nan, 0.9]]), 3, 0.5)[0].tolist() == [2, 0]


@pytest.mark.parametrize("kernels", ["native", "xla"])
def test_unknown_sizes_are_accepted(kernels):
    traced = tf.function(
        lambda boxes, scores: (nms(boxes, scores, 5, 0.5, kernels), _detect(boxes, scores, kernels)),
        input_signature=[tf.TensorSpec([None, None, 4]), tf.TensorSpec([None, None])],
        autograph=False,
    )
    for size in (0, 3, 9):
        boxes, scores = _random(1, 2, size)
        (indices, counts), (_, _, classes, detections) = traced(boxes, scores)
        assert indices.shape == classes.shape == (2, 5)
        expected = [min(len(_greedy(b, s, 0.5)), 5) for b, s in zip(boxes, scores, strict=True)]
        np.testing.assert_array_equal(counts, expected)
        np.testing.assert_array_equal(detections, expected)


def _detect(boxes, scores, kernels):
    return class_nms(boxes[:, :, tf.newaxis], scores[..., tf.newaxis], 5, 0.5, 0.0, kernels, 100)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("case", ["coordtrick300", "vanilla1200"])
def test_class_nms_equals_batched_nms(golden, case, form):
    cases = golden("unit_boxes")
    boxes, scores = cases[f"batched_nms/{case}/in/boxes"][:, YX], cases[f"batched_nms/{case}/in/scores"]
    classes, keep = cases[f"batched_nms/{case}/in/idxs"], cases[f"batched_nms/{case}/out/keep"]
    pairs = np.where(classes[:, np.newaxis] == np.arange(6), scores[:, np.newaxis], -1.0).astype(np.float32)
    boxes = np.repeat(boxes[:, np.newaxis], 6, axis=1)
    found = _class_nms(form, boxes[np.newaxis], pairs[np.newaxis], 1250, 0.5, -0.5, max_candidates=1200)
    assert found[3] == len(keep)
    np.testing.assert_array_equal(found[0][0, : len(keep)], boxes[keep, 0])
    np.testing.assert_array_equal(found[1][0, : len(keep)], scores[keep])
    np.testing.assert_array_equal(found[2][0, : len(keep)], classes[keep] + 1)
    assert not any(x[0, len(keep) :].any() for x in found[:3])


@pytest.mark.parametrize("form", FORMS)
def test_class_nms_equals_torchvision_postprocessing(golden, form):
    cases = golden("unit_losses")
    case = {name.split("/")[-1]: cases[name] for name in cases.files if name.startswith("postprocess_detections/0/")}
    probs = tf.nn.softmax(case["logits"])[:, 1:]
    deltas = case["reg"].reshape(60, 4, 4)[:, 1:, YX]
    boxes = decode_deltas(deltas, case["proposals"][:, np.newaxis, YX], (10, 10, 5, 5))
    boxes = clip_boxes(boxes[tf.newaxis], tf.constant([[150, 200]]))
    scores = tf.where(has_area(boxes, 1e-2), probs[tf.newaxis], 0.0)
    found = _class_nms(form, boxes.numpy(), scores.numpy(), 25, 0.5, 0.05)
    np.testing.assert_array_equal(found[3], [25])
    np.testing.assert_allclose(found[0][0], case["boxes"][:, YX], atol=1e-3)
    np.testing.assert_allclose(found[1][0], case["scores"], atol=1e-6)
    np.testing.assert_array_equal(found[2][0], case["labels"])


@pytest.mark.parametrize("form", FORMS)
def test_nms_a_level_then_merged_equals_torchvision_proposals(golden, form):
    cases = golden("unit_losses")
    args = json.loads(str(cases["filter_proposals/0/args"]))
    boxes = clip_boxes(tf.constant(cases["filter_proposals/0/in/boxes"][..., YX]), tf.constant(args["image_sizes"]))
    logits = cases["filter_proposals/0/in/objectness"]
    kept_boxes, kept_scores = [], []
    for level_boxes, level_logits in zip(tf.split(boxes, args["per_level"], 1), _split(logits, args), strict=True):
        top = tf.math.top_k(level_logits, min(args["pre_nms_top_n"], level_logits.shape[1]))
        level_boxes = tf.gather(level_boxes, top.indices, batch_dims=1)
        scores = tf.where(has_area(level_boxes, args["min_size"]), tf.sigmoid(top.values), -np.inf)
        indices, counts = _run(form, nms, level_boxes, scores, args["post_nms_top_n"], args["nms_thresh"])
        kept_boxes.append(tf.gather(level_boxes, indices, batch_dims=1))
        real = tf.sequence_mask(counts, args["post_nms_top_n"])
        kept_scores.append(tf.where(real, tf.gather(scores, indices, batch_dims=1), -1.0))
    best = tf.math.top_k(tf.concat(kept_scores, 1), args["post_nms_top_n"])
    proposals = tf.gather(tf.concat(kept_boxes, 1), best.indices, batch_dims=1)
    for image in range(2):
        expected = cases[f"filter_proposals/0/out/boxes{image}"][:, YX]
        np.testing.assert_allclose(proposals[image], expected, atol=1e-5)
        np.testing.assert_allclose(best.values[image], cases[f"filter_proposals/0/out/scores{image}"], atol=1e-6)


def _split(logits, args):
    return tf.split(tf.constant(logits), args["per_level"], axis=1)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("levels", [0, 5])
@pytest.mark.parametrize("max_detections", [12, 300])
def test_class_nms_equals_definition(form, levels, max_detections):
    """With 5 different scores nearly all are tied: the lower (box, class) index goes first."""
    boxes, scores = _random(2, 2, 60, 3, levels=levels)
    found = _class_nms(form, boxes, scores, max_detections, 0.4, 0.4)
    for image in range(2):
        kept = []
        for c in range(3):
            eligible = np.where(scores[image, :, c] > np.float32(0.4), scores[image, :, c], -np.inf)
            kept += [(-scores[image, k, c], k, c) for k in _greedy(boxes[image, :, c], eligible, 0.4)]
        kept = sorted(kept)[:max_detections]
        assert found[3][image] == len(kept)
        expected = np.array([boxes[image, k, c] for _, k, c in kept])
        np.testing.assert_array_equal(found[0][image, : len(kept)], expected)
        np.testing.assert_array_equal(found[1][image, : len(kept)], [-score for score, _, _ in kept])
        np.testing.assert_array_equal(found[2][image, : len(kept)], [c + 1 for _, _, c in kept])
        assert not any(x[image, len(kept) :].any() for x in found[:3])


@pytest.mark.parametrize("form", FORMS)
def test_score_threshold_is_strict_and_no_detection_is_all_zero(form):
    boxes, _ = _random(3, 2, 4, 2)
    scores = np.full([2, 4, 2], 0.5, np.float32)
    scores[1, 2, 1] = 0.75
    found = _class_nms(form, boxes, scores, 6, 0.5, 0.5)
    np.testing.assert_array_equal(found[3], [0, 1])
    assert not any(x[0].any() for x in found[:3])
    assert found[2][1, 0] == 2
    np.testing.assert_array_equal(found[0][1, 0], boxes[1, 2, 1])


def test_fewer_candidates_than_pairs_keep_the_best():
    boxes, scores = _random(4, 2, 60, 3)
    full = _class_nms("compiled", boxes, scores, 5, 0.4, 0.0)
    few = _class_nms("compiled", boxes, scores, 5, 0.4, 0.0, max_candidates=40)
    for a, b in zip(full, few, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("function", ["nms", "class_nms"])
def test_unknown_kernels_are_refused(function):
    boxes, scores = _random(5, 1, 2, 1)
    with pytest.raises(ValueError, match="kernels is 'cuda'"):
        if function == "nms":
            nms(boxes[:, :, 0], scores[:, :, 0], 2, 0.5, "cuda")
        else:
            class_nms(boxes, scores, 2, 0.5, 0.0, "cuda", 10)
