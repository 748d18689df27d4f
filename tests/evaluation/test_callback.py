"""The callback inside a real `fit`, on a Keras model that finds a known part of the truth."""

import json
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf import evaluation
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import callback, coco_metrics

BOXES = {11: [[10.0, 20, 50, 80]], 12: [[30.0, 10, 60, 60], [5, 5, 25, 45]]}  # yxyx, original pixels
CLASSES = {11: [1], 12: [2, 1]}
IDS = (4, 30)


def ground_truth():
    annotations = []
    for image_id, boxes in BOXES.items():
        for (y1, x1, y2, x2), number in zip(boxes, CLASSES[image_id], strict=True):
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": image_id,
                    "category_id": IDS[number - 1],
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": 0,
                    "segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]],
                }
            )
    images = [{"id": image_id, "height": 64, "width": 100} for image_id in BOXES]
    return {"images": images, "annotations": annotations, "categories": [{"id": i, "name": f"c{i}"} for i in IDS]}


@keras.saving.register_keras_serializable("test_callback")
class Finder(keras.Model):
    """Finds all boxes on the canvas (twice the original's size) once it was trained for an epoch, before that half."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.config = ModelConfig(num_classes=2, category_ids=IDS)
        self.epochs = self.add_weight(shape=(), initializer="zeros", name="epochs")
        self.built = True  # as MaskRCNN

    def call(self, inputs):
        return inputs["image"]

    def train_step(self, data):
        self.epochs.assign_add(1.0)
        return {"loss": self.epochs}

    def predict_step(self, data):
        (data,) = data  # of `predict_on_batch`
        assert not [name for name in data if name.startswith("gt_")]
        boxes = tf.constant([BOXES[11] + [[0.0] * 4], BOXES[12]]) * 2
        classes = tf.constant([CLASSES[11] + [0], CLASSES[12]])
        rows = tf.cast(data["image_id"] - 11, tf.int32)
        found = tf.where(self.epochs > 1.5, [1, 2], [1, 1])
        return {
            "detection_boxes": tf.gather(boxes, rows),
            "detection_scores": tf.fill([tf.size(rows), 2], 0.9),
            "detection_classes": tf.gather(classes, rows),
            "num_detections": tf.gather(found, rows),
            "detection_masks": tf.ones([tf.size(rows), 2, 28, 28]),
        }


def dataset():
    examples = {
        "image": np.zeros((2, 128, 256, 3), np.float32),
        "image_shape": np.array([[128, 200]] * 2, np.int32),
        "original_shape": np.array([[64, 100]] * 2, np.int32),
        "image_id": np.array([12, 11], np.int64),
        "gt_boxes": np.zeros((2, 5, 4), np.float32),
    }
    return tf.data.Dataset.from_tensor_slices(examples).batch(1)


def fit(model, epochs, callbacks):
    model.compile()
    steps = tf.data.Dataset.from_tensors({"image": np.zeros((1, 8, 8, 3), np.float32)})
    return model.fit(steps, epochs=epochs, callbacks=callbacks, verbose=0).history


def test_evaluate():
    model = Finder()
    metrics, results = callback.evaluate(model, dataset(), ground_truth(), verbose=0)
    assert [(result["image_id"], result["category_id"]) for result in results] == [(12, 30), (11, 4)]
    np.testing.assert_allclose(results[1]["bbox"], [20, 10, 60, 40], atol=1e-4)
    assert metrics == coco_metrics.score(ground_truth(), results)
    # Category 4: one of two found, recalls 0 to 0.5 of 101 have precision 1; category 30: found.
    assert metrics["bbox"]["AP"] == metrics["segm"]["AP"] == pytest.approx((51 / 101 + 1) / 2)


def test_figures_reach_history_and_checkpoint(tmp_path):
    scoring = evaluation.CocoEvaluation(
        dataset(), ground_truth(), IDS, output=tmp_path / "results_{epoch}.json", verbose=0
    )
    best = keras.callbacks.ModelCheckpoint(
        tmp_path / "best_{epoch}.weights.h5",
        monitor="val_segm_AP",
        mode="max",
        save_best_only=True,
        save_weights_only=True,
    )
    history = fit(Finder(), 3, [scoring, best])
    np.testing.assert_allclose(history["val_segm_AP"], [(51 / 101 + 1) / 2, 1, 1])
    assert {"val_bbox_AP", "val_bbox_AR100", "val_segm_AP50", "loss"} <= set(history)
    assert sorted(path.name for path in tmp_path.glob("*.h5")) == ["best_1.weights.h5", "best_2.weights.h5"]
    written = json.loads((tmp_path / "results_3.json").read_text())
    assert written == scoring.results
    assert coco_metrics.score(ground_truth(), written) == scoring.metrics


def test_every_and_prefix():
    scoring = evaluation.CocoEvaluation(
        dataset(), ground_truth(), iou_types=("bbox",), every=2, prefix="", max_dets=(1, 5), verbose=0
    )
    history = fit(Finder(), 4, [scoring])
    np.testing.assert_allclose(history["bbox_AP"], [1, 1])
    assert "bbox_AR5" in history and not any("segm" in name for name in history)


def test_figures_of_lvis():
    """Image 11 was not searched for category 30, image 12 lists none as absent: what the truth says is found counts."""
    truth = ground_truth()
    for image, absent in zip(truth["images"], ([], [4]), strict=True):
        image |= {"neg_category_ids": absent, "not_exhaustive_category_ids": []}
    for category, frequency in zip(truth["categories"], "rf", strict=True):
        category["frequency"] = frequency
    scoring = evaluation.CocoEvaluation(dataset(), truth, verbose=0)
    history = fit(Finder(), 1, [scoring])
    for kind in ("bbox", "segm"):
        figures = [history[f"val_{kind}_{name}"] for name in ("AP", "APr", "APc", "APf", "AR300")]
        np.testing.assert_allclose(np.ravel(figures), [(51 / 101 + 1) / 2, 51 / 101, -1, 1, 0.75])
    assert coco_metrics.score(truth, scoring.results) == scoring.metrics


def test_whole_images_by_a_predictor_of_the_model():
    """As test-time augmentation needs them: one predictor a model, which finds image 12's boxes in every image."""
    made = []

    def predict(images):
        assert len(images) == 1 and images[0].dtype == np.uint8 and images[0].shape == (64, 100, 3)
        boxes, classes = np.float32(BOXES[12]), np.int32(CLASSES[12])
        masks = np.ones((2, 28, 28), np.float32)
        return [{"detection_boxes": boxes, "detection_scores": np.float32([0.9, 0.8]), "detection_classes": classes,
                 "detection_masks": masks}]  # fmt: skip

    images = tf.data.Dataset.from_tensor_slices({"image": np.zeros((2, 64, 100, 3), np.uint8), "image_id": [12, 11]})
    scoring = evaluation.CocoEvaluation(
        images, ground_truth(), IDS, verbose=0, make_predictor=lambda model: made.append(model) or predict
    )
    model = Finder()
    history = fit(model, 2, [scoring])
    assert made == [model]
    np.testing.assert_allclose([result["bbox"] for result in scoring.results[2:]], [[10, 30, 50, 30], [5, 5, 40, 20]])
    # Category 4: its better box is right and found, the other is not; category 30: one right, one wrong of a score.
    expected = coco_metrics.score(ground_truth(), scoring.results)
    assert history["val_bbox_AP"] == [expected["bbox"]["AP"]] * 2 and 0 < expected["bbox"]["AP"] < 1


