import json
import logging
import re

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import coco, records

SQUARE = [[2, 2, 10, 2, 10, 8, 2, 8]]  # 8 x 6 pixels


def row(index, image=1, category=7, **changes):
    base = {"id": index, "image_id": image, "category_id": category, "bbox": [2, 2, 8, 6], "area": 48, "iscrowd": 0}
    values = base | {"segmentation": SQUARE} | changes
    return {key: value for key, value in values.items() if value is not None}


class Files:
    """Writes tiny COCO data sets below a folder; images are 20 wide and 15 high."""

    def __init__(self, folder):
        self.folder = folder
        self.config = Config()
        self.config.data.data_dir = str(folder / "cache")
        self.config.data.max_gt = 3

    def write(self, rows, split="train", images=2, categories=((7, "cat"), (3, "ant")), edit=None):
        folder = self.folder / f"{split}_images"
        (folder / "sub").mkdir(parents=True, exist_ok=True)
        table = []
        for index in range(1, images + 1):
            name = f"sub/{index}.png"
            Image.fromarray(np.full((15, 20, 3), 10 * index, np.uint8)).save(folder / name)
            table.append({"id": index, "file_name": name, "width": 20, "height": 15})
        content = {"images": table, "annotations": rows}
        content["categories"] = [{"id": index, "name": name} for index, name in categories]
        if edit:
            edit(content)
        (self.folder / f"{split}.json").write_text(json.dumps(content))
        setattr(self.config.data, f"{split}_annotations", str(self.folder / f"{split}.json"))
        setattr(self.config.data, f"{split}_images", str(folder))
        return folder

    def records(self, split="train"):
        return list(coco.dataset(self.config, split).map(records.decoded))


@pytest.fixture
def files(tmp_path, caplog):
    caplog.set_level(logging.INFO, "mask_rcnn_tf")
    return Files(tmp_path)


def said(capsys, caplog):
    """What the data set told its user, on either way."""
    told = capsys.readouterr().out + caplog.text
    caplog.clear()
    return told


def masks_of(record):
    """bool [g, h, w], from the definition of uncompressed counts."""
    height, width = record["image"].shape[:2]
    masks = []
    for counts in record["mask_counts"].to_list():
        rle = coco_mask.frPyObjects({"size": [height, width], "counts": counts}, height, width)
        masks.append(coco_mask.decode(rle).astype(bool))
    return np.array(masks)


def test_records(files, capsys, caplog):
    rle = coco_mask.encode(np.asfortranarray(np.pad(np.ones((6, 8), np.uint8), ((2, 7), (2, 10)))))
    rle["counts"] = rle["counts"].decode()
    counts = annotations_counts(rle)
    files.write(
        [
            row(1),
            row(2, image=2, category=3, segmentation=rle),
            row(3, image=2, segmentation={"size": [15, 20], "counts": counts}, bbox=None),
            row(4, iscrowd=1, segmentation={"size": [15, 20], "counts": counts}),
        ]
    )
    first, second = files.records()
    assert first["image"].dtype == tf.uint8 and first["image_id"].dtype == tf.int64
    assert (first["image"].numpy() == 10).all() and (second["image"].numpy() == 20).all()
    assert [int(first["image_id"]), int(second["image_id"])] == [1, 2]
    np.testing.assert_array_equal(first["boxes"], [[2, 2, 8, 10]])
    np.testing.assert_array_equal(first["classes"], [2])  # ids 3, 7 are classes 1, 2
    np.testing.assert_array_equal(second["classes"], [1, 2])
    np.testing.assert_array_equal(second["boxes"], [[2, 2, 8, 10], [2, 2, 8, 10]])
    assert isinstance(first["mask_counts"], tf.RaggedTensor) and first["mask_counts"].dtype == tf.int32
    assert "keypoints" not in first
    wanted = np.zeros((15, 20), bool)
    wanted[2:8, 2:10] = True
    for mask in [*masks_of(first), *masks_of(second)]:
        np.testing.assert_array_equal(mask, wanted)
    assert coco.categories(files.config) == ((3, 7), ("ant", "cat"))
    assert "3 used of 4; 1 crowd left out; 0 bad" in said(capsys, caplog)


