"""Models joined by the names of their tensors compute what their functions compute one after the other."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from mask_rcnn_tf.export import tflite_file, tflite_merge


def converted(function, **shapes):
    specs = {name: tf.TensorSpec(shape, tf.float32, name) for name, shape in shapes.items()}
    module = tf.Module()
    module.graph = tf.function(function, autograph=False).get_concrete_function(**specs)
    content = tf.lite.TFLiteConverter.from_concrete_functions([module.graph], module).convert()
    return tflite_file.from_bytes(content)


def doubled_until_large(value):
    return tf.while_loop(lambda x: tf.reduce_max(x) < 100.0, lambda x: (2.0 * x,), (value,))[0]


def outer(x, asked):
    """Gives what `inner` takes, and takes what it gives."""
    return {"given": doubled_until_large(x) + tf.constant([1.0, 2.0]), "y": 3.0 * asked}


def inner(given):
    return {"asked": doubled_until_large(tf.sqrt(given)) + tf.constant([[10.0], [20.0]])}


@pytest.fixture
def parts():
    return [converted(outer, x=[2], asked=[2, 2]), converted(inner, given=[2])]


def test_models_that_feed_each_other(parts):
    merged = tflite_merge.merge(parts, ["x"], ["y"])
    interpreter = Interpreter(model_content=tflite_file.to_bytes(merged))
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": ["x"], "outputs": ["y"]}}
    x = np.array([3.0, 7.0], np.float32)
    expected = outer(x, inner(outer(x, 0.0)["given"])["asked"])["y"]
    np.testing.assert_allclose(interpreter.get_signature_runner()(x=x)["y"], expected, rtol=1e-6)


def test_models_side_by_side(parts):
    gathered = tflite_merge.gather({"first": parts[0], "second": parts[1]})
    interpreter = Interpreter(model_content=tflite_file.to_bytes(gathered))
    assert set(interpreter.get_signature_list()) == {"first", "second"}
    given = np.array([5.0, 6.0], np.float32)
    found = interpreter.get_signature_runner("second")(given=given)["asked"]
    np.testing.assert_allclose(found, inner(given)["asked"], rtol=1e-6)


def test_buffers_are_aligned(parts):
    """The converter's own files are; flatbuffers' Python code would not do it."""
    tflite_file.add_metadata(parts[0], "ODD", b"12345")
    content = tflite_file.to_bytes(parts[0])
    found = [buffer.data.tobytes() for buffer in tflite_file.from_bytes(content).buffers if buffer.data is not None]
    assert len(found) > 3 and b"12345" in found
    for data in found:
        if len(data):
            places = [place for place in range(0, len(content), 16) if content.startswith(data, place)]
            assert places, data
