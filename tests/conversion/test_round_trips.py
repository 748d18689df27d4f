"""From COCO to every format that is written, and back by the reader of that format."""

import json
import pathlib

import numpy as np
import pytest
from converting import check, iou, mask, photo, rows, write
from PIL import Image
from pycocotools import mask as coco_mask

from mask_rcnn_tf.conversion import formats, to_masks, to_voc
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Options, Report

NAMES = ("photos/Tür 1.png", "photos/b.jpg", "c.png")


def encoded(array):
    found = coco_mask.encode(np.asfortranarray(array.astype(np.uint8)))
    return {"size": list(array.shape), "counts": found["counts"].decode()}


def noise(shape):
    random = np.random.default_rng(3)
    array = np.zeros(shape, bool)
    array[5:25, 30:45] = random.random((20, 15)) > 0.4
    return array


OBJECTS = [  # category, what it is
    (3, [[2, 3, 10, 3, 10, 9, 2, 9]]),
    (7, [[12, 3, 16, 3, 16, 9, 12, 9], [20, 3, 24, 3, 24, 20, 20, 20]]),
    (3, [[2, 20, 12, 20, 12, 30, 2, 30], [8, 25, 18, 25, 18, 35, 8, 35]]),  # they overlap
    (7, encoded(noise((40, 50)))),
    (3, [[30.5, 27.25, 46.75, 29.5, 38.125, 38.875]]),
]


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "data" / NAMES[0], 50, 40)
    photo(tmp_path / "data" / NAMES[1], 40, 50, orientation=6)
    photo(tmp_path / "data" / NAMES[2], 50, 40)
    images = [{"id": 10 + n, "file_name": name, "height": 40, "width": 50} for n, name in enumerate(NAMES)]
    annotations = []
    for number, (category, segmentation) in enumerate(OBJECTS * 2):
        row = {"id": number + 1, "image_id": 10 + number // len(OBJECTS), "category_id": category, "iscrowd": 0}
        runs = (
            segmentation
            if isinstance(segmentation, dict)
            else coco_mask.merge(coco_mask.frPyObjects(segmentation, 40, 50))
        )
        row |= {"bbox": coco_mask.toBbox(runs).tolist(), "area": float(coco_mask.area(runs))}
        annotations.append(row | {"segmentation": segmentation})
    categories = [{"id": 3, "name": "Hund"}, {"id": 7, "name": "cat: big"}]
    write(tmp_path / "data/a.json", {"images": images, "annotations": annotations, "categories": categories})
    return tmp_path


def there_and_back(folder, target, **options):
    """(what was read again, what the way there and the way back say)."""
    there = formats.convert("coco", str(folder / "data/a.json"), target, str(folder / "out"), Options())
    back = formats.convert(target, str(folder / "out"), "coco", str(folder / "back.json"), Options(**options))
    found = json.loads((folder / "back.json").read_text())
    check(found)
    return found, there, back


def same_objects(folder, found, prefix="", least=1.0):
    """Every object has come back with its category and its mask; boxes beside masks are theirs."""
    truth = json.loads((folder / "data/a.json").read_text())
    ids = {row["name"]: row["id"] for row in found["categories"]}
    names = {row["id"]: row["name"] for row in truth["categories"]}
    for name in NAMES:
        before, after = rows(truth, name), rows(found, prefix + name)
        assert len(before) == len(after)
        for first, second in zip(before, after, strict=True):
            assert ids[names[first["category_id"]]] == second["category_id"]
            assert iou(mask(truth, first), mask(found, second)) >= least
            if first["area"] == int(first["area"]) and least == 1.0:
                assert second["area"] == first["area"]


def lost(lines):
    return [line for line in lines if line.startswith("left out")]


def test_labelme(folder):
    found, there, back = there_and_back(folder, "labelme")
    same_objects(folder, found)
    assert not lost(there) + lost(back)
    shapes = json.loads((folder / "out/photos/Tür 1.json").read_text())["shapes"]
    assert [shape["shape_type"] for shape in shapes] == ["polygon"] * 5 + ["mask", "polygon"]
    assert shapes[1]["group_id"] == shapes[2]["group_id"] == 2


def test_yolo(folder):
    found, there, back = there_and_back(folder, "yolo")
    same_objects(folder, found, "images/", 0.99)
    assert not lost(there) + lost(back)
    assert [row["name"] for row in found["categories"]] == ["Hund", "cat: big"]
    lines = (folder / "out/labels/photos/Tür 1.txt").read_text().splitlines()
    assert lines[0] == "0 0.04 0.075 0.2 0.075 0.2 0.225 0.04 0.225" and len(lines) == len(OBJECTS)


def test_voc(folder):
    found, there, back = there_and_back(folder, "voc")
    same_objects(folder, found, "JPEGImages/", 1.0)
    assert not lost(there) + lost(back)
    picture = Image.open(folder / "out/SegmentationClass/photos/Tür 1.png")
    assert picture.mode == "P" and picture.getpalette()[:9] == [0, 0, 0, 128, 0, 0, 0, 128, 0]
    assert set(np.unique(np.asarray(picture))) == {0, 1, 2}
    assert (folder / "out/ImageSets/Main/default.txt").read_text().split("\n")[0] == "photos/Tür 1"


def test_masks(folder):
    found, there, back = there_and_back(folder, "masks", images=folder / "data", category="thing")
    truth = json.loads((folder / "data/a.json").read_text())
    assert found["categories"] == [{"id": 1, "name": "thing"}]
    for name in NAMES:
        before, after = rows(truth, name), rows(found, name)
        for first, second in zip(before, after, strict=True):
            np.testing.assert_array_equal(mask(truth, first), mask(found, second))
    assert "note: 2 categories are one in label images" in there and not lost(there) + lost(back)


def test_coco_to_coco_keeps_everything(folder):
    formats.convert("coco", str(folder / "data/a.json"), "coco", str(folder / "back.json"), Options())
    found = json.loads((folder / "back.json").read_text())
    same_objects(folder, found)
    assert [row["bbox"] for row in found["annotations"]][:2] == [[2, 3, 8, 6], [12, 3, 12, 17]]


SAID = {
    "voc": "note: 1 objects have keypoints, which are not written",
    "yolo": "note: 1 objects have keypoints, which lines of masks have no place for: --to yolo_pose writes them",
    "yolo_pose": "note: 11 objects have masks, of which lines of poses have the box alone: --to yolo writes them",
}


@pytest.mark.parametrize("target", formats.FOLDERS)
def test_what_a_format_has_no_place_for_is_said(folder, target):
    truth = json.loads((folder / "data/a.json").read_text())
    box = {"id": 90, "image_id": 12, "category_id": 3, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0}
    crowd = box | {"id": 91, "iscrowd": 1, "segmentation": encoded(noise((40, 50)))}
    joints = box | {"id": 93, "bbox": [2, 2, 5, 5], "keypoints": [3, 3, 2], "num_keypoints": 1}
    truth["annotations"] += [box, crowd, joints | {"segmentation": [[2, 2, 7, 2, 7, 7, 2, 7]]}]
    truth["categories"][0]["keypoints"] = ["nose"]
    truth["images"] += [{"id": 20, "file_name": "no.png", "height": 1, "width": 1}]
    truth["images"] += [{"id": 21, "file_name": "../../etc/c.png", "height": 40, "width": 50}]
    photo(folder / "data/photos/b.png", 40, 50)
    truth["images"] += [{"id": 22, "file_name": "photos/b.png", "height": 50, "width": 40}]
    write(folder / "data/a.json", truth)
    lines = formats.convert("coco", str(folder / "data/a.json"), target, str(folder / "out"), Options())
    text = "\n".join(lines)
    assert "1 x image that is not there\n  image 20 (no.png): 'no.png' below" in text
    assert "1 x image that is annotated twice\n  image 21 (../../etc/c.png)" in text
    assert "1 x image whose name is another one's but for its suffix\n  photos/b.png" in text
    assert "annotation 91 (c.png)" in text and "crowd" in text
    assert SAID.get(target, "") in text and ("have keypoints" in text) == (target in ("voc", "yolo"))
    assert (target == "masks") == ("annotation 90 (c.png)" in text)
    written = {path.resolve() for path in (folder / "out").rglob("*")}
    assert all(folder / "out" in path.parents for path in written)
    if target != "masks":
        source = target.removesuffix("_pose")
        back = formats.convert(source, str(folder / "out"), "coco", str(folder / "back.json"), Options())
        prefix = {"labelme": "", "voc": "JPEGImages/", "yolo": "images/"}[source]
        found = rows(json.loads((folder / "back.json").read_text()), f"{prefix}c.png")
        assert [row["bbox"] for row in found] == [[1, 1, 20, 20], [2, 2, 5, 5]], back


@pytest.mark.parametrize("target", ["labelme", "yolo"])
def test_photos_that_a_tool_would_turn_are_left_out(folder, target):
    truth = json.loads((folder / "data/a.json").read_text())
    truth["images"][1] |= {"height": 50, "width": 40}  # as the pixels are stored
    truth["annotations"] = truth["annotations"][:5]
    write(folder / "data/a.json", truth)
    lines = formats.convert("coco", str(folder / "data/a.json"), target, str(folder / "out"), Options())
    assert "left out: 1 x image that" in "\n".join(lines) and "  photos/b.jpg" in lines
    assert len(list((folder / "out").rglob("*.png"))) == 2


def test_overlapping_objects_in_label_images_the_smaller_is_seen(folder):
    truth = json.loads((folder / "data/a.json").read_text())
    large = {"id": 90, "image_id": 10, "category_id": 3, "bbox": [0, 0, 12, 12], "area": 144, "iscrowd": 0}
    hidden = large | {"id": 91, "bbox": [2, 3, 8, 6], "segmentation": [[2, 3, 10, 3, 10, 9, 2, 9]]}
    truth["annotations"] += [large | {"segmentation": [[0, 0, 12, 0, 12, 12, 0, 12]]}, hidden]
    write(folder / "data/a.json", truth)
    lines = formats.convert("coco", str(folder / "data/a.json"), "masks", str(folder / "out"), Options())
    values = np.asarray(Image.open(folder / "out/photos/Tür 1_masks.png"))
    assert values.dtype == np.uint16 and (values == 6).sum() == 144 - 48 and {1, 7} & set(values[4, 5:6].tolist())
    assert "note: 96 pixels are of several objects, of which the smallest has them" in lines
    assert "left out: 1 x mask that lies wholly under smaller ones, which a label image cannot show" in lines


def test_more_objects_than_bits(tmp_path, monkeypatch):
    image = LabelledImage("a.png", photo(tmp_path / "a.png"), 15, 20)
    image.objects = [LabelledObject("cell", f"{number}", box=[0, 0, 1, 1]) for number in range(300)]
    image.objects[0].segmentation = [[0, 0, 2, 0, 2, 2, 0, 2]]
    image.objects[-1].segmentation = [[9, 9, 12, 9, 12, 12, 9, 12]]
    report = Report()
    monkeypatch.setattr(to_masks, "SIXTEEN_BITS", 299)
    to_masks.write(LabelledData(tmp_path, [image]), tmp_path / "out", report)
    values = np.asarray(Image.open(tmp_path / "out/a_masks.tif"))
    assert values.dtype.itemsize == 4 and values[0, 0] == 1 and values[10, 10] == 300 and (values > 0).sum() == 4 + 9
    assert [len(lines) for lines in report.lost.values()] == [298] and "  and 288 more" in report.lines()
    to_voc.write(LabelledData(tmp_path, [image]), tmp_path / "voc", report)
    assert report.lost["mask of an object above the 254 that a label image has place for"] == ["299"]


def test_the_folder_must_be_new(folder):
    (folder / "out").mkdir()
    pathlib.Path(folder / "out/mine.txt").write_text("x")
    with pytest.raises(ValueError, match="^output is '.*out', which exists; allowed: a new or an empty folder"):
        formats.convert("coco", str(folder / "data/a.json"), "yolo", str(folder / "out"), Options())


def test_an_option_of_another_format_is_refused(folder):
    message = "^split is 'train', and from is 'coco'; allowed with it: cvat, voc, yolo"
    with pytest.raises(ValueError, match=message):
        formats.convert("coco", str(folder / "data/a.json"), "yolo", str(folder / "out"), Options(split="train"))
