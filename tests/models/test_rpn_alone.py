"""A model without heads on RoIs: its losses are those of the RPN in a whole model, its detections the proposals."""

import numpy as np
import pytest
import tensorflow as tf
from tiny import finding_model, tiny_batch, tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.augmented import AugmentedPredictor


@pytest.fixture(scope="module")
def whole():
    return finding_model(config=tiny_config())


@pytest.fixture(scope="module")
def alone(whole):
    """The RPN of the whole model."""
    model = mrcnn.MaskRCNN(rpn_config())
    values = {variable.path: variable for variable in whole.weights}
    for variable in model.weights:
        variable.assign(values[variable.path])
    return model


def rpn_config():
    config = tiny_config()
    config.box_head.enabled = config.mask_head.enabled = False
    config.num_classes, config.detection.max_detections, config.detection.score_threshold = 1, 30, 0.0
    return config


def test_losses_are_those_of_the_rpn_in_the_whole_model(whole, alone):
    batch, step = tiny_batch(), tf.constant(7, tf.int64)
    ours, theirs = alone.compute_losses(batch, step, True), whole.compute_losses(batch, step, True)
    assert set(ours) == {"rpn_objectness", "rpn_box"} < set(theirs)
    for name, value in ours.items():
        assert value > 0
        np.testing.assert_allclose(value, theirs[name], rtol=1e-6)
    assert [metric.name for metric in alone.metrics] == ["loss", "rpn_objectness", "rpn_box"]
    assert {path.path.split("/")[0] for path in alone.weights} == {"backbone", "pyramid", "rpn_head"}


def test_detections_are_the_proposals_with_the_sigmoid_of_their_logits(whole, alone):
    batch = tiny_batch()
    found, trace = alone.detect(batch["image"], batch["image_shape"]), whole.trace(batch["image"], batch["image_shape"])
    logits = np.concatenate([trace[f"objectness_{name}"] for name in whole.config.rpn.levels], 1).astype(np.float64)
    for b, count in enumerate(trace["num_proposals"].numpy()):
        assert found["num_detections"][b] == count <= 24 and set(found) == {
            "detection_boxes",
            "detection_scores",
            "detection_classes",
            "num_detections",
        }
        np.testing.assert_allclose(found["detection_boxes"][b, :count], trace["proposals"][b, :count], atol=1e-3)
        scores = found["detection_scores"][b].numpy()
        assert (np.diff(scores[:count]) <= 0).all() and scores.shape == (30,) and not scores[count:].any()
        probabilities = 1 / (1 + np.exp(-logits[b]))
        assert all(np.abs(probabilities - score).min() < 1e-5 for score in scores[:count])
        np.testing.assert_array_equal(found["detection_classes"][b], np.arange(30) < count)


def test_threshold_and_number_are_those_of_detections(alone):
    batch = tiny_batch()
    every = alone.detect(batch["image"], batch["image_shape"])
    config = rpn_config()
    middle = float(np.sort(every["detection_scores"][0, : int(every["num_detections"][0])])[-3:-1].mean())
    config.detection.max_detections, config.detection.score_threshold = 5, middle
    few = mrcnn.MaskRCNN(config, alone.stages).detect(batch["image"], batch["image_shape"])
    assert few["num_detections"][0] == 2 and few["detection_boxes"].shape == (2, 5, 4)
    np.testing.assert_array_equal(few["detection_boxes"][0, :2], every["detection_boxes"][0, :2])
    assert not few["detection_boxes"].numpy()[0, 2:].any()


def test_saves_loads_and_refuses(alone, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (96, 120, 3)).astype(np.uint8)
    alone.save(tmp_path / "rpn.keras")
    loaded = mrcnn.load_model(tmp_path / "rpn.keras")
    (before,), (after,) = mrcnn.predict_images(alone, [image]), mrcnn.predict_images(loaded, [image])
    assert len(before["detection_boxes"]) > 5
    np.testing.assert_allclose(after["detection_boxes"], before["detection_boxes"], atol=1e-3)
    with pytest.raises(ValueError, match="model finds no boxes of classes"):
        AugmentedPredictor(alone, mrcnn.AugmentationConfig((96,)))


@pytest.mark.parametrize(
    "section, message",
    [
        ("mask_head", "model.mask_head.enabled is True; allowed: False, where box_head.enabled is False"),
        ("keypoint_head", "model.keypoint_head.enabled is True; allowed: False, where box_head.enabled is False"),
        ("", "model.num_classes is 3; allowed: 1, where box_head.enabled is False: proposals have no class"),
    ],
)
def test_what_needs_detections_is_refused(section, message):
    config = rpn_config()
    if section:
        getattr(config, section).enabled = True
    else:
        config.num_classes = 3
    with pytest.raises(ValueError, match=message):
        mrcnn.MaskRCNN(config)
