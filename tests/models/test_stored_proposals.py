"""A model without an RPN, given the proposals of one: what the whole model does after its RPN, it does."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_config, finding_model, tiny_batch

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.folding import fold
from mask_rcnn_tf.models.prediction import make_predictor
from mask_rcnn_tf.models.rpn_alone import rpn_alone


@pytest.fixture(scope="module")
def whole():
    return finding_model()


@pytest.fixture(scope="module")
def detector(whole):
    """The same layers but for the RPN."""
    config = finding_config()
    config.rpn.enabled = False
    return mrcnn.MaskRCNN(config, whole.stages._replace(rpn_head=None))


def with_proposals(whole, batch):
    """The batch with what the RPN proposes; training keeps as many of them."""
    assert whole.config.rpn.post_nms_top_n_train == whole.config.rpn.post_nms_top_n_test
    trace = whole.trace(batch["image"], batch["image_shape"])
    return batch | {name: trace[name] for name in ("proposals", "num_proposals")}


def test_losses_and_gradients_of_the_heads_are_those_of_the_whole_model(whole, detector):
    batch, step, found = with_proposals(whole, tiny_batch()), tf.constant(3, tf.int64), []
    for model in (whole, detector):
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, step, False)  # norms as when the proposals were made
            total = tf.add_n([value for name, value in losses.items() if not name.startswith("rpn")])
        variables = [variable for variable in model.trainable_variables if "head" in variable.path]
        variables = [variable for variable in variables if not variable.path.startswith("rpn_head")]
        found.append((losses, dict(zip((v.path for v in variables), tape.gradient(total, variables), strict=True))))
    (theirs, their_gradients), (ours, our_gradients) = found
    assert set(theirs) - set(ours) == {"rpn_objectness", "rpn_box"} and set(ours) == {"box_class", "box_delta", "mask"}
    for name, value in ours.items():
        np.testing.assert_allclose(value, theirs[name], rtol=1e-5)
    for path, gradient in our_gradients.items():
        theirs = tf.convert_to_tensor(their_gradients[path])
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), theirs, atol=1e-5 * max(1.0, np.abs(theirs).max()))


def test_detections_are_those_of_the_whole_model(whole, detector):
    batch = with_proposals(whole, tiny_batch())
    inputs = {name: batch[name] for name in ("image", "image_shape", "proposals", "num_proposals")}
    ours, theirs = detector(inputs), whole(inputs)
    assert ours["num_detections"].numpy().min() > 0
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-4, err_msg=name)


def test_predicts_an_image_from_boxes_in_its_pixels(whole, detector):
    image = np.random.default_rng(0).integers(0, 256, (70, 90, 3)).astype(np.uint8)
    (proposed,) = make_predictor(rpn_alone(whole))([image])
    assert len(proposed["detection_boxes"]) == 24 and (np.diff(proposed["detection_scores"]) <= 0).all()
    nothing = [[5, 5, 5, 20]]  # without area, before all others: it takes no place
    (ours,) = make_predictor(detector)([image], [np.concatenate([nothing, proposed["detection_boxes"]])])
    (theirs,) = make_predictor(whole)([image])
    assert len(theirs["detection_boxes"]) == 10
    for name, value in theirs.items():
        np.testing.assert_allclose(ours[name], value, atol=1e-2, err_msg=name)


def test_saves_and_loads(detector, tmp_path):
    detector.save(tmp_path / "fast.keras")
    loaded = mrcnn.load_model(tmp_path / "fast.keras")
    assert not any(variable.path.startswith("rpn") for variable in loaded.weights)
    assert [metric.name for metric in loaded.metrics] == ["loss", "box_class", "box_delta", "mask"]
    assert all(np.array_equal(a, b) for a, b in zip(loaded.weights, detector.weights, strict=True))


def test_what_it_cannot_do_without_proposals(whole, detector):
    with pytest.raises(ValueError, match="the batch lacks proposals, num_proposals; .*rpn.enabled is False"):
        detector.compute_losses(tiny_batch(), tf.zeros([], tf.int64), True)
    for inputs in (tiny_batch(), tf.zeros([1, 64, 64, 3], tf.uint8)):
        with pytest.raises(ValueError, match="the batch lacks proposals, num_proposals, and config.model.rpn.enabled"):
            detector(inputs)
    with pytest.raises(ExportError, match="model has no RPN"):
        fold(detector)
    with pytest.raises(ValueError, match="model has no RPN"):
        rpn_alone(detector)
    config = finding_config()
    config.rpn.enabled = config.box_head.enabled = config.mask_head.enabled = False
    with pytest.raises(ValueError, match="model.rpn.enabled is False; allowed: True, where box_head.enabled is False"):
        config.num_classes, config.class_names, config.category_ids = 1, (), ()
        mrcnn.MaskRCNN(config)
