"""The benchmark measures what it names: its stages put together are the model."""

import json
import pathlib
import sys

import forked
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf
from mask_rcnn_tf.benchmark import inference, scenes, timing, training
from mask_rcnn_tf.config import DetectionConfig

TOOL = pathlib.Path(__file__).parents[1] / "tools" / "benchmark.py"
TINY = {
    "num_classes": 3,
    "backbone.block": "basic",
    "backbone.stage_blocks": (1, 1, 1, 1),
    "backbone.stage_channels": (8, 8, 8, 8),
    "backbone.stem_channels": 8,
    "fpn.channels": 8,
    "rpn.channels": 8,
    "rpn.post_nms_top_n_test": 20,
    "rpn.post_nms_top_n_train": 20,
    "roi.samples": 16,
    "box_head.fc_channels": 16,
    "mask_head.channels": 8,
    "mask_head.num_convs": 1,
    "detection.max_detections": 10,
    "preprocess.short_side": 64,
    "preprocess.max_side": 96,
}


@pytest.fixture(scope="module")
def config():
    config = mask_rcnn_tf.load_config("mask_rcnn_r50_fpn")
    for name, value in TINY.items():
        section = config.model
        for part in name.split(".")[:-1]:
            section = getattr(section, part)
        setattr(section, name.split(".")[-1], value)
    return config


@pytest.fixture(scope="module")
def model(config):
    model = mask_rcnn_tf.MaskRCNN(config.model)
    scenes.spread_predictions(model, *model.preprocess(tf.constant(scenes.random_images(1, 64, 96))))
    return model


def test_stages_together_are_the_model(model):
    images = scenes.random_images(2, 64, 96, seed=1)
    state = {"images": tf.constant(images)}
    for stage in inference.stages(model):
        state.update(stage.run(state))
    expected = model({"image": state["normalized"], "image_shape": state["image_shape"]})
    assert expected["num_detections"].numpy().min() > 0
    for name, value in expected.items():
        np.testing.assert_allclose(state[name], value, atol=1e-4, err_msg=name)


def test_inference_lines(model):
    lines = list(inference.benchmark_inference(model, scenes.random_images(1, 64, 96), runs=2))
    stages = [*(stage.name for stage in inference.stages(model)), "paste", "total"]
    assert [line["stage"] for line in lines] == stages
    assert all(0 < line["min_s"] <= line["median_s"] <= line["max_s"] and line["runs"] == 2 for line in lines)
    total = lines[-1]
    assert total["images_per_s"] == pytest.approx(1 / total["median_s"], rel=0.01)
    assert total["peak_host_mb"] > 50 and 0 < total["detections"][0] <= 10 and 0 < total["proposals"][0] <= 20


def test_every_mask_of_a_batch_is_pasted_into_its_image():
    """A mask that is 1 everywhere covers the pixels of its box; rows of padding are not pasted."""
    boxes = np.zeros((2, 3, 4), np.float32)  # network pixels; images of 40 x 60 came from 80 x 120, a factor of 2
    boxes[0, :2] = [[2, 3, 12, 20], [0, 50, 40, 60]]
    boxes[1, :1] = [[30, 0, 40, 9]]
    detections = {"detection_boxes": boxes, "detection_masks": np.ones((2, 3, 28, 28), np.float32)}
    detections = {name: tf.constant(value) for name, value in detections.items()}
    detections["num_detections"] = tf.constant([2, 1])
    image_shapes, detection = tf.constant([[40, 60], [40, 60]]), DetectionConfig()
    pasted = inference.paste_all(detections, image_shapes, (80, 120), detection)
    assert [masks.shape for masks in pasted] == [(2, 80, 120), (1, 80, 120)]
    for masks, rows in zip(pasted, 2 * boxes.astype(int), strict=True):
        for mask, (y1, x1, y2, x2) in zip(masks, rows, strict=False):
            expected = np.zeros((80, 120), np.uint8)
            expected[y1:y2, x1:x2] = 1
            np.testing.assert_array_equal(mask, expected)


def test_training_lines(model, config):
    batch = scenes.labelled_batch(model, 2, 64, 96, objects=3)
    lines = list(training.benchmark_training(model, config, batch, runs=1))
    assert [line["stage"] for line in lines] == ["forward", "forward_backward", "optimizer", "step"]
    # Every ground truth box is a RoI itself, and at most a quarter of the 16 is positive.
    assert all(3 <= count <= 4 for count in lines[-1]["positive_rois"])
    assert all(np.isfinite(value) for value in lines[-1]["losses"].values())


def test_scenes_fill_their_boxes(model):
    batch = scenes.labelled_batch(model, 1, 64, 96, objects=4, mask_size=40)
    inside = (batch["gt_masks"].numpy() > 0).mean((2, 3))
    np.testing.assert_allclose(inside, np.pi / 4, atol=0.02)
    boxes = batch["gt_boxes"].numpy()
    assert (boxes[..., :2] >= 0).all() and (boxes[..., 2:] <= batch["image_shape"].numpy()[0]).all()


def test_summary_is_the_median_of_what_was_timed():
    calls = []
    seconds, result = timing.measure(lambda: calls.append(1) or len(calls), runs=3, warm_up=2)
    assert (len(seconds), len(calls), result) == (3, 5, 5)
    figures = timing.summary([0.4, 0.1, 0.2])
    assert figures == {"median_s": 0.2, "min_s": 0.1, "max_s": 0.4, "spread": 1.5, "runs": 3}


def test_tool_writes_json_lines_on_stdout(tmp_path):
    flags = [f"--config.model.{name}={value}" for name, value in TINY.items() if not name.startswith("preprocess")]
    output = tmp_path / "new" / "lines.jsonl"
    size = ["--height=64", "--width=96", "--runs=1", "--config.model.mask_head.enabled=false", f"--output={output}"]
    command = [sys.executable, str(TOOL), "--config=mask_rcnn_r50_fpn", *flags, *size]
    done = forked.run(command)
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert (
        lines[-1]["stage"] == "total" and lines[-1]["height"] == 64 and "mask_head" not in {x["stage"] for x in lines}
    )
    assert output.read_text() == done.stdout