def test_bad_input():
    with pytest.raises(ValueError, match="every is 0; allowed"):
        evaluation.CocoEvaluation(dataset(), ground_truth(), every=0)
    with pytest.raises(ValueError, match="dataset is infinite"):
        callback.evaluate(Finder(), dataset().repeat(), ground_truth())
    with pytest.raises(ValueError, match="results have category_id 7; the ground truth has no such"):
        callback.evaluate(Finder(), dataset(), ground_truth(), category_ids=(4, 7), verbose=0)


def test_progress_bar(capsys, monkeypatch):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    callback.predict_results(Finder(), dataset(), IDS)
    assert "2/2" in capsys.readouterr().out


def test_replicas_do_not_repeat_results():
    """Keras runs `predict_on_batch` on every replica and joins the outputs."""

    class TwoReplicas(Finder):
        def predict_on_batch(self, x):
            outputs = super().predict_on_batch(x)
            return {name: np.concatenate([value, value]) for name, value in outputs.items()}

    _, results = callback.evaluate(TwoReplicas(), dataset(), ground_truth(), verbose=0)
    assert len(results) == 2


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"segmentation": {"size": [64, 100], "counts": [10, 6395]}}, "RLE counts do not add up .*to 6405, not 6400"),
        ({"segmentation": [[1, 1, float("nan"), 4, 5, 6]]}, "not finite"),
        ({"category_id": 0}, "unknown category id: 0; allowed"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_training(change, message):
    truth = ground_truth()
    truth["annotations"][0] |= change
    with pytest.raises(ValueError, match=message):
        evaluation.CocoEvaluation(dataset(), truth)


def test_sigmas_of_another_number_are_refused_before_training():
    truth = ground_truth()
    for row in truth["annotations"]:
        row |= {"keypoints": [1, 1, 2] * 3, "num_keypoints": 3}
    with pytest.raises(ValueError, match="sigmas"):
        evaluation.CocoEvaluation(dataset(), truth, iou_types=("keypoints",), sigmas=(0.1, 0.2))