def annotations_counts(rle):
    mask = coco_mask.decode(rle).flatten(order="F")
    edges = np.flatnonzero(np.diff(mask, prepend=0, append=1 - mask[-1]))
    return np.diff(edges, prepend=0).tolist()


def test_empty_images_are_left_out_and_counted(files, capsys, caplog):
    files.write([row(1, image=2), row(2, image=3, iscrowd=1)], images=3)
    dataset = coco.dataset(files.config, "train")
    assert [int(record["image_id"]) for record in dataset] == [2] and dataset.cardinality() == 1
    assert "2 without annotations, left out (config.data.skip_empty)" in said(capsys, caplog)
    files.config.data.skip_empty = False
    records = files.records()
    assert [int(record["image_id"]) for record in records] == [1, 2, 3]
    assert records[0]["boxes"].shape == (0, 4) and records[0]["mask_counts"].shape == (0, None)
    assert "left out (config" not in said(capsys, caplog)


BAD_ROWS = [
    (row(9, category=99), "unknown category id: 99"),
    (row(9, image=44), "annotation of an unknown image: image_id 44"),
    (row(9, segmentation=[[1, 1, 5, 5]]), "fewer than 6"),
    (row(9, segmentation=[[30, 1, 35, 1, 35, 5]]), "polygon lies outside the image"),
    (row(9, segmentation=[[3, 3, 5, 5, 3, 3]]), "polygon has no area"),
    (row(9, segmentation={"size": [20, 15], "counts": [0, 300]}), "RLE of another size than the image"),
    (row(9, bbox=[2, 2, "8", 6]), "box is not a list of numbers"),
    (row(9, iscrowd="no"), "iscrowd is not 0 or 1"),
    (row(9, bbox=[2, float("nan"), 3, 6]), "box has a number that is not finite"),
    (row(9, segmentation=None), "annotation has no mask"),
    (row(9, bbox=None, segmentation=None), "annotation has no mask"),
]


def test_bad_annotations_are_skipped_and_reported(files, capsys, caplog):
    files.write([row(1), *(bad | {"id": 10 + index} for index, (bad, _) in enumerate(BAD_ROWS))])
    for _ in range(2):  # prepared, and from the cache by another process
        coco._say.cache_clear()
        (record,) = files.records()
        assert record["classes"].shape == (1,)
        printed = said(capsys, caplog)
        assert "1 used of 12; 0 crowd left out; 11 bad" in printed
        for index, (bad, reason) in enumerate(BAD_ROWS[:-1]):
            assert f"annotation {10 + index} of image {bad['image_id']}" in printed and reason in printed
    report = coco.report(files.config, "train")
    assert [record.annotation_id for record in report.bad[:2]] == [10, 11] and len(report.bad) == len(BAD_ROWS)
    assert report.per_category == {7: 1} and report.per_image == {1: 1, 0: 1}


def spoil(folder, kind):
    path = folder / "sub" / "2.png"
    if kind == "missing":
        path.unlink()
    elif kind in ("garbage", "empty"):
        path.write_bytes(b"not an image" if kind == "garbage" else b"")
    elif kind == "truncated":
        noise = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
        Image.fromarray(noise).save(path, "JPEG")
        path.write_bytes(path.read_bytes()[:-200])
    else:
        Image.fromarray(np.zeros({"rotated": (20, 15, 3), "larger": (30, 40, 3)}[kind], np.uint8)).save(path)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("missing", "image file is missing or cannot be read: .*there is no such file"),
        ("garbage", "image does not decode"),
        ("truncated", "image does not decode"),
        ("empty", "image does not decode"),
        ("rotated", "15 x 20 stored, 20 x 15 in the annotations .width x height.; probably EXIF rotation"),
        ("larger", "40 x 30 stored, 20 x 15 in the annotations .width x height.$"),
    ],
)
def test_bad_image(files, kind, reason, capsys, caplog):
    for split in ("train", "val"):
        spoil(files.write([row(1), row(2, image=2), row(3, image=2)], split), kind)
    assert [int(record["image_id"]) for record in files.records()] == [1]
    assert "1 used of 2; 1 bad" in said(capsys, caplog)
    report = coco.report(files.config, "train")
    assert report.on_bad_images == 2 and report.bad[0].image_id == 2 and report.bad[0].annotation_id is None
    caplog.clear()
    assert [int(record["image_id"]) for record in files.records("val")] == [1]
    told = said(capsys, caplog)
    assert re.search(f"image 2 .sub/2.png.: .*{reason}", told, re.MULTILINE)
    assert "the score is partial: 1 of 2 images cannot be read, their objects count as not found" in told


