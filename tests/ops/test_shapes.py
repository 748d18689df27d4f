"""Sizes are Python integers where a graph knows them, and right where it does not."""

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.ops.shapes import sizes


def test_known_sizes_are_integers_and_the_others_are_read():
    seen = []

    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, 3, None], tf.float32)])
    def run(values):
        seen.append(sizes(values))
        return tf.stack(seen[0])

    for shape in ([2, 3, 5], [0, 3, 1]):
        np.testing.assert_array_equal(run(tf.zeros(shape)), shape)
    assert [isinstance(size, int) for size in seen[0]] == [False, True, False] and len(seen) == 1
    assert sizes(tf.zeros([2, 0, 5])) == [2, 0, 5] and sizes(np.zeros([4, 1])) == [4, 1]
