"""LVIS's files: names from addresses, and what federated scoring needs of them."""

import copy
import json

import lvis_scenes
import pytest

from mask_rcnn_tf.coco import completion, lvis, reader


def small():
    images = [lvis_scenes.image(7, negative=[2]), lvis_scenes.image(9, partial=[1])]
    rows = [lvis_scenes.annotation(1, 9, 1, (10, 20, 30, 40))]
    return {"images": images, "annotations": rows, "categories": [lvis_scenes.category(i, "rcf"[i]) for i in (1, 2)]}


def written(tmp_path, content):
    path = tmp_path / "lvis.json"
    path.write_text(json.dumps(content))
    return path


def test_images_are_named_by_the_end_of_their_address(tmp_path):
    """As `split("/")[-2:]` of Detectron2's lvis.py; a file's own names, which LVIS 0.5 has, stay."""
    content = small()
    content["images"][0] |= {"coco_url": "http://images.cocodataset.org/train2017/000000155379.jpg"}
    content["images"][1] |= {"file_name": "COCO_val2014_000000000009.jpg"}
    found = reader.read_annotations(written(tmp_path, content))
    assert [row["file_name"] for row in found["images"]] == [
        "train2017/000000155379.jpg",
        "COCO_val2014_000000000009.jpg",
    ]
    assert found["images"][0]["neg_category_ids"] == [2] and lvis.is_federated(found)


@pytest.mark.parametrize(
    "address", ["a.jpg", "", 5, None, "http://x/../a.jpg", "http://x/val2017/..", "http://x//a.jpg"]
)
def test_an_address_that_names_no_file(tmp_path, address):
    content = small()
    content["images"][1]["coco_url"] = address
    with pytest.raises(
        ValueError, match=r"lvis.json is not in COCO format: images\[1\].coco_url is .*; allowed, where"
    ):
        reader.read_annotations(written(tmp_path, content))


def test_neither_name_nor_address(tmp_path):
    content = small()
    del content["images"][0]["coco_url"]
    with pytest.raises(ValueError, match=r"images\[0\] has no 'file_name'"):
        reader.read_annotations(written(tmp_path, content))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda coco: coco["images"][1].pop("neg_category_ids"), r"images\[1\].neg_category_ids is missing; allowed"),
        (lambda coco: coco["images"][0].update(not_exhaustive_category_ids=None), r"ids is None; allowed, as in"),
        (
            lambda coco: coco["images"][0].update(neg_category_ids=[1, "2"]),
            r"images\[0\].neg_category_ids is \[1, '2'\]",
        ),
        (
            lambda coco: coco["categories"][1].pop("frequency"),
            r"categories\[1\].frequency is None; allowed, .* 'r', 'c'",
        ),
        (lambda coco: coco["categories"][0].update(frequency="rare"), r"categories\[0\].frequency is 'rare'; allowed"),
    ],
)
def test_what_scoring_needs_is_there_or_one_line_says_what_is_not(spoil, message):
    coco = small()
    completion.complete(coco)
    spoil(coco)
    before = copy.deepcopy(coco)
    with pytest.raises(ValueError, match="^truth is not in LVIS format: .*" + message) as error:
        completion.complete(coco, where="truth")
    assert "\n" not in str(error.value) and coco == before


def test_crowds_of_lvis_are_none_and_its_annotations_are_as_they_were():
    coco = small()
    (row,) = completion.complete(coco)[0]["annotations"]
    assert row == coco["annotations"][0] | {"iscrowd": 0}
