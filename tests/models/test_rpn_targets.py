"""Targets of the anchors: the padding of ground truth changes nothing, whether it is compared with them or not."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.config import RpnConfig
from mask_rcnn_tf.models.targets import rpn_targets

CLASSES = {"at the end": [2, 1, 3, 0, 0, 0], "between": [0, 1, 0, 2, 0, 0], "nowhere": [1] * 6, "alone": [0] * 6}


def run(boxes, classes, *, static):
    corners = np.stack(np.meshgrid(np.arange(0, 96, 8), np.arange(0, 96, 8)), -1).reshape(-1, 2)
    anchors = tf.constant(np.concatenate([corners, corners + 24], 1), tf.float32)
    seeds = tf.constant([[7, 1]] * len(classes), tf.int64)
    given = tf.constant(boxes, tf.float32), tf.constant(classes, tf.int32)
    call = tf.function(lambda *truth: rpn_targets(anchors, *truth, seeds, RpnConfig(), "random", static=static))
    return [value.numpy() for value in call(*given)]


@pytest.mark.parametrize("padding", CLASSES)
def test_padding_changes_nothing(padding):
    random = np.random.default_rng(0)
    corners = random.uniform(0, 60, (2, 6, 2))
    boxes = np.concatenate([corners, corners + random.uniform(16, 36, (2, 6, 2))], -1)
    classes = np.array([CLASSES[padding], [1, 0, 0, 0, 0, 0]])
    whole, cut = (run(boxes, classes, static=static) for static in (True, False))
    kept = [np.where(classes[..., None] > 0, boxes, other) for other in (0.0, 40.0)]  # whatever stands in the padding
    for other in (cut, run(kept[0], classes, static=False), run(kept[1], classes, static=False)):
        for one, two in zip(whole, other, strict=True):
            np.testing.assert_array_equal(one, two)
    assert whole[0].any(1).tolist() == classes.any(1).tolist()
