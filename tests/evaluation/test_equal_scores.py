"""A model whose box head is dead is named; models that are only bad, or sure, are not."""

import logging

import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.evaluation import equal_scores
from mask_rcnn_tf.evaluation.callback import predict_results


def results(scores, category=1):
    return [{"image_id": 1, "category_id": category, "score": float(score)} for score in scores]


@pytest.mark.parametrize(
    "found",
    [
        [],
        results([0.3] * 99),  # too few to say
        results(np.linspace(0.29, 0.31, 400)),  # close, but ranked
        results([0.3] * 150) + results([0.2] * 40, 2),  # 190 of two classes
        results([0.3, 0.4] * 100),
        results([1.0] * 400 + [0.5, 0.2]),  # sure
    ],
)
def test_scores_that_may_be(found):
    assert equal_scores.note(found) == ""


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (results([0.2948838] * 400), "400 of 400 results have the same score for their class (0.2949)"),
        (results([0.29] * 390 + list(range(10))), "390 of 400 results have the same score for their class (0.29)"),
        (results([0.3] * 150) + results([0.2] * 60, 2), "210 of 210 results have the same score for their class (0.2"),
    ],
)
def test_scores_that_say_nothing(found, said):
    assert equal_scores.note(found).startswith(said)


def test_a_dead_box_head_is_named(caplog):
    """Its last layer's units are 0 for every RoI, as too large a learning rate leaves them."""
    model = finding_model()
    classes = model.config.num_classes
    biases = {variable.path: variable for variable in model.weights if "box_head" in variable.path}
    (last,) = (variable for path, variable in biases.items() if path.endswith("fc1/bias"))
    last.assign(np.full(last.shape, -1e6))
    (logits,) = (variable for path, variable in biases.items() if path.endswith("class_logits/bias"))
    logits.assign(np.linspace(0.0, 1.0, classes + 1))
    images = np.random.default_rng(0).integers(0, 256, (20, 64, 64, 3), np.uint8)
    data = tf.data.Dataset.from_tensor_slices({"image": images, "image_id": np.arange(20)})
    with caplog.at_level(logging.WARNING, "mask_rcnn_tf"):
        found = predict_results(model, data, model.config.category_ids, 0, mrcnn.make_predictor(model))
    assert len(found) >= 100 and "does not tell objects apart" in caplog.text
