"""Reading COCO files: structure and one-line errors."""

import json

import pytest

from mask_rcnn_tf.coco import reader


def coco(**changes):
    image = {"id": 1, "file_name": "a.png", "width": 4, "height": 4}
    good = {"images": [image], "annotations": [], "categories": [{"id": 1, "name": "a"}]}
    return {key: value for key, value in (good | changes).items() if value is not None}


IMAGE = coco()["images"][0]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([], "it has a list"),
        (coco(annotations=None), "it has 'images', 'categories'"),
        (coco(images={"1": IMAGE}), "must be a table with the lists"),
        (coco(images=[{"id": 1, "file_name": "a.png", "width": 4}]), r"images\[0\] has no 'height'"),
        (coco(images=[IMAGE | {"id": "1"}]), r"images\[0\].id is '1'; allowed: int"),
        (coco(images=[IMAGE, IMAGE]), "images has id 1 twice"),
        (coco(images=["a.png"]), r"images\[0\] is 'a.png'"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 1, "name": "b"}]), "categories has id 1 twice"),
        (coco(categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "a"}]), "categories has name 'a' twice"),
        (coco(categories=[]), "categories is empty"),
        (coco(annotations=[{"id": 1, "image_id": 1}]), r"annotations\[0\] has no 'category_id'"),
    ],
)
def test_not_coco(tmp_path, content, reason):
    path = tmp_path / "a.json"
    path.write_text(json.dumps(content))
    with pytest.raises(ValueError, match=reason) as error:
        reader.read_annotations(path)
    assert "is not in COCO format" in str(error.value) and "\n" not in str(error.value)


def test_not_a_file_and_not_json(tmp_path):
    with pytest.raises(ValueError, match="there is no such file"):
        reader.read_annotations(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        reader.read_annotations(tmp_path / "a.json")


def test_keypoint_count():
    assert reader.keypoint_count(coco()) == 0
    assert reader.keypoint_count(coco(categories=[{"id": 1, "name": "a", "keypoints": ["x", "y"]}])) == 2
    assert reader.keypoint_count(coco(annotations=[{"keypoints": []}, {"keypoints": [1] * 15}])) == 5
    two = [{"id": 1, "name": "a", "keypoints": ["x"]}, {"id": 2, "name": "b", "keypoints": ["x", "y"]}]
    with pytest.raises(ValueError, match=r"name \[1, 2\] keypoints"):
        reader.keypoint_count(coco(categories=two))


def test_a_byte_order_mark_is_read_over(tmp_path):
    """Windows tools write one; `json.loads` refuses it."""
    (tmp_path / "a.json").write_text(json.dumps(coco()), encoding="utf-8-sig")
    assert reader.read_annotations(tmp_path / "a.json") == coco()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (coco(images=[IMAGE | {"id": 2**63}]), r"images\[0\].id is 9223372036854775808; allowed: .*below 2\*\*63"),
        (coco(images=[IMAGE | {"file_name": "a\0.png"}]), r"images\[0\].file_name"),
    ],
)
def test_values_that_would_fail_later(tmp_path, content, reason):
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(ValueError, match=reason) as error:
        reader.read_annotations(tmp_path / "a.json")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["[" * 100_000, '{"images": ' + "9" * 5000 + "}", "\ud800".join('""')])
def test_json_that_python_refuses(tmp_path, text):
    (tmp_path / "a.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match="a.json") as error:
        reader.read_annotations(tmp_path / "a.json")
    assert type(error.value) is ValueError and "\n" not in str(error.value)