def test_a_repaired_or_changed_file_is_prepared_again(files):
    spoil(files.write([row(1), row(2, image=2)]), "missing")
    assert len(files.records()) == 1
    files.write([row(1), row(2, image=2)])
    assert len(files.records()) == 2  # the JSON is the same, the image has come
    files.write([row(1), row(2, image=2, category=3)])
    assert [int(record["classes"][0]) for record in files.records()] == [2, 1]  # same path, other bytes
    files.write([row(1)], split="val")
    assert len(files.records("val")) == 2 and len(files.records("train")) == 2  # one data_dir, two files


@pytest.mark.parametrize("rows", [[], [row(1, iscrowd=1)], [row(1, category=99)]])
def test_nothing_left_to_train_on(files, rows):
    files.write(rows)
    with pytest.raises(ValueError, match="has no usable annotation: 2 images"):
        coco.dataset(files.config, "train")
    files.write([], split="val")
    assert len(files.records("val")) == 2
    files.write([], split="val", images=0)
    with pytest.raises(ValueError, match="has no usable image: 0 images"):
        coco.dataset(files.config, "val")


def test_boxes_only(files):
    files.write([row(1, segmentation=[]), row(2, image=2, segmentation=None)])
    with pytest.raises(ValueError, match="has boxes but no masks.*mask_head.enabled=False, or add 'segmentation'"):
        coco.dataset(files.config, "train")
    files.config.model.mask_head.enabled = False
    record = files.records()[0]
    assert record["mask_counts"].to_list() == [[]]
    np.testing.assert_array_equal(record["boxes"], [[2, 2, 8, 10]])
    assert coco.report(files.config, "train").without_mask == 2


def test_keypoints(files):
    def edit(content):
        content["categories"][0]["keypoints"] = ["head", "tail"]

    files.write([row(1, keypoints=[3, 4, 2, 9, 9, 0]), row(2), row(3, keypoints=[1, 2, 2])], edit=edit)
    (record,) = files.records()
    np.testing.assert_array_equal(record["keypoints"], [[[3.5, 4.5, 2], [0, 0, 0]], np.zeros((2, 3))])
    assert coco.keypoints(files.config) == KeypointSet(2, ("head", "tail"))
    assert "keypoints of another number" in str(coco.report(files.config, "train").bad[0])


def test_val_and_ground_truth_refuse_unknown_ids(files):
    files.write([row(1)])
    for bad, reason in ((row(2, category=99), "unknown category id: 99"), (row(2, image=44), "of an unknown image")):
        files.write([row(1), bad], split="val")
        with pytest.raises(ValueError, match=f"annotation 2 of image .*{reason}"):
            coco.dataset(files.config, "val")
        with pytest.raises(ValueError, match=f"annotation 2 of image .*{reason}"):
            coco.ground_truth(files.config, "val")
    for bad in (row(2, bbox=[1, float("nan"), 2, 2]), row(2, segmentation=[[1, 1, 2, 2]])):
        files.write([bad], split="val")
        with pytest.raises(ValueError, match="annotation 2 of image 1: (box|polygon) has"):
            coco.ground_truth(files.config, "val")


def test_ground_truth(files):
    counts = {"size": [15, 20], "counts": [0, 30, 270]}
    rows = [row(0, area=None, bbox=None), row(5, iscrowd=1, segmentation=counts), row(6, segmentation=None, area=None)]
    files.write(rows)
    truth = coco.ground_truth(files.config, "train")
    first, crowd, box = truth["annotations"]
    assert (first["bbox"], first["area"], first["id"]) == ([2, 2, 8, 6], 48, 1)  # id 0 would never match
    assert crowd["iscrowd"] == 1 and box["area"] == 48 and {row["category_id"] for row in truth["annotations"]} == {7}
    api = COCO()
    api.dataset = truth
    api.createIndex()
    assert api.annToMask(crowd).sum() == 30
    files.write([row(4), row(8)])
    assert [row["id"] for row in coco.ground_truth(files.config, "train")["annotations"]] == [4, 8]


