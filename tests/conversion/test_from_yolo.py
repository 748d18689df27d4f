"""YOLO's folders, made here as Ultralytics and others lay them out."""

import numpy as np
import pytest
from converting import categories, drawn, iou, mask, photo, read, rows, write

NAMES = "train: images/train\nval: images/val\nnames:\n  0: cat\n  1: dog\n"
SQUARE = "1 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n"  # of 20 x 15: x 2 to 10, y 3 to 9


@pytest.fixture
def folder(tmp_path):
    for name in ("train/a", "val/a", "val/b"):
        photo(tmp_path / f"images/{name}.jpg")
    write(tmp_path / "data.yaml", NAMES)
    write(tmp_path / "labels/train/a.txt", SQUARE + "0 0.5 0.5 0.2 0.4\n\n")
    write(tmp_path / "labels/val/a.txt", "")
    return tmp_path


def test_polygons_boxes_and_images_without_objects(folder):
    coco, lost, notes = read("yolo", folder)
    assert categories(coco) == {1: "cat", 2: "dog"} and not lost
    square, box = rows(coco, "images/train/a.jpg")
    assert square["bbox"] == [2, 3, 8, 6] and square["area"] == 48 and square["category_id"] == 2
    assert box["bbox"] == [8, 4.5, 4, 6] and "segmentation" not in box and box["category_id"] == 1
    assert rows(coco, "images/val/a.jpg") == rows(coco, "images/val/b.jpg") == []
    assert list(notes.values()) == [1]  # val/b.jpg has no text file
    assert read("yolo", folder / "data.yaml")[0] == coco


@pytest.mark.parametrize(
    "train",
    [
        "images/train",
        "./images/train/",
        "../images/train",
        "/data/me/set/images/train",
        "[images/train, none]",
        "[images/train/a.jpg]",
    ],
)
def test_a_split_is_what_the_data_file_calls_it(folder, train):
    write(folder / "data.yaml", NAMES.replace("train: images/train", f"path: ../x\ntrain: {train}"))
    coco, _, _ = read("yolo", folder, split="train")
    assert [image["file_name"] for image in coco["images"]] == ["images/train/a.jpg"]


def test_a_split_may_be_a_list_of_images(folder):
    write(folder / "data.yaml", NAMES.replace("val: images/val", "val: val.txt"))
    write(folder / "val.txt", "./images/val/b.jpg\n/data/set/images/val/a.jpg\n")
    coco, _, _ = read("yolo", folder, split="val")
    assert [image["file_name"] for image in coco["images"]] == ["images/val/b.jpg", "images/val/a.jpg"]
    write(folder / "val.txt", "../../../etc/passwd\n")
    with pytest.raises(ValueError, match="^list of images '.*val.txt': image that is not there: '../../../etc/passwd'"):
        read("yolo", folder, split="val")
    write(folder / "data.yaml", NAMES.replace("images/train", "[images/train/none.jpg]"))
    with pytest.raises(ValueError, match="^data.yaml: image that is not there: 'images/train/none.jpg' below"):
        read("yolo", folder, split="train")
    for split, message in (("test", "allowed: train, val"), ("train", "no image below '.*' is in")):
        write(folder / "data.yaml", NAMES.replace("images/train", "images/none"))
        with pytest.raises(ValueError, match=f"^split is '{split}'.*{message}"):
            read("yolo", folder, split=split)


@pytest.mark.parametrize("place", ["train/images", "images", ".", "deep/images/more"])
def test_where_text_files_lie(tmp_path, place):
    photo(tmp_path / place / "a b.png")
    labels = "labels".join(place.rsplit("images", 1))
    write(tmp_path / labels / "a b.txt", SQUARE)
    write(tmp_path / "classes.txt", "cat\ndog\n")
    coco, lost, _ = read("yolo", tmp_path)
    assert len(coco["annotations"]) == 1 and not lost


def test_text_files_apart_from_images_and_turned_photos(tmp_path):
    photo(tmp_path / "pictures/a.jpg", 15, 20, orientation=6)
    write(tmp_path / "texts/a.txt", SQUARE)
    write(tmp_path / "texts/classes.txt", "cat\ndog\n")
    coco, _, _ = read("yolo", tmp_path / "texts", images=tmp_path / "pictures")
    assert coco["images"][0] == {"id": 1, "file_name": "a.jpg", "height": 15, "width": 20}
    assert coco["annotations"][0]["bbox"] == [2, 3, 8, 6]


def test_parts_joined_by_a_line_there_and_back(tmp_path):
    """As Ultralytics' converter joins COCO's parts: the line has no area."""
    photo(tmp_path / "a.png", 100, 100)
    first, second = [(10, 10), (30, 10), (30, 40), (10, 40)], [(60, 50), (90, 55), (80, 90)]
    ring = [*first[:3], *second, second[0], *first[2:]]
    write(tmp_path / "a.txt", "0 " + " ".join(f"{value / 100}" for point in ring for value in point))
    write(tmp_path / "classes.txt", "cat")
    coco, _, _ = read("yolo", tmp_path)
    expected = drawn((100, 100), *(np.ravel(part).tolist() for part in (first, second)))
    assert iou(mask(coco, coco["annotations"][0]), expected) > 0.98


