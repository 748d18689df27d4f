"""Splits of drawn-up files: every image once, sizes, categories on both sides, the same again from the same seed."""

import collections
import json

import numpy as np
import pytest

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.conversion import split, split_files


def made(objects, names=None, categories=None):
    """A COCO dictionary: for each image its objects, category -> count."""
    used = sorted({key for row in objects for key in row}) if categories is None else categories
    images = [
        {"id": 100 + n, "file_name": names[n] if names else f"{n:04}.png", "height": 9, "width": 9}
        for n in range(len(objects))
    ]
    rows = [(100 + n, key) for n, row in enumerate(objects) for key, count in row.items() for _ in range(count)]
    annotations = [
        {"id": n, "image_id": image, "category_id": key, "bbox": [1, 1, 2, 2]} for n, (image, key) in enumerate(rows, 1)
    ]
    listed = [{"id": key, "name": f"kind {key}"} for key in used]
    return {"info": {"year": 2026}, "images": images, "annotations": annotations, "categories": listed}


def microscopy(seed=0, count=200):
    """Two frequent kinds, three rarer ones, one of two images, one of one; a tenth of the images is empty."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        row = {1: int(random.integers(1, 40)), 2: int(random.poisson(3)), 3: int(random.random() < 0.1) * 4}
        row |= {
            4: int(random.random() < 0.05),
            5: 2 * int(random.random() < 0.03),
            6: int(number in (7, 91)),
            7: int(number == 3),
        }
        rows.append({key: value for key, value in row.items() if value} if number % 10 else {})
    return made(rows, categories=range(1, 8))


def shares_of(coco, part, category):
    count = [sum(row["category_id"] == category for row in table["annotations"]) for table in (part, coco)]
    return count[0] / count[1]


def images_of(table):
    return [image["file_name"] for image in table["images"]]


@pytest.mark.parametrize("share", [0.1, 0.2, 0.5])
def test_a_share_of_images_has_that_share_of_every_category(share):
    coco = microscopy()
    parts = split.split(coco, (1 - share, share))
    assert sorted(images_of(parts[0]) + images_of(parts[1])) == images_of(coco)
    assert len(parts[1]["images"]) == round(200 * share)
    assert sum(len(part["annotations"]) for part in parts) == len(coco["annotations"])
    for part in parts:
        reader.check_structure(part)
        assert part["categories"] == coco["categories"] and part["info"] == {"year": 2026}
        assert {row["image_id"] for row in part["annotations"]} <= {image["id"] for image in part["images"]}
    for category, tolerance in ((1, 0.003), (2, 0.005), (3, 0.04)):
        assert abs(shares_of(coco, parts[1], category) - share) < tolerance
    empty = [image for image in parts[1]["images"] if (image["id"] - 100) % 10 == 0]
    assert abs(len(empty) - 20 * share) <= 2
    assert shares_of(coco, parts[1], 6) == 0.5 and shares_of(coco, parts[1], 7) in (0, 1)


def test_it_is_nearer_to_the_whole_than_chance():
    """The largest difference of a category's share, beside two hundred drawn splits."""
    coco = microscopy(1)
    names = images_of(coco)

    def worst(inside):
        counts = collections.Counter()
        by_id = {image["id"]: image["file_name"] for image in coco["images"]}
        total = collections.Counter(row["category_id"] for row in coco["annotations"])
        counts.update(row["category_id"] for row in coco["annotations"] if by_id[row["image_id"]] in inside)
        return max(abs(counts[key] / total[key] - 0.2) for key in (1, 2, 3, 4, 5))

    ours = worst(set(images_of(split.split(coco, (0.8, 0.2))[1])))
    random = np.random.default_rng(0)
    assert ours <= np.quantile([worst(set(random.choice(names, 40, replace=False))) for _ in range(200)], 0.05)


def test_every_category_of_two_images_is_on_both_sides():
    random = np.random.default_rng(5)
    for trial in range(25):
        count = int(random.integers(20, 60))
        objects = [
            {int(key): int(random.integers(1, 5)) for key in random.choice(8, random.integers(0, 4), replace=False) + 1}
            for _ in range(count)
        ]
        coco = made(objects, categories=range(1, 9))
        parts = split.split(coco, (0.7, 0.3), seed=trial)
        files = collections.Counter(key for row in objects for key in row)
        for key, number in files.items():
            sides = [any(row["category_id"] == key for row in part["annotations"]) for part in parts]
            assert all(sides) or number < 2, (trial, key)


