"""Records of real annotation files against pycocotools and Pillow."""

import json

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import coco, records


def real(shared_data, name, tmp_path, split):
    config = Config()
    config.data.data_dir = str(tmp_path)
    for side in ("train", "val"):
        setattr(config.data, f"{side}_annotations", str(shared_data / name / side / "annotations.json"))
        setattr(config.data, f"{side}_images", str(shared_data / name / side / "images"))
    return config, json.loads((shared_data / name / split / "annotations.json").read_text())


@pytest.mark.parametrize(("name", "split"), [("coco_small", "train"), ("coco_small", "val"), ("nuclei", "val")])
def test_real_masks_and_ids(shared_data, tmp_path, name, split):
    config, content = real(shared_data, name, tmp_path, split)
    category_ids, _ = coco.categories(config)
    assert list(category_ids) == sorted(row["id"] for row in content["categories"])
    by_id = {int(record["image_id"]): record for record in coco.dataset(config, split).map(records.decoded)}
    api = COCO()
    api.dataset = coco.ground_truth(config, split)
    api.createIndex()
    used = 0
    for image in content["images"]:
        rows = [row for row in api.imgToAnns[image["id"]] if not row["iscrowd"]]
        if not rows and split == "train":
            assert image["id"] not in by_id
            continue
        record = by_id[image["id"]]
        assert record["image"].shape == (image["height"], image["width"], 3)
        assert [category_ids[index - 1] for index in record["classes"]] == [row["category_id"] for row in rows]
        areas = [sum(counts[1::2]) for counts in record["mask_counts"].to_list()]
        assert areas == [int(coco_mask.area(api.annToRLE(row))) for row in rows]
        assert all(sum(counts) == image["height"] * image["width"] for counts in record["mask_counts"].to_list())
        used += len(rows)
    report = coco.report(config, split)
    crowd = sum(row["iscrowd"] for row in content["annotations"])
    assert (report.annotations, report.crowd, report.used_annotations, report.bad) == (
        len(content["annotations"]),
        crowd,
        used,
        [],
    )


def test_real_image_equals_pillow(shared_data, tmp_path):
    config, content = real(shared_data, "coco_small", tmp_path, "val")
    record = next(iter(coco.dataset(config, "val").map(records.decoded)))
    path = shared_data / "coco_small" / "val" / "images" / content["images"][0]["file_name"]
    np.testing.assert_array_equal(record["image"], np.asarray(Image.open(path).convert("RGB")))
