"""Keypoints from COCO to LabelMe and YOLO and back; LabelMe's points that are of no object or of several."""

import json

import numpy as np
import pytest
import yaml
from converting import check, mask, photo, read, rows, write
from pycocotools import mask as coco_mask

from mask_rcnn_tf.conversion import formats
from mask_rcnn_tf.conversion.labelled import Options

JOINTS = ["nose", "left eye", "right eye"]
POLYGON = [[2.5, 3.25, 20, 3, 21.125, 19, 2, 18]]
SKELETON = "note: 1 categories have lines between keypoints (a skeleton), which are not written"
PARTS = [[30, 3, 40, 3, 40, 9, 30, 9], [30, 20, 44, 20, 44, 33, 30, 33]]
PLACES = [  # of a polygon, of parts, of an RLE, of a box, of what has none
    (POLYGON, [5, 6, 2, 7.25, 8.5, 1, 0, 0, 0]),
    (PARTS, [31, 4, 1, 32, 21, 2, 39, 8.125, 2]),
    ("rle", [0, 0, 0, 12, 30, 1, 0, 0, 0]),
    (None, [45, 35, 2, 49, 39, 2, 0, 0, 2]),
    ([[40, 12, 48, 12, 48, 18]], None),
]


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "data/a.jpg", 50, 40)
    drawn = np.zeros((40, 50), np.uint8, order="F")
    drawn[25:38, 5:19:2] = 1
    encoded = coco_mask.encode(drawn)
    annotations = []
    for number, (segmentation, joints) in enumerate(PLACES):
        found = {"size": [40, 50], "counts": encoded["counts"].decode()} if segmentation == "rle" else segmentation
        row = {"id": number + 1, "image_id": 1, "category_id": 1 + number // 4, "iscrowd": 0, "bbox": [40, 30, 9, 9]}
        if found:
            runs = found if isinstance(found, dict) else coco_mask.merge(coco_mask.frPyObjects(found, 40, 50))
            row |= {"segmentation": found, "bbox": coco_mask.toBbox(runs).tolist()}
        annotations.append(row | ({"keypoints": joints} if joints else {}))
    categories = [{"id": 1, "name": "Hund", "keypoints": JOINTS, "skeleton": [[1, 2]]}, {"id": 2, "name": "Zaun"}]
    images = [{"id": 1, "file_name": "a.jpg", "height": 40, "width": 50}]
    write(tmp_path / "a.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def there_and_back(folder, target):
    """(truth, what was read again, what the way there says, what the way back says)."""
    options = Options(images=folder / "data")
    there = formats.convert("coco", str(folder / "a.json"), target, str(folder / "out"), options)
    source = target.removesuffix("_pose")
    back = formats.convert(source, str(folder / "out"), "coco", str(folder / "back.json"), Options())
    found = json.loads((folder / "back.json").read_text())
    check(found)
    return json.loads((folder / "a.json").read_text()), found, there, back


def by_name(coco, row):
    """{name: (x, y, v)} of the keypoints of a row that are in the image."""
    names = next(entry.get("keypoints") for entry in coco["categories"] if entry["id"] == row["category_id"])
    if not row.get("keypoints"):
        return {}
    places = np.reshape(row["keypoints"], (-1, 3)).tolist()
    return {name: tuple(place) for name, place in zip(names, places, strict=True) if place[2]}


def same_keypoints(truth, found, prefix=""):
    before, after = rows(truth, "a.jpg"), rows(found, f"{prefix}a.jpg")
    assert len(before) == len(after) == len(PLACES)
    for first, second in zip(before, after, strict=True):
        told, heard = by_name(truth, first), by_name(found, second)
        assert set(told) == set(heard)
        for name, place in told.items():
            np.testing.assert_allclose(heard[name], place, atol=1e-4)
        assert second.get("num_keypoints", 0) == len(told)


def test_labelme(folder):
    truth, found, there, back = there_and_back(folder, "labelme")
    same_keypoints(truth, found)
    before, after = rows(truth, "a.jpg"), rows(found, "a.jpg")
    for first, second in zip(before, after, strict=True):
        if isinstance(first.get("segmentation"), list):
            assert first["segmentation"] == second["segmentation"]
        elif "segmentation" in first:
            np.testing.assert_array_equal(mask(truth, first), mask(found, second))
        else:
            assert first["bbox"] == second["bbox"] and "segmentation" not in second
    assert there[2:] == [SKELETON] and len(back) == 2
    shapes = json.loads((folder / "out/a.json").read_text())["shapes"]
    points = [
        (shape["label"], shape["points"], shape["group_id"]) for shape in shapes if shape["shape_type"] == "point"
    ]
    assert points[:2] == [("nose", [[5.5, 6.5]], 1), ("left eye", [[7.75, 9.0]], 1)]
    assert [shape["flags"] for shape in shapes[1:3]] == [{}, {"occluded": True}]
    assert shapes[-1]["group_id"] is None and {shape["group_id"] for shape in shapes[:3]} == {1}


def test_yolo_poses(folder):
    truth, found, there, back = there_and_back(folder, "yolo_pose")
    same_keypoints(truth, found, "images/")
    for first, second in zip(rows(truth, "a.jpg"), rows(found, "images/a.jpg"), strict=True):
        np.testing.assert_allclose(first["bbox"], second["bbox"], atol=1e-3)
        assert "segmentation" not in second
    masks = "note: 4 objects have masks, of which lines of poses have the box alone: --to yolo writes them"
    assert there[2:] == [SKELETON, masks]
    assert len(back) == 2
    said = yaml.safe_load((folder / "out/data.yaml").read_text())
    assert said["kpt_shape"] == [3, 3] and said["flip_idx"] == [0, 2, 1] and said["names"] == {0: "Hund", 1: "Zaun"}
    assert said["kpt_names"] == {0: JOINTS, 1: JOINTS}
    lines = [line.split() for line in (folder / "out/labels/a.txt").read_text().splitlines()]
    assert {len(line) for line in lines} == {5 + 9} and lines[0][5:8] == ["0.11", "0.1625", "2"]
    assert lines[4][5:] == ["0"] * 9


def test_yolo_masks_say_what_they_leave(folder):
    truth, found, there, _ = there_and_back(folder, "yolo")
    assert any(line.startswith("note: 4 objects have keypoints, which lines of masks have no place") for line in there)
    kept = [(before, after) for before, after in zip(rows(truth, "a.jpg"), rows(found, "images/a.jpg"), strict=True)]
    np.testing.assert_allclose(kept[0][1]["segmentation"], kept[0][0]["segmentation"], atol=1e-3)


def test_poses_want_keypoints_inside_the_image(folder):
    truth = json.loads((folder / "a.json").read_text())
    truth["annotations"][0]["keypoints"][:3] = [50.5, 6, 2]
    write(folder / "a.json", truth)
    _, found, there, _ = there_and_back(folder, "yolo_pose")
    assert "note: 1 keypoints lie outside the image, where YOLO allows none: written as not there" in there
    assert set(by_name(found, found["annotations"][0])) == {"left eye"}
    for row in truth["annotations"]:
        row.pop("keypoints", None)
    write(folder / "a.json", truth)
    with pytest.raises(ValueError, match="^to is 'yolo_pose', and no object has keypoints; allowed with it: data with"):
        formats.convert("coco", str(folder / "a.json"), "yolo_pose", str(folder / "new"), Options(folder / "data"))


@pytest.mark.parametrize("names", [["a", "a"], ["a", 3], ["", "b"], ["x\ny", "b"]])
def test_names_that_are_none_are_numbers(folder, names):
    truth = json.loads((folder / "a.json").read_text())
    truth["categories"][0] |= {"keypoints": names, "skeleton": []}
    truth["annotations"] = [truth["annotations"][0] | {"keypoints": [5, 6, 2, 7, 8, 1]}]
    write(folder / "a.json", truth)
    for target in ("labelme", "yolo_pose"):
        formats.convert("coco", str(folder / "a.json"), target, str(folder / target), Options(folder / "data"))
    shapes = json.loads((folder / "labelme/a.json").read_text())["shapes"]
    assert [shape["label"] for shape in shapes] == ["Hund", "keypoint 1", "keypoint 2"]
    said = yaml.safe_load((folder / "yolo_pose/data.yaml").read_text())
    assert said["kpt_names"][0] == ["keypoint 1", "keypoint 2"] and "flip_idx" not in said


def test_points_of_labelme_whose_object_cannot_be_told(tmp_path):
    photo(tmp_path / "a.png")
    square, point = [[2, 3], [10, 3], [10, 9], [2, 9]], {"shape_type": "point", "points": [[4, 5]]}
    dog = {"label": "dog", "points": square, "shape_type": "polygon"}
    shapes = [
        dog | {"group_id": 1},
        dog | {"group_id": 2},
        dog | {"label": "cat", "group_id": 2},
        dog | {"group_id": 3},
    ]
    shapes += [point | {"label": "nose", "group_id": group} for group in (1, 2, 4, None, 3, 3)]
    shapes += [point | {"label": "tail", "group_id": 3, "flags": {"occluded": True}}]
    shapes += [point | {"label": "tail", "group_id": 1, "points": [[1, 1], [2, 2]]}]
    write(tmp_path / "a.json", {"shapes": shapes, "imagePath": "a.png", "imageHeight": 15, "imageWidth": 20})
    coco, lost, _ = read("labelme", tmp_path)
    assert lost == {
        "shape of type 'point', which has no area": ["a.json: shape 8 ('nose')"],
        "point of another number of points than 1": ["a.json: shape 12 ('tail'): it has 2"],
        "point whose group has several objects": ["a.json: shape 6 ('nose'): group_id 2"],
        "point whose group has no object": ["a.json: shape 7 ('nose'): group_id 4"],
        "keypoint of a name that its object has twice": [f"a.json: shape {n} ('nose'): 'nose'" for n in (9, 10)],
    }
    assert coco["categories"][1] == {"id": 2, "name": "dog", "keypoints": ["nose", "tail"], "skeleton": []}
    assert [row.get("keypoints") for row in coco["annotations"]] == [
        [3.5, 4.5, 2, 0, 0, 0], None, None, [0, 0, 0, 3.5, 4.5, 1],
    ]  # fmt: skip


@pytest.mark.parametrize(
    "names, message",
    [
        ("{0: [nose]}", "allowed: 2 names, as kpt_shape says"),
        ("{0: nose}", "allowed: a list of names for each class"),
        ("[nose, tail]", "allowed: a list of names for each class"),
        ("[[nose, nose]]", "allowed: 1 to 10000 different ones"),
        ("[[nose, [tail]]]", "object without a label"),
        ("7", "allowed: a list of names for each class"),
    ],
)
def test_names_of_keypoints_that_cannot_be_used(tmp_path, names, message):
    photo(tmp_path / "a.png")
    write(tmp_path / "a.txt", "0 0.5 0.4 0.5 0.4 0.3 0.4 2 0 0 0\n")
    write(tmp_path / "data.yaml", f"kpt_shape: [2, 3]\nnames: [fish]\nkpt_names: {names}\n")
    with pytest.raises(ValueError, match=message):
        read("yolo", tmp_path)
    write(tmp_path / "data.yaml", "kpt_shape: [2, 3]\nnames: [fish, crab]\nkpt_names: {0: [nose, tail]}\n")
    named = [row["keypoints"] for row in read("yolo", tmp_path)[0]["categories"]]
    assert named == [["nose", "tail"], ["keypoint 1", "keypoint 2"]]
