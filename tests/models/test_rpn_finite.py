"""What is not finite in the RPN's output is no proposal, and the rest is ranked as if it were not there."""

import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.rpn import select_proposals
from mask_rcnn_tf.ops.kernels import get_kernels

# Twelve anchors of 8 x 8 pixels, far enough apart that NMS keeps all; (y1, x1, y2, x2).
CORNERS = np.array([(16 * row, 16 * column) for row in range(3) for column in range(4)], np.float32)
ANCHORS = np.concatenate([CORNERS, CORNERS + 8], 1)
LOGITS = np.array([0.5, -1.0, 3.0, 2.0, -4.0, 1.5, 0.0, -2.0, 2.5, 1.0, -3.0, -0.5], np.float32)
IMAGE = (64, 64)


@pytest.fixture(params=["native", "xla"])
def kernels(request):
    return request.param


def propose(logits, deltas, kernels, ranking, before=12):
    """Indices of the anchors that became proposals, best first; deltas of 0 leave an anchor as it is."""
    rpn = mrcnn.ModelConfig().rpn
    rpn.ranking, rpn.pre_nms_top_n_test, rpn.post_nms_top_n_test = ranking, before, 12

    def select(logits, deltas):
        level = (logits[None], deltas[None], tf.constant(ANCHORS))
        return select_proposals([level], tf.constant([IMAGE]), rpn, get_kernels(kernels))

    select = tf.function(select, jit_compile=get_kernels(kernels).compiled, autograph=False)
    proposals, counts = (value.numpy()[0] for value in select(tf.constant(logits), tf.constant(deltas)))
    assert not proposals[counts:].any() and np.isfinite(proposals).all()
    rows = [np.flatnonzero((ANCHORS == box).all(1)) for box in proposals[:counts]]
    assert all(len(row) == 1 for row in rows), proposals
    return [int(row[0]) for row in rows]


def order(logits, without=()):
    """The oracle: NumPy's stable order of the anchors that remain, best first."""
    return [int(row) for row in np.argsort(-logits, kind="stable") if row not in without]


def zeros():
    return np.zeros([len(LOGITS), 4], np.float32)


def test_all_finite(kernels):
    for ranking in ("logit", "sigmoid"):
        assert propose(LOGITS, zeros(), kernels, ranking) == order(LOGITS)


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_logits(kernels, bad):
    logits = LOGITS.copy()
    logits[[1, 5, 8]] = bad
    assert propose(logits, zeros(), kernels, "logit") == order(LOGITS, without=(1, 5, 8))


def test_logits_of_all_kinds(kernels):
    logits = LOGITS.copy()
    logits[[0, 2, 7]] = np.inf, np.nan, -np.inf
    assert propose(logits, zeros(), kernels, "logit") == order(LOGITS, without=(0, 2, 7))


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("ranking", ["logit", "sigmoid"])
def test_centre_deltas(kernels, bad, ranking):
    deltas = zeros()
    deltas[[3, 6], [0, 1]] = bad
    assert propose(LOGITS, deltas, kernels, ranking) == order(LOGITS, without=(3, 6))


@pytest.mark.parametrize("ranking", ["logit", "sigmoid"])
def test_size_deltas_that_are_nan(kernels, ranking):
    deltas = zeros()
    deltas[[3, 6], [2, 3]] = np.nan
    assert propose(LOGITS, deltas, kernels, ranking) == order(LOGITS, without=(3, 6))


def test_nan_among_more_anchors_than_are_ranked(kernels):
    """A NaN neither hides a good anchor from the best `before` nor shuffles them."""
    logits = LOGITS.copy()
    logits[[1, 7, 11]] = np.nan
    found = propose(logits, zeros(), kernels, "logit", before=6)
    expected = order(LOGITS, without=(1, 7, 11))
    assert found == expected[: len(found)] and len(found) >= 3  # Detectron2 ranks NaN first, then drops it


def test_sigmoid_of_infinity_is_a_score(kernels):
    """torchvision keeps it (`filter_proposals` of 0.29.1 on these anchors): its score is 1."""
    logits = LOGITS.copy()
    logits[6] = np.inf
    assert propose(logits, zeros(), kernels, "sigmoid") == [6, *order(LOGITS, without=(6,))]


@pytest.mark.parametrize("bad", [-np.inf, np.float32(-200)])
def test_sigmoid_of_minus_infinity_is_a_score(kernels, bad):
    """torchvision keeps it, as it does every score that is not below 0 (`filter_proposals`): its score is 0."""
    logits = LOGITS.copy()
    logits[6] = bad
    assert propose(logits, zeros(), kernels, "sigmoid") == [*order(LOGITS, without=(6,)), 6]


def test_padding_is_no_proposal_under_sigmoid():
    """Where the number of anchors is not static, `top_k_padded` pads with -inf, as a logit may be."""
    rpn = mrcnn.ModelConfig().rpn
    rpn.ranking, rpn.pre_nms_top_n_test, rpn.post_nms_top_n_test = "sigmoid", 20, 20
    one = tf.TensorSpec([1, None], tf.float32), tf.TensorSpec([1, None, 4], tf.float32)

    @tf.function(input_signature=[*one, tf.TensorSpec([None, 4], tf.float32)], autograph=False)
    def select(logits, deltas, anchors):
        level = (logits, deltas, anchors)
        return select_proposals([level], tf.constant([IMAGE]), rpn, get_kernels("native"))

    logits = LOGITS.copy()
    logits[[6, 9]] = -np.inf
    proposals, counts = (value.numpy()[0] for value in select(logits[None], zeros()[None], ANCHORS))
    expected = [*order(LOGITS, without=(6, 9)), 6, 9]
    assert counts == 12 and not proposals[12:].any()
    np.testing.assert_array_equal(proposals[:12], ANCHORS[expected])


def test_sigmoid_of_nan_is_no_score(kernels):
    logits = LOGITS.copy()
    logits[6] = np.nan
    assert propose(logits, zeros(), kernels, "sigmoid") == order(LOGITS, without=(6,))