@pytest.mark.parametrize("folds", [2, 3, 5, 10])
def test_folds(tmp_path, folds):
    coco = microscopy(2)
    lines = split_files.write_folds(coco, tmp_path / "out", folds)
    seen = []
    for number in range(1, folds + 1):
        train, val = (
            json.loads((tmp_path / "out" / f"fold_{number}" / name).read_text()) for name in ("train.json", "val.json")
        )
        assert sorted(images_of(train) + images_of(val)) == images_of(coco)
        assert len(train["annotations"]) + len(val["annotations"]) == len(coco["annotations"])
        assert len(val["images"]) in (200 // folds, -(-200 // folds))
        assert abs(shares_of(coco, val, 1) - 1 / folds) < 0.01
        seen += images_of(val)
        assert any(row["category_id"] == 6 for row in train["annotations"])  # of two images
    assert sorted(seen) == images_of(coco)
    assert f"fold_{folds}/val.json: {200 // folds} images" in lines[folds - 1] and any(
        "kind 7" in line for line in lines
    )


def test_the_same_seed_is_the_same_split_whatever_the_order_and_the_ids():
    coco = microscopy()
    first = set(images_of(split.split(coco, (0.8, 0.2))[1]))
    turned = json.loads(json.dumps(coco))
    turned["images"].reverse(), turned["annotations"].reverse()
    for image in turned["images"]:
        image["id"] += 5000
    for row in turned["annotations"]:
        row["image_id"] += 5000
    assert set(images_of(split.split(turned, (0.8, 0.2))[1])) == first
    others = [set(images_of(split.split(coco, (0.8, 0.2), seed)[1])) for seed in (1, 2)]
    assert first != others[0] != others[1]


def test_rows_of_one_file_stay_together():
    names = ["a.png", "./a.png", "b.png", "c.png", "d.png", "e.png"]
    coco = made([{1: 1}, {2: 1}, {1: 1}, {2: 1}, {1: 1}, {2: 1}], names)
    for seed in range(10):
        for part in split.split(coco, (0.6, 0.4), seed):
            assert ("a.png" in images_of(part)) == ("./a.png" in images_of(part))


def test_few_images_and_none_with_objects():
    coco = made([{}] * 3, categories=[1])
    assert [len(part["images"]) for part in split.split(coco, (0.9, 0.1))] == [2, 1]
    assert [len(part["images"]) for part in split.split(coco, [1 / 3] * 3)] == [1, 1, 1]
    with pytest.raises(ValueError, match="^4 parts of 3 image files; allowed: 2 to 1000, and at most one a file"):
        split.split(coco, [0.25] * 4)


def test_what_is_wrong_is_one_line(tmp_path):
    coco = microscopy()
    for share in (0, 1, -0.5, float("nan")):
        with pytest.raises(ValueError, match="^val_share is .*; allowed: above 0 and below 1"):
            split_files.write_two(coco, tmp_path, share)
    with pytest.raises(ValueError, match="^folds is 1; allowed: 2 or more"):
        split_files.write_folds(coco, tmp_path, 1)
    (tmp_path / "mine").write_text("x")
    with pytest.raises(ValueError, match="^output is '.*', which exists; allowed: a new or an empty folder"):
        split_files.write_two(coco, tmp_path, 0.2)


def test_annotations_without_their_image_and_crowds_are_told_apart(tmp_path):
    coco = microscopy(count=20)
    coco["annotations"].append({"id": 9999, "image_id": 5, "category_id": 1, "bbox": [1, 1, 2, 2]})
    lines = split_files.write_two(coco, tmp_path / "out", 0.25)
    assert lines[0].startswith("train.json: 15 images (") and lines[1].startswith("val.json: 5 images (")
    assert lines[-1] == "left out: 1 annotations of images that the file does not have"


def test_many_images_take_seconds():
    random = np.random.default_rng(0)
    objects = [{int(key): 1 for key in random.choice(300, 3, replace=False) + 1} for _ in range(5000)]
    parts = split.split(made(objects, categories=range(1, 301)), (0.8, 0.2))
    assert len(parts[1]["images"]) == 1000
