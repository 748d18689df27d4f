"""What is suggested for data, and the preset that is written of it."""

import dataclasses
import json
import sys

import coco_files
import forked
import numpy as np
import pytest

from mask_rcnn_tf.config import to_dict
from mask_rcnn_tf.data import transforms
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import data_statistics, suggestion
from mask_rcnn_tf.training.data_statistics import Statistics


def statistics(sizes=((256, 256),), sides=(20.0,), objects=10, num_images=100, *, has_masks=True, num_keypoints=0):
    """Images of some sizes in turn, each with boxes of some (h, w) or squares of some sides in turn."""
    images = np.array([sizes[i % len(sizes)] for i in range(num_images)], float)
    boxes = np.array([np.broadcast_to(sides[i % len(sides)], 2) for i in range(num_images * objects)], float)
    return Statistics(images, boxes, np.full(num_images, objects), has_masks, num_keypoints)


def config_of(found, **arguments):
    return suggestion.configured(suggestion.suggest(found, **arguments))


def test_small_objects_are_enlarged_as_far_as_pixels_allow():
    config = config_of(statistics(sides=(10.0,)))
    assert config.model.preprocess.short_side == 480  # 512 are more pixels than 384 x 640
    assert config_of(statistics(sides=(10.0,)), pixels=10**6).model.preprocess.short_side == 512
    assert config_of(statistics(sides=(5.0,)), pixels=10**6).model.preprocess.short_side == 512  # twice, not four times


def test_large_images_of_large_objects_are_shrunk():
    preprocess = config_of(statistics(((3000, 4000),), (900.0,))).model.preprocess
    assert (preprocess.short_side, preprocess.max_side) == (256, 352)
    preprocess = config_of(statistics(((3000, 4000),), (100.0,))).model.preprocess
    assert 416 <= preprocess.short_side <= 448 and preprocess.short_side * preprocess.max_side <= 1.1 * 384 * 640


@pytest.mark.parametrize(
    ("sizes", "any_direction", "count"),
    [
        (((200, 200),), False, 1),
        (((200, 300),), False, 2),
        (((200, 200), (200, 300)), False, 2),  # square ones are on the canvas of the lying ones
        (((200, 300),) * 30 + ((300, 200),), False, 2),  # the one that stands is not worth a third more pixels
        (((200, 300),), True, 1),  # turned
        (((300, 200), (200, 300)), False, 1),
    ],
)
def test_every_image_has_a_canvas_and_kinds_are_mixed(sizes, any_direction, count):
    config = config_of(statistics(sizes), any_direction=any_direction)
    transforms.check_canvases(config)
    canvases = config.data.canvases
    assert len(canvases) == count and (count == 2 or canvases[0][0] == canvases[0][1])
    assert all(side % 32 == 0 for canvas in canvases for side in canvas)
    assert max(height * width for height, width in canvases) <= 1.1 * 384 * 640


def test_anchors_follow_the_boxes():
    config = config_of(statistics(((256, 256),), (20.0, 40.0, 60.0, 80.0, 120.0)))
    sizes = [size for (size,) in config.model.anchors.sizes]
    assert sizes == sorted(sizes) and config.model.anchors.ratios == (1.0,)
    assert all(3 * stride <= size <= 8 * stride for size, stride in zip(sizes, (4, 8, 16, 32, 64), strict=True))
    small = config_of(statistics(((256, 256),), tuple(np.geomspace(20.0, 30.0, 40)))).model.anchors.sizes
    assert [size for (size,) in small][1:] == [24.0, 48.0, 96.0, 192.0]  # each as small as its level's cells allow
    long = config_of(statistics(((256, 256),), ((10.0, 60.0), (60.0, 10.0)))).model.anchors.ratios
    assert long == (0.25, 0.5, 1.0, 2.0, 4.0)


def test_fitting_share_by_hand():
    boxes = np.array([[10.0, 10.0], [10.0, 20.0], [40.0, 10.0]])
    assert suggestion.fitting_share(boxes, (10.0,), (1.0,)) == pytest.approx(1 / 3)  # IoU 1, 1/2, 1/4
    # 20 * 10 in the 14.14 x 14.14 of area 200: 141.4 / 258.6 = 0.547
    assert suggestion.fitting_share(boxes[1:2], (14.142,), (1.0,)) == 0.0
    assert suggestion.fitting_share(boxes[1:2], (14.142,), (0.5,)) == 1.0


def test_nothing_of_a_full_image_is_dropped():
    config = config_of(statistics(objects=180))
    assert config.data.max_gt == 180 <= config.model.detection.max_detections == config.eval.max_dets[-1]
    assert config.model.rpn.post_nms_top_n_test >= 540
    few = config_of(statistics(objects=2))
    assert few.model.roi.samples == 32 and few.eval.max_dets == (1, 10, 100) and few.data.max_gt == 8


