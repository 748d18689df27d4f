"""tools/write_shapes.py: scenes as files that other programs read."""

import dataclasses
import json
import pathlib
import sys

import forked
import numpy as np
import pytest
from PIL import Image
from pycocotools import coco

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.coco.keypoints import keypoint_set
from mask_rcnn_tf.data import shapes
from mask_rcnn_tf.presets import load_config

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "write_shapes.py"


def test_files_hold_the_scenes(tmp_path):
    command = [sys.executable, str(TOOL), "--split=val", f"--output={tmp_path / 'scenes'}", "--count=2"]
    forked.run(command, check=True)
    truth = coco.COCO(tmp_path / "scenes" / "annotations.json")
    options = load_config("mask_rcnn_shapes").data.shapes
    assert [image["file_name"] for image in truth.imgs.values()] == ["val_000001.png", "val_000002.png"]
    assert len(truth.cats) == 6
    for index, image in enumerate(truth.imgs.values()):
        scene = shapes.draw_scene(options, "val", index)
        written = np.asarray(Image.open(tmp_path / "scenes" / image["file_name"]))
        np.testing.assert_array_equal(written, scene["image"])
        annotations = truth.imgToAnns[image["id"]]
        assert [item["category_id"] for item in annotations] == scene["classes"].tolist()
        for item, mask in zip(annotations, scene["masks"], strict=True):
            np.testing.assert_array_equal(truth.annToMask(item), mask)
            assert item["area"] == mask.sum() and "keypoints" not in item


def test_keypoints_are_written_as_coco_has_them(tmp_path):
    command = [sys.executable, str(TOOL), f"--output={tmp_path / 'scenes'}", "--count=2", "--keypoints=5"]
    forked.run(command, check=True)
    truth = json.loads((tmp_path / "scenes" / "annotations.json").read_text())
    read = keypoint_set(reader.read_annotations(tmp_path / "scenes" / "annotations.json"))
    assert read.names == ("top", "right", "bottom", "left", "centre") and read.flip_pairs == ((1, 3),)
    assert read.skeleton == ((4, 0), (4, 1), (4, 2), (4, 3)) and read.sigmas == (0.05,) * 5
    options = dataclasses.replace(load_config("mask_rcnn_shapes").data.shapes, num_keypoints=5)
    scenes = [shapes.draw_scene(options, "val", index) for index in range(2)]
    expected = np.concatenate([scene["keypoints"] for scene in scenes])
    written = np.reshape([row["keypoints"] for row in truth["annotations"]], (-1, 5, 3))
    assert {row["num_keypoints"] for row in truth["annotations"]} <= set(range(6)) and (written[..., 2] == 0).any()
    np.testing.assert_array_equal(written[..., 2], expected[..., 2])
    np.testing.assert_array_equal(written[..., :2], np.where(written[..., 2:] > 0, expected[..., :2] - 0.5, 0))


def test_the_same_as_the_cached_dataset(tmp_path):
    config = load_config("mask_rcnn_shapes")
    config.data.data_dir = str(tmp_path / "cache")
    config.data.shapes.train_scenes, config.data.shapes.val_scenes = 1, 2
    shapes.write_folder(config, "val", tmp_path / "scenes")
    written = json.loads((tmp_path / "scenes" / "annotations.json").read_text())
    assert written == json.loads(json.dumps(shapes.ground_truth(config, "val")))


def test_errors(tmp_path):
    config = load_config("mask_rcnn_shapes")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("")
    with pytest.raises(ValueError, match="it is not empty"):
        shapes.write_folder(config, "val", tmp_path / "full", 1)
    with pytest.raises(ValueError, match="cannot be written"):
        shapes.write_folder(config, "val", tmp_path / "full" / "file" / "sub", 1)
    with pytest.raises(ValueError, match="count is 201; allowed: 1 to 200"):
        shapes.write_folder(config, "val", tmp_path / "new", 201)
    assert not (tmp_path / "new").exists()
