"""Cityscapes' folders as a COCO dictionary, against the values that were drawn."""

import drawn_city
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import reader
from mask_rcnn_tf.data import cityscapes


def test_every_object_of_the_eight_classes_and_no_other(tmp_path):
    drawn = drawn_city.write(tmp_path)
    found = cityscapes.to_coco(tmp_path, "val", verbose=0)
    reader.check_structure(found)
    assert [image["file_name"] for image in found["images"]] == [f"{s}_leftImg8bit.png" for s in drawn_city.STEMS]
    assert all((image["height"], image["width"]) == (96, 192) for image in found["images"])
    assert [annotation["id"] for annotation in found["annotations"]] == list(range(1, 13))
    for number, ids in enumerate(drawn, 1):
        rows = [row for row in found["annotations"] if row["image_id"] == number]
        assert [(row["category_id"], row["iscrowd"]) for row in rows] == [(24, 1), (24, 0), (26, 0), (26, 0)]
        for row, value in zip(rows, (24, 24000, 26000, 26001), strict=True):
            np.testing.assert_array_equal(coco_mask.decode(row["segmentation"]), ids == value)
            assert row["area"] == (ids == value).sum()
            assert row["bbox"] == coco_mask.toBbox(row["segmentation"]).tolist()
    assert {category["id"]: category["name"] for category in found["categories"]}[31] == "train"


def test_test_images_have_no_annotations(tmp_path):
    drawn_city.write(tmp_path, "test")
    found = cityscapes.to_coco(tmp_path, "test", verbose=0)
    assert len(found["images"]) == 3 and not found["annotations"]


def test_what_is_wrong_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"^root is '.*'; allowed: a folder with images .*leftImg8bit/val/<city>"):
        cityscapes.to_coco(tmp_path, "val", verbose=0)
    with pytest.raises(ValueError, match="^split is 'dev'; allowed: 'train', 'val', "):
        cityscapes.to_coco(tmp_path, "dev")
    with pytest.raises(ValueError, match="^quality is 'fine'; allowed: 'gtFine', 'gtCoarse'"):
        cityscapes.to_coco(tmp_path, "val", "fine")
    drawn_city.write(tmp_path)
    path = tmp_path / "gtFine" / "val" / f"{drawn_city.STEMS[1]}_gtFine_instanceIds.png"
    whole = path.read_bytes()
    for content, message in (
        (whole[:300], r"^annotations .*000001_000019_gtFine_instanceIds.png: .*; allowed: a PNG"),
        (None, r"^annotations .*instanceIds.png: there is no such file; allowed"),
        (np.zeros((96, 190), np.uint16), r"are of shape \(96, 190\); allowed: \(96, 192\), that of the image"),
        (np.full((96, 192), 40000, np.uint16), "have values to 40000; allowed: 0 to 33999"),
        (np.zeros((96, 192, 3), np.uint8), r"are of shape \(96, 192, 3\)"),
    ):
        path.unlink(missing_ok=True)
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            Image.fromarray(content).save(path)
        with pytest.raises(ValueError, match=message):
            cityscapes.to_coco(tmp_path, "val", verbose=0)