@pytest.mark.parametrize(("num_images", "seen"), [(20, 8000), (200, 12_000), (5000, 24_000)])
def test_length_of_a_run(num_images, seen):
    train = config_of(statistics(num_images=num_images)).train
    assert seen <= train.steps * train.batch_size <= seen + 100 * train.batch_size
    assert train.evaluate_every <= train.steps and train.checkpoint_every <= train.evaluate_every


@pytest.mark.parametrize(("num_images", "sides"), [(1200, (216, 232, 256)), (1201, (256,))])
def test_sizes_vary_where_images_are_seen_again_and_again(num_images, sides):
    assert config_of(statistics(((256, 256),), num_images=num_images)).data.train_short_sides == sides


def test_tasks_are_those_of_the_annotations():
    config = config_of(statistics(has_masks=False, num_keypoints=3), any_direction=True)
    assert not config.model.has_masks and config.model.keypoint_head.num_keypoints == 3 and config.data.right_angles
    assert config.model.has_keypoints and not config_of(statistics()).model.has_keypoints
    without = dataclasses.replace(statistics(num_keypoints=2), has_sigmas=False)
    assert config_of(without).data.keypoint_sigmas == (0.05, 0.05) and config.data.keypoint_sigmas == ()


def test_the_preset_gives_the_same(tmp_path):
    settings = suggestion.suggest(statistics(((200, 300),), (9.0, 30.0), has_masks=False))
    about = 'a "file"\n""" + import os; \\ é'
    path = tmp_path / "mine.py"
    path.write_text(suggestion.as_preset(settings, about))
    assert to_dict(load_config(str(path))) == to_dict(suggestion.configured(settings))
    assert all(f"# {setting.reason}" in path.read_text() for setting in settings)


def test_statistics_of_a_file(tmp_path):
    square = [[1, 1, 21, 1, 21, 11, 1, 11]]
    rows = [
        {"image_id": 7, "category_id": 1, "bbox": [1, 1, 20, 10], "segmentation": square},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 5, 8], "segmentation": [[0, 0, 5, 0, 5, 8, 0, 8]]},
        {"image_id": 9, "category_id": 1, "bbox": [0, 0, 50, 50], "iscrowd": 1, "segmentation": square},
        {"image_id": 9, "category_id": 1, "bbox": [5, 5, 10, 10], "segmentation": [[5, 5, 15, 5, 15, 15, 5, 15]]},
    ]
    images = [
        {"id": key, "file_name": f"{key}.png", "height": h, "width": w}
        for key, h, w in ((7, 50, 100), (8, 9, 9), (9, 60, 60))
    ]
    coco = {"images": images, "categories": [{"id": 1, "name": "a"}]}
    coco["annotations"] = [row | {"id": number} for number, row in enumerate(rows, 1)]
    path = tmp_path / "a.json"
    path.write_text(json.dumps(coco))
    found = data_statistics.read(path)
    np.testing.assert_array_equal(found.images, [(50, 100), (60, 60)])
    np.testing.assert_array_equal(found.boxes, [(10, 20), (8, 5), (10, 10)])
    assert found.counts.tolist() == [1, 2] and found.has_masks and found.num_keypoints == 0
    assert found.short_side == 55 and found.pixels == 5000 + 3600
    np.testing.assert_allclose(found.boxes_at(100), [(20, 40), (8 / 0.6, 5 / 0.6), (10 / 0.6, 10 / 0.6)])
    np.testing.assert_allclose(found.boxes_at(100, 100)[0], (10, 20))
    coco["categories"][0]["keypoints"] = ["head", "tail"]
    path.write_text(json.dumps(coco))
    assert data_statistics.read(path).num_keypoints == 2 and not data_statistics.read(path).has_sigmas
    coco["annotations"] = []
    path.write_text(json.dumps(coco))
    with pytest.raises(ValueError, match="has no object that can be trained on"):
        data_statistics.read(path)


def test_the_tool_writes_what_it_prints(tmp_path, capsys):
    data = coco_files.write(tmp_path / "data")
    command = [sys.executable, "tools/suggest.py", "--annotations", str(data / "annotations.json")]
    command += ["--output", str(tmp_path / "mine.py")]
    done = forked.run(command)
    assert done.returncode == 0 and "model.anchors.sizes" in done.stdout, done.stderr
    assert load_config(str(tmp_path / "mine.py")).name == "suggested"
    again = forked.run(command)
    assert again.returncode == 1 and "exists; allowed: a new file" in again.stderr