def test_categories_must_agree(files):
    files.write([row(1)])
    files.write([row(1)], split="val", categories=[(7, "cat")])
    assert coco.categories(files.config) == ((3, 7), ("ant", "cat"))
    files.write([row(1)], split="val", categories=[(7, "dog")])
    with pytest.raises(ValueError, match="calls category 7 'dog'; allowed .* 'cat'"):
        coco.categories(files.config)
    files.write([row(1)], split="val", categories=[(7, "cat"), (8, "cow")])
    with pytest.raises(ValueError, match=r"calls category 8 'cow'; allowed .* ids \[3, 7\]"):
        coco.categories(files.config)


def test_a_models_own_ids_come_first(files):
    files.write([row(1)], split="val", categories=[(7, "cat")])
    files.config.model.num_classes = 2
    assert coco.categories(files.config) == ((7,), ("cat",))
    files.config.model.category_ids, files.config.model.class_names = (3, 7), ("ant", "cat")
    assert coco.categories(files.config) == ((3, 7), ("ant", "cat"))
    assert [int(record["classes"][0]) for record in files.records("val") if len(record["classes"])] == [2]
    files.config.model.category_ids, files.config.model.class_names = (3, 5), ()
    with pytest.raises(ValueError, match="calls category 7 'cat'"):
        coco.categories(files.config)


def test_wrong_arguments(files):
    with pytest.raises(ValueError, match="config.data.train_annotations is ''"):
        coco.categories(files.config)
    with pytest.raises(ValueError, match="config.data.val_annotations is ''"):
        coco.dataset(files.config, "val")
    with pytest.raises(ValueError, match="split is 'test'"):
        coco.dataset(files.config, "test")
    files.write([row(1)])
    files.config.data.train_images = str(files.folder / "nowhere")
    with pytest.raises(ValueError, match="images is .*nowhere'; there is no such folder"):
        coco.dataset(files.config, "train")
    files.config.model.num_classes = 1
    with pytest.raises(ValueError, match="config.model.num_classes is 1; .* has 2 categories"):
        coco.dataset(files.config, "train")
    files.config.data.train_annotations = str(files.folder / "none.json")
    with pytest.raises(ValueError, match="none.json'; there is no such file"):
        coco.dataset(files.config, "train")


def test_images_above_max_gt(files, capsys, caplog):
    files.write([row(index) for index in range(1, 6)])
    coco.dataset(files.config, "train")
    assert "1 images have more than 3 annotations; the surplus is dropped" in said(capsys, caplog)


def test_both_files_are_judged_before_training(files):
    """All that is wrong with either is said at once."""
    files.write([row(1, iscrowd=1)])
    short = {"size": [15, 20], "counts": [5, 300]}
    files.write([row(1), row(2, segmentation=short), row(3, segmentation=[[1, 1]])], "val")
    with pytest.raises(ValueError, match="all 1 usable annotations are crowds") as error:
        coco.check(files.config)
    assert "annotation 2 of image 1 (sub/1.png): RLE counts do not add up" in str(error.value)
    assert "annotation 3 of image 1 (sub/1.png): polygon has fewer than 6" in str(error.value)


def test_images_that_are_trained_on_and_validated_on_are_said(files, caplog):
    """By their contents, whatever they are called."""
    files.write([row(1)])
    folder = files.write([row(1)], "val", images=3)
    for number in (1, 2):
        Image.fromarray(np.full((15, 20, 3), 200 + number, np.uint8)).save(folder / "sub" / f"{number}.png")
    coco.check(files.config)
    assert "are trained on too" not in caplog.text
    (folder / "sub" / "3.png").write_bytes((files.folder / "train_images" / "sub" / "2.png").read_bytes())
    coco.check(files.config)
    assert "1 of 3 validation images are trained on too (first: 'sub/3.png')" in caplog.text
