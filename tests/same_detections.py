"""Comparing what two models find, and data sets of batches that are at hand."""

import numpy as np
import tensorflow as tf

LOSSES = ["loss", "rpn_objectness", "rpn_box", "box_class", "box_delta", "mask"]


def dataset(*batches):
    return tf.data.Dataset.from_generator(
        lambda: iter(batches), output_signature=tf.nest.map_structure(tf.TensorSpec.from_tensor, batches[0])
    )


def assert_same_detections(a, b, scores=1e-4, boxes=1e-2, masks=1e-3):
    np.testing.assert_array_equal(a["num_detections"], b["num_detections"])
    np.testing.assert_array_equal(a["detection_classes"], b["detection_classes"])
    np.testing.assert_allclose(a["detection_scores"], b["detection_scores"], atol=scores)
    np.testing.assert_allclose(a["detection_boxes"], b["detection_boxes"], atol=boxes)
    np.testing.assert_allclose(a["detection_masks"], b["detection_masks"], atol=masks)
