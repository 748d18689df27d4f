"""The TFLite form of suppression, run by TFLite, against the XLA form run by TensorFlow."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter
from kernel_calls import class_nms, nms


def run_in_tflite(function, **inputs):
    """Outputs of a function from keywords to a dict, converted and run: {name: array}."""
    specs = {name: tf.TensorSpec(value.shape, value.dtype, name) for name, value in inputs.items()}
    module = tf.Module()
    module.graph = tf.function(function, autograph=False).get_concrete_function(**specs)
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.graph], module).convert()
    interpreter = Interpreter(model_content=content)
    used = {item["op_name"] for item in interpreter._get_ops_details()}
    assert "NON_MAX_SUPPRESSION_V5" in used or "WHILE" in used
    return interpreter.get_signature_runner()(**inputs)


def crowded(count, seed):
    """Boxes on a grid of whole pixels, so that many IoUs equal 0.5, with tied scores, -inf, and boxes without area."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 6, [1, count, 2])
    boxes = np.concatenate([corners, corners + random.integers(-1, 5, [1, count, 2])], -1).astype(np.float32)
    scores = random.choice(np.array([0.1, 0.2, 0.4, 0.8, -np.inf], np.float32), [1, count])
    return boxes, scores


@pytest.mark.parametrize("max_outputs", [5, 80])
def test_nms(max_outputs):
    boxes, scores = crowded(60, 0)

    def suppress(kernels):
        def function(boxes, scores):
            indices, counts = nms(boxes, scores, max_outputs, 0.5, kernels)
            return {"indices": indices, "counts": counts}

        return function

    found, expected = run_in_tflite(suppress("tflite"), boxes=boxes, scores=scores), suppress("xla")(boxes, scores)
    assert 5 <= expected["counts"][0] < 60
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)


@pytest.mark.parametrize("threshold, max_candidates", [(0.15, 100), (0.15, 30), (0.9, 100)])
def test_class_nms(threshold, max_candidates):
    boxes, scores = crowded(120, 1)
    boxes, scores = boxes.reshape(1, 40, 3, 4), scores.reshape(1, 40, 3)

    def suppress(kernels):
        def function(boxes, scores):
            found = class_nms(boxes, scores, 20, 0.5, threshold, kernels, max_candidates)
            return dict(zip(("boxes", "scores", "classes", "counts"), found, strict=True))

        return function

    found, expected = run_in_tflite(suppress("tflite"), boxes=boxes, scores=scores), suppress("xla")(boxes, scores)
    assert (expected["counts"][0] == 0) == (threshold > 0.8)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