def test_poses(tmp_path):
    photo(tmp_path / "a.png")
    text = "kpt_shape: [2, 3]\nnames: [fish]\n"
    lines = ["0 0.5 0.4 0.5 0.4 0.3 0.4 2 0 0 0", "0 0.5 0.4 0.5 0.4 0.3 0.4 2 0.7 0.4"]
    lines += ["0 0.5 0.4 0.5 0.4 0.3 90 2 0 0 0"]
    write(tmp_path / "a.txt", "\n".join(lines))
    write(tmp_path / "data.yaml", text)
    coco, lost, _ = read("yolo", tmp_path)
    assert len(coco["annotations"]) == 1 and len(lost["line with a number of numbers that is none"]) == 1
    assert lost["places that are no shares of the image's sides"] == ["a.txt: line 3: one is 90; allowed: 0 to 1"]
    assert (
        coco["annotations"][0]["keypoints"] == [5.5, 5.5, 2, 0, 0, 0] and coco["annotations"][0]["num_keypoints"] == 1
    )
    assert coco["annotations"][0]["bbox"] == [5, 3, 10, 6] and len(coco["categories"][0]["keypoints"]) == 2


def test_what_is_left_out_is_named(folder):
    bad = ["2 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1", "0.5 0.5 0.5 0.1 0.1", "cat 0.5 0.5 0.1 0.1", "0", "0 0.1 0.2"]
    bad += ["0 10 20 30 40", "0 nan 0.5 0.1 0.1", "0 0.5 0.5 0.1 0.1 0.9", "0 0.1 0.1 0.2 0.2 0.3 0.3 0.4"]
    bad += ["0 0.5 0.5 0 0.1", "0 1e999 0.5 0.1 0.1", "0 -0.5 0.5 0.1 0.1", "0 0.5 0.5 -0.1 0.1"]
    write(folder / "labels/train/a.txt", SQUARE + "\n".join(bad))
    write(folder / "labels/val/a.txt", b"\xff\xfe\x00")
    write(folder / "labels/val/lonely.txt", SQUARE)
    write(folder / "notes.txt", "hello")
    photo(folder / "images/val/c.jpg").write_bytes(b"no image")
    coco, lost, _ = read("yolo", folder)
    assert len(coco["annotations"]) == 1 and sum(map(len, lost.values())) == len(bad) + 3
    assert lost["class that the names lack"][0] == "labels/train/a.txt: line 2: 2; allowed: 0 to 1"
    assert lost["places that are no shares of the image's sides"][0] == (
        "labels/train/a.txt: line 8: one is 40; allowed: 0 to 1"
    )
    assert lost["text file without an image"] == ["labels/val/lonely.txt"]
    came = "labels/train/a.txt: line 5: 'cat 0.5 0.5 0.1 0.1'; allowed: a class and 4"
    assert lost["line that is not numbers"][0].startswith(came)
    assert lost["line has a number that is not finite"] == ["labels/train/a.txt: line 9", "labels/train/a.txt: line 13"]


BOMB = "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]\n"


@pytest.mark.parametrize(
    "text, message",
    [
        ("names: 3", "are 3; allowed: a list"),
        ("names: [cat, cat]", "allowed: 1 to 10000 different ones"),
        ("names: []", "allowed: 1 to 10000 different ones"),
        ("names: {1: cat, 2: dog}", r"have the numbers \[1, 2\]; allowed: 0, 1, 2"),
        ("names: [[cat]]", "object without a label"),
        ("names: [cat]\nkpt_shape: [1, 9]", r"kpt_shape of .* is \[1, 9\]; allowed"),
        (BOMB, "is not plain YAML: it has aliases"),
        ("names: !!python/object/apply:os.system [ls]", "is not plain YAML: could not determine a constructor"),
        ("names: [" * 2000, "is not plain YAML"),
        ("names: [" + "9" * 5000 + "]", "is not plain YAML"),
        ("a: {", "is not plain YAML"),
    ],
)
def test_a_data_file_that_cannot_be_used(folder, text, message):
    write(folder / "data.yaml", text)
    with pytest.raises(ValueError, match=message):
        read("yolo", folder)


def test_no_names_or_two(folder):
    write(folder / "other.yml", NAMES)
    with pytest.raises(ValueError, match="with data.yaml and other.yml; allowed: one; name it as input"):
        read("yolo", folder)
    (folder / "data.yaml").unlink(), (folder / "other.yml").unlink()
    with pytest.raises(ValueError, match="without names of classes; allowed: with data.yaml"):
        read("yolo", folder)
    write(folder / "classes.txt", "cat")
    (folder / "labels/train/a.txt").unlink(), (folder / "labels/val/a.txt").unlink()
    with pytest.raises(ValueError, match="without a text file of an image, such as 'labels/train/a.txt'"):
        read("yolo", folder)
