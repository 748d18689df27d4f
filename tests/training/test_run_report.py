"""What a run's report is made of: its data, its images, its notes, and what is said at the end."""

import collections
import json
import logging
import types

import coco_files
from reading_pages import Page

from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import sources
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.training import run_report

NAME = "<script>cat"


def test_a_report_of_files(tmp_path, caplog):
    folder = coco_files.write(tmp_path / "data", levels=(10, 20, 30))
    annotations = folder / "annotations.json"
    annotations.write_text(annotations.read_text().replace('"cat"', json.dumps(NAME)))
    config = coco_files.config_for(folder, tmp_path / "cache")
    config.data.val_annotations, config.data.val_images = config.data.train_annotations, config.data.train_images
    config.model.num_classes = 1
    (folder / "2.bmp").write_bytes(b"no image")
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        truth = sources.check(config)
        sources.dataset(config, "val"), sources.dataset(config, "train")
    assert caplog.text.count("coco_json val: ") == 3  # counts, the partial score, shared images: once each
    caplog.clear()
    index = coco_metrics.index(truth, ("bbox",))
    results = [{"image_id": 1, "category_id": 1, "bbox": [2, 2, 8, 6], "score": 0.75}]
    evaluation = types.SimpleNamespace(
        truth=index, results=results, metrics=coco_metrics.score_truth(index, results, ("bbox",))
    )
    run = tmp_path / "run"
    run.mkdir()
    (run / "model.keras").write_text("")
    (run / "log.jsonl").write_text('{"step": 1, "loss": 2.5}\n{"step": 2, "loss": 1.5}\nhalf a line')
    state = {"monitor": "val_bbox_AP", "best": 0.4, "best_step": 5, "evaluated_step": 9}
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        run_report.write(config, run, evaluation, state)
    page = Page((run / "report.html").read_text())
    assert page.figures["metrics"] == evaluation.metrics
    assert "The score is partial: 1 of 3 images cannot be read" in page.texts[""]
    assert "3 validation images are trained on too (first: 1.bmp)" in page.texts[""]
    assert "best box AP, 0.400 (best.keras), are of step 5." in page.texts[""]
    assert "Trained on 2 images with 2 objects." in page.texts["data"] and NAME in page.texts["data"]
    assert [row["image_id"] for row in page.figures["analysis"]["images"]] == [2, 3]
    images = [attrs for tag, attrs in page.tags if tag == "img"]
    assert [attrs["alt"].split()[0] for attrs in images] == ["3.bmp"]
    assert "No picture: it cannot be read." in page.texts["worst"]
    assert "model.keras" in page.texts["files"] and "best.keras" not in page.texts["files"]
    assert page.texts["course"].count("loss") >= 1
    assert f"report: {run / 'report.html'}" in caplog.text
    assert "box AP 0.337, AP50 0.337 (0 to 1)" in caplog.text  # of 101 recalls 34 are reached by one of three


def test_scenes_are_counted_as_files_are(tmp_path):
    config = Config()
    config.data.dataset, config.data.data_dir = "mrcnn_shapes", str(tmp_path)
    config.data.shapes = ShapesConfig(size=48, train_scenes=5, val_scenes=2, max_side=40)
    truth, counts = sources.ground_truth(config, "train"), sources.report(config, "train")
    rows = truth["annotations"]
    assert (counts.used_images, counts.used_annotations) == (counts.images, counts.annotations) == (5, len(rows))
    assert counts.per_category == dict(collections.Counter(row["category_id"] for row in rows))
    small = sum(row["area"] < 32**2 for row in rows)
    assert counts.sizes.get("small", 0) == small and counts.sizes.get("medium", 0) == len(rows) - small
    assert not sources.shared_images(config)
