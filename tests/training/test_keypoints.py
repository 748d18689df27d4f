"""Runs with keypoints: what the data says reaches the model, and a run of masks and keypoints from end to end."""

import importlib.util
import json
import pathlib

import numpy as np
import pytest

from mask_rcnn_tf import predict_images
from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import Config, KeypointHeadConfig, person_keypoints
from mask_rcnn_tf.data import pipeline, shapes, sources
from mask_rcnn_tf.evaluation.files import load_model
from mask_rcnn_tf.training.fit import resolve, train
from mask_rcnn_tf.training.keypoints import resolve_keypoints

PATH = pathlib.Path(__file__).with_name("tiny_config.py")


def tiny_config(**train_fields):
    spec = importlib.util.spec_from_file_location("tiny_config", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    for name, value in train_fields.items():
        setattr(config.train, name, value)
    return config


def with_data(monkeypatch, found, head=None):
    monkeypatch.setattr(sources, "keypoints", lambda config: found)
    config = Config()
    config.model.keypoint_head = head or KeypointHeadConfig(enabled=True)
    return config


def test_the_data_says_what_the_keypoints_are(monkeypatch):
    found = KeypointSet(3, ("nose", "left_eye", "right_eye"), ((0, 1),), (0.1, 0.2, 0.2))
    config = with_data(monkeypatch, found, person_keypoints())
    config.model.keypoint_head.channels = 64
    resolve_keypoints(config)
    assert config.model.keypoint_head == KeypointHeadConfig(
        enabled=True,
        num_keypoints=3,
        channels=64,
        names=found.names,
        skeleton=found.skeleton,
        flip_pairs=((1, 2),),
        sigmas=found.sigmas,
    )
    config.data.keypoint_sigmas, config.data.keypoint_flip_pairs = (0.3, 0.3, 0.3), ((0, 1),)
    resolve_keypoints(config)
    assert config.model.keypoint_head.sigmas == (0.3, 0.3, 0.3) and config.model.keypoint_head.flip_pairs == ((0, 1),)


def test_data_that_names_nothing_leaves_the_models_own(monkeypatch):
    config = with_data(monkeypatch, KeypointSet(17), person_keypoints())
    resolve_keypoints(config)
    assert config.model.keypoint_head == person_keypoints()  # and pycocotools has their sigmas


def test_without_a_head_nothing_is_asked(monkeypatch):
    config = with_data(monkeypatch, KeypointSet(), KeypointHeadConfig())
    resolve_keypoints(config)
    assert config.model.iou_types == ("bbox", "segm")


@pytest.mark.parametrize(
    ("found", "sigmas", "message"),
    [
        (KeypointSet(), (), "keypoint_head.enabled is True, and the data has no keypoints; allowed: False"),
        (KeypointSet(2), (), r"config.data.keypoint_sigmas is \(\); allowed: 2 numbers, one a keypoint"),
        (KeypointSet(17), (0.1, 0.2), r"config.data.keypoint_sigmas is \(0.1, 0.2\); allowed: 17 numbers"),
    ],
)
def test_what_is_missing_is_one_line(monkeypatch, found, sigmas, message):
    config = with_data(monkeypatch, found)
    config.data.keypoint_sigmas = sigmas
    with pytest.raises(ValueError, match=message) as error:
        resolve_keypoints(config)
    assert "\n" not in str(error.value)


def run_config():
    config = tiny_config(steps=4, evaluate_every=4, checkpoint_every=4, summary_every=2)
    config.model.keypoint_head = KeypointHeadConfig(enabled=True, num_convs=1, channels=8, pool_size=7)
    config.data.shapes.num_keypoints, config.data.keypoint_sigmas = 4, (0.1,) * 4
    return config


def test_a_mirror_exchanges_left_and_right_by_their_names():
    """The same batches with mirror pairs of the names and with pairs that are written out; others without."""
    config = run_config()
    first = next(pipeline.train_dataset(config).as_numpy_iterator())
    config.data.keypoint_flip_pairs = ((1, 3),)  # top, right, bottom, left
    np.testing.assert_array_equal(
        first["gt_keypoints"], next(pipeline.train_dataset(config).as_numpy_iterator())["gt_keypoints"]
    )
    config.data.keypoint_flip_pairs = ((0, 2),)
    other = next(pipeline.train_dataset(config).as_numpy_iterator())["gt_keypoints"]
    assert np.any(first["gt_keypoints"] != other)
    seen = first["gt_keypoints"][..., 1, 2] * first["gt_keypoints"][..., 3, 2] > 0
    assert seen.any() and (first["gt_keypoints"][..., 1, 0] >= first["gt_keypoints"][..., 3, 0])[seen].all()


def test_a_run_of_masks_and_keypoints(tmp_path):
    config = run_config()
    assert resolve(config).model.keypoint_head.names == ("top", "right", "bottom", "left")
    train(config, tmp_path)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert all(np.isfinite(line["keypoint"]) for line in lines if "keypoint" in line) and "keypoint" in lines[0]
    metrics = json.loads(pathlib.Path(tmp_path, "metrics.json").read_text())
    assert {"bbox", "segm", "keypoints"} <= set(metrics) and 0 <= metrics["keypoints"]["AP"] <= 1
    model = load_model(tmp_path / "model.keras")
    assert model.config.keypoint_head.flip_pairs == ((1, 3),)
    scene = shapes.draw_scene(config.data.shapes, "val", 0)["image"]
    (small,), (large,) = (predict_images(model, [np.kron(scene, np.ones((n, n, 1), np.uint8))]) for n in (1, 2))
    assert small["detection_keypoints"].shape == (len(small["detection_boxes"]), 4, 3)
    both = min(len(small["detection_boxes"]), len(large["detection_boxes"]))
    assert both and (small["detection_keypoints"][..., 2] <= 1).all()
    for found, n in ((small, 1), (large, 2)):  # in the pixels of the image, inside the boxes
        boxes, points = found["detection_boxes"], found["detection_keypoints"][..., :2]
        low, high = boxes[:, None, [1, 0]] - 1e-3, boxes[:, None, [3, 2]] + n
        assert ((points >= low) & (points <= high)).all()
