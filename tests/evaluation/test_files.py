"""Scoring a model on files: what is scored is known, and judged, before anything is predicted."""

import json

import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics, files

SIGMAS = (0.05, 0.1, 0.2)
POINTS = [[20, 20, 2, 30, 20, 2, 20, 30, 2], [60, 40, 2, 70, 40, 2, 60, 50, 2]]


def config_with_keypoints():
    config = ModelConfig(num_classes=1)
    config.mask_head.enabled = False
    config.keypoint_head.enabled = True
    config.keypoint_head.num_keypoints, config.keypoint_head.sigmas = 3, SIGMAS
    return config


@pytest.fixture
def data(tmp_path):
    """A COCO file of one image with two objects of three keypoints."""
    Image.fromarray(np.full((80, 100, 3), 255, np.uint8)).save(tmp_path / "a.png")
    row = {"image_id": 1, "category_id": 1, "iscrowd": 0, "num_keypoints": 3}
    boxes = [[15, 15, 20, 20], [55, 35, 20, 20]]
    rows = [row | {"id": i + 1, "bbox": boxes[i], "area": 400, "keypoints": POINTS[i]} for i in range(2)]
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": 80, "width": 100}],
        "annotations": rows,
        "categories": [{"id": 1, "name": "corner", "keypoints": ["a", "b", "c"]}],
    }
    (tmp_path / "a.json").write_text(json.dumps(truth))
    return tmp_path, truth


def predict(images):
    """The truth, the keypoints three pixels off in x."""
    del images
    keypoints = np.asarray(POINTS, np.float32).reshape(2, 3, 3) + [3, 0, 0]
    return [
        {
            "detection_boxes": np.array([[15, 15, 35, 35], [35, 55, 55, 75]], np.float32),
            "detection_scores": np.array([0.9, 0.8], np.float32),
            "detection_classes": np.array([1, 1]),
            "detection_keypoints": keypoints,
        }
    ]


def test_the_truth_is_loaded_once_and_the_models_sigmas_count(data, monkeypatch):
    folder, truth = data
    loaded, real = [], coco_metrics.load_truth
    monkeypatch.setattr(coco_metrics, "load_truth", lambda *a, **o: loaded.append(a[1]) or real(*a, **o))
    arguments = (predict, str(folder / "a.json"), str(folder), config_with_keypoints())
    metrics, results, failures = files.evaluate_files(*arguments, verbose=0)
    assert loaded == [("bbox", "keypoints")] and not failures and metrics["bbox"]["AP"] == pytest.approx(1)
    expected = coco_metrics.score(truth, results, ("keypoints",), sigmas=SIGMAS)["keypoints"]
    assert metrics["keypoints"] == expected and 0 < expected["AP"] < 1
    other, _, _ = files.evaluate_files(*arguments, sigmas=(1.0, 1.0, 1.0), verbose=0)
    assert other["keypoints"]["AP"] == pytest.approx(1)
    assert files.score_results(truth, results, config_with_keypoints())["keypoints"] == expected
    without = [{key: value for key, value in row.items() if key != "keypoints"} for row in results]
    assert "keypoints" not in files.score_results(truth, without, config_with_keypoints())


def test_of_many_unreadable_images_the_first_are_named():
    lines = files.partial_score([f"{number}.png: none" for number in range(5000)]).splitlines()
    assert lines[0] == "the score is partial: 5000 images cannot be read, their objects count as not found"
    assert lines[1] == "  0.png: none" and lines[-1] == "  and 4980 more" and len(lines) == 22


def test_a_wrong_number_of_sigmas_is_known_before_anything_is_predicted(data):
    folder, _ = data
    with pytest.raises(ValueError, match="sigmas has 2 values, but keypoints has 3 joints"):
        files.evaluate_files(None, str(folder / "a.json"), str(folder), config_with_keypoints(), sigmas=(0.1, 0.2))
