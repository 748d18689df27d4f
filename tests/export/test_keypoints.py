"""Exports of a model with masks and keypoints: every exporter compares keypoints with the Keras model's."""

import pytest
from export_writers import WRITERS, two_images
from tiny import finding_config, finding_model

from mask_rcnn_tf.config import KeypointHeadConfig
from mask_rcnn_tf.evaluation.compare_results import Tolerance, compare
from mask_rcnn_tf.export import runners
from mask_rcnn_tf.export.agreement import agreement


@pytest.fixture(scope="module")
def model():
    config = finding_config()
    config.keypoint_head = KeypointHeadConfig(
        enabled=True, num_keypoints=3, num_convs=1, channels=8, pool_size=7, decode_grid=96
    )
    return finding_model(config=config)


SLOW = ("model", "canvas.onnx", "program", "heads.tflite")  # test_every_preset.py has a SavedModel


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in WRITERS])
def test_exports(model, tmp_path, name):
    images = two_images()
    WRITERS[name](model, tmp_path / name, images)
    if name not in ("heads.tflite", "program"):  # the program runs where jax is
        found = runners.load(tmp_path / name).predict(images[:1])[0]
        assert found["detection_keypoints"].shape == (len(found["detection_boxes"]), 3, 3)
        assert len(found["detection_boxes"])


def result(keypoints, **changes):
    return {"image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40], "score": 0.9, "keypoints": keypoints} | changes


def differences(ours, theirs):
    return compare(ours, theirs, Tolerance(), 0.05, 100).differences


def test_keypoints_at_other_places_are_seen():
    theirs = [result([12, 12, 0.5, 30, 30, 0.25], image_id=i) for i in range(10)]
    assert not differences(theirs, theirs)
    tie = [result([12, 12, 0.5, 31, 30, 0.2501], image_id=i) if i < 2 else item for i, item in enumerate(theirs)]
    assert not differences(tie, theirs)
    other = [result([12, 12, 0.5, 31, 30, 0.3]), *theirs[:1], *theirs[2:]]
    assert differences(other, theirs) == [
        "image 1: category 1, score 0.9000, box [10.00, 10.00, 40.00, 40.00] has 1 keypoints of another score"
    ]
    swapped = [result([15, 18, 0.5, 30, 33, 0.25], image_id=i) for i in range(10)]
    assert differences(swapped, theirs) == ["20 of 20 keypoints lie at other places with the same score"]
    bare = [{key: value for key, value in item.items() if key != "keypoints"} for item in theirs]
    assert len(differences(bare, theirs)) == 10


def test_agreement_asks_for_the_pose():
    theirs = [result([12, 12, 0.5, 30, 30, 0.25, 40, 20, 0.1])]
    assert agreement([result([13, 11, 0.2, 28, 31, 0.25, 20, 20, 0.1])], theirs) == 1.0
    assert agreement([result([13, 11, 0.2, 20, 31, 0.25, 20, 20, 0.1])], theirs) == 0.0
