"""`after` waits in a graph, and gives what it was given."""

import tensorflow as tf

from mask_rcnn_tf.ops.turns import after


def test_a_value_waits_for_others():
    order = []

    def note(name):
        return tf.py_function(lambda: order.append(name), [], [])

    @tf.function(autograph=False)
    def run(value):
        slow = tf.linalg.matmul(value, value)
        with tf.control_dependencies([slow]):
            first = note("first")
        with tf.control_dependencies([first]):
            slow = tf.identity(slow)
        waited = after(value, slow)
        assert waited.op.control_inputs == [slow.op]  # what ran first may be chance
        with tf.control_dependencies([waited]):
            second = note("second")
        with tf.control_dependencies([second]):
            return tf.identity(waited)

    value = tf.ones([2, 2])
    assert run(value).numpy().tolist() == [[1, 1], [1, 1]] and order == ["first", "second"]
    assert after(value).numpy().tolist() == after(value, value).numpy().tolist() == [[1, 1], [1, 1]]
