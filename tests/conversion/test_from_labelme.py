"""LabelMe's files, made here as its `label_file.py` writes them, against what was drawn."""

import base64
import io
import json

import numpy as np
import pytest
from converting import categories, drawn, iou, mask, photo, read, rows, write
from PIL import Image

SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]


def shape(label, points, kind="polygon", **more):
    row = {"label": label, "points": points, "group_id": None, "description": "", "shape_type": kind, "flags": {}}
    return row | {"mask": None} | more


def label_file(*shapes, image="a.png", width=20, height=15, **more):
    head = {"version": "5.5.0", "flags": {}, "shapes": list(shapes), "imagePath": image, "imageData": None}
    return head | {"imageHeight": height, "imageWidth": width} | more


def png(array):
    content = io.BytesIO()
    Image.fromarray(array).save(content, "PNG")
    return base64.b64encode(content.getvalue()).decode()


def test_polygons_boxes_and_categories(tmp_path):
    photo(tmp_path / "a.png")
    write(tmp_path / "a.json", label_file(shape("dog", SQUARE), shape("cat", [[12, 8], [4, 1]], "rectangle")))
    coco, lost, _ = read("labelme", tmp_path)
    assert coco["images"] == [{"id": 1, "file_name": "a.png", "height": 15, "width": 20}] and not lost
    assert categories(coco) == {1: "cat", 2: "dog"}
    dog, cat = coco["annotations"]
    expected = np.zeros((15, 20), bool)
    expected[3:9, 2:10] = True
    np.testing.assert_array_equal(mask(coco, dog), expected)
    assert dog["bbox"] == [2, 3, 8, 6] and dog["area"] == 48 and dog["category_id"] == 2 and dog["iscrowd"] == 0
    assert cat["bbox"] == [4, 1, 8, 7] and cat["area"] == 56 and "segmentation" not in cat
    coco, _, _ = read("labelme", tmp_path, boxes_as_masks=True)
    assert mask(coco, coco["annotations"][1]).sum() == 56


def test_circles_turned_boxes_and_odd_polygons_against_pillow(tmp_path):
    photo(tmp_path / "a.png", 80, 60)
    turned = [[40, 5], [60, 20], [45, 40], [25, 25]]
    odd = [[5.5, 40.25], [30.125, 45.5], [12.75, 58.5]]
    circle = shape("c", [[30, 28], [30, 46.5]], "circle")
    content = label_file(circle, shape("t", turned, "oriented_rectangle"), shape("o", odd), width=80, height=60)
    write(tmp_path / "a.json", content)
    coco, lost, _ = read("labelme", tmp_path)
    disc, oriented, polygon = (mask(coco, row) for row in coco["annotations"])
    ys, xs = np.mgrid[:60, :80] + 0.5
    assert iou(disc, np.hypot(ys - 28, xs - 30) < 18.5) > 0.98 and not lost
    assert iou(oriented, drawn((60, 80), sum(turned, []))) > 0.96
    assert iou(polygon, drawn((60, 80), sum(odd, []))) > 0.93


def test_shapes_of_one_label_and_group_are_one_object(tmp_path):
    photo(tmp_path / "a.png")
    other = [[12, 3], [16, 3], [16, 9], [12, 9]]
    left, right = shape("dog", SQUARE, group_id=1), shape("dog", other, group_id=1)
    box = shape("dog", [[12, 10], [15, 12]], "rectangle", group_id=1)
    write(tmp_path / "a.json", label_file(left, shape("dog", other), shape("cat", other, group_id=1), right, box))
    coco, _, _ = read("labelme", tmp_path)
    assert [row["area"] for row in coco["annotations"]] == [48 + 24 + 6, 24, 24]
    assert len(coco["annotations"][0]["segmentation"]) == 3 and coco["annotations"][0]["bbox"] == [2, 3, 14, 9]


def test_masks_with_holes_and_parts_beside_polygons(tmp_path):
    """LabelMe's corners are the first and the last pixel of the window."""
    photo(tmp_path / "a.png")
    crop = np.ones((5, 6), bool)
    crop[2, 2:4] = False
    drawn_mask = shape("ring", [[4, 3], [9, 7]], "mask", mask=png(crop))
    part = shape("ring", [[12, 3], [14, 3], [14, 5], [12, 5]], group_id=7)
    outside = shape("edge", [[17, 12], [22, 16]], "mask", mask=png(np.ones((5, 6), np.uint8)))
    write(tmp_path / "a.json", label_file(drawn_mask | {"group_id": 7}, part, outside))
    coco, lost, _ = read("labelme", tmp_path)
    ring, edge = coco["annotations"]
    expected = np.zeros((15, 20), bool)
    expected[3:8, 4:10] = crop
    expected[3:5, 12:14] = True
    np.testing.assert_array_equal(mask(coco, ring), expected)
    assert ring["area"] == 28 + 4 and ring["bbox"] == [4, 3, 10, 5]
    assert edge["bbox"] == [17, 12, 3, 3] and not lost


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_turned_photo_is_in_the_frame_that_people_see(tmp_path, orientation):
    photo(tmp_path / "a.jpg", 20, 15, orientation)
    seen = (15, 20) if orientation < 5 else (20, 15)
    content = label_file(shape("dog", SQUARE), image="a.jpg", height=seen[0], width=seen[1])
    write(tmp_path / "a.json", content)
    coco, lost, _ = read("labelme", tmp_path)
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == seen and not lost


def test_images_are_found_whatever_machine_wrote_the_path(tmp_path):
    for name in ("train/a.png", "val/a.png", "pictures/Größe é.png", "more/B.PNG"):
        photo(tmp_path / name)
    dog = shape("dog", SQUARE)
    write(tmp_path / "train/a.json", label_file(dog, image="a.png"))
    write(tmp_path / "val/a.json", label_file(dog, image=r"..\val\a.png"))
    write(tmp_path / "labels/1.json", label_file(dog, image="..\\pictures\\Größe e\u0301.png"))
    write(tmp_path / "labels/2.json", label_file(dog, image=r"C:\Users\me\b.png"))
    coco, lost, _ = read("labelme", tmp_path)
    assert [image["file_name"] for image in coco["images"]] == [
        "pictures/Größe é.png", "more/B.PNG", "train/a.png", "val/a.png",
    ] and not lost  # fmt: skip
    coco, _, _ = read("labelme", tmp_path / "labels", images=tmp_path)
    assert [image["file_name"] for image in coco["images"]] == ["pictures/Größe é.png", "more/B.PNG"]


def test_a_missing_image_does_not_take_its_neighbours(tmp_path):
    photo(tmp_path / "val/a.png")
    photo(tmp_path / "secret.png")
    write(tmp_path / "in/train/a.json", label_file(shape("dog", SQUARE), image="a.png"))
    write(tmp_path / "in/b.json", label_file(shape("dog", SQUARE), image="../secret.png"))
    write(tmp_path / "in/c.json", label_file(shape("dog", SQUARE), image=str(tmp_path / "secret.png")))
    photo(tmp_path / "in/val/a.png")
    write(tmp_path / "in/val/a.json", label_file(shape("cat", SQUARE), image="a.png"))
    coco, lost, _ = read("labelme", tmp_path / "in")
    assert [image["file_name"] for image in coco["images"]] == ["val/a.png"] and categories(coco) == {1: "cat"}
    assert [line.split(":")[0] for line in lost["image that is not there"]] == ["b.json", "c.json", "train/a.json"]


def test_a_mask_and_its_corners_may_have_drifted_apart(tmp_path):
    """As labelme's `shapes_to_label`: whole corners cut the mask, others leave it as large as it is."""
    photo(tmp_path / "a.png")
    cut = shape("dog", [[4, 3], [6, 5]], "mask", mask=png(np.ones((5, 6), np.uint8)))
    whole = shape("dog", [[4.4, 3.6], [6.1, 5.0]], "mask", mask=png(np.ones((5, 6), bool)))
    write(tmp_path / "a.json", label_file(cut, whole))
    coco, _, _ = read("labelme", tmp_path)
    assert [row["bbox"] for row in coco["annotations"]] == [[4, 3, 3, 3], [4, 4, 6, 5]]


def test_an_image_that_is_only_inside_the_file_is_named_so(tmp_path):
    photo(tmp_path / "a.png")
    write(tmp_path / "a.json", label_file(shape("dog", SQUARE), imageData="aGVsbG8="))
    write(tmp_path / "b.json", label_file(shape("dog", SQUARE), image="b.jpg", imageData="aGVsbG8="))
    photo(tmp_path / "c.png")
    write(tmp_path / "c.json", label_file(shape("dog", SQUARE), image="before.jpg"))
    coco, lost, _ = read("labelme", tmp_path)
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "c.png"]
    assert lost["image that is not there"][0].endswith("; imageData holds it: save it as a file")


def test_what_is_left_out_is_named(tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "unlabelled.png")
    bad = [
        shape("dog", SQUARE),
        shape("dog", SQUARE[:2]),
        shape("dog", [[1, 1]], "point"),
        shape("", SQUARE),
        shape("dog", [[float("nan"), 1], [2, 2], [3, 1]]),
        shape("dog", [["1", 1], [2, 2], [3, 1]]),
        shape("dog", [[100, 100], [110, 100], [110, 110]]),
        shape("dog", [[1, 1], [1, 1]], "circle"),
        shape("dog", [[1, 1], [5, 5], [6, 6]], "rectangle"),
        shape("dog", [[1, 1], [5, 5]], "mask", mask="not base64!"),
        shape("dog", [[1, 1], [5, 5]], "mask", mask=png(np.ones((50, 9), np.uint8))),
        shape("dog", [[5, 5], [1, 1]], "mask", mask=png(np.ones((5, 5), np.uint8))),
        shape("dog", [[1, 1], [5, 5]], "mask"),
        "text",
        shape("dog", None),
        shape("dog", [[1, 1], [1e300, 5], [6, 6]]),
        shape(["dog"], SQUARE),
        shape("__ignore__", SQUARE),
        shape("d\nog", SQUARE),
    ]
    write(tmp_path / "a.json", label_file(*bad))
    write(tmp_path / "broken.json", "{")
    write(tmp_path / "other.json", {"images": []})
    write(tmp_path / "deep.json", "[" * 3000 + "]" * 3000)
    write(tmp_path / "again.json", label_file(image="a.png"))
    write(tmp_path / "size.json", label_file(image="unlabelled.png", width=21))
    write(tmp_path / "none.json", label_file(image="unlabelled.png", width=-1))
    coco, lost, _ = read("labelme", tmp_path)
    assert len(coco["annotations"]) == 1
    assert sum(map(len, lost.values())) == len(bad) - 1 + 7
    assert lost["polygon of fewer than 3 points"] == ["a.json: shape 2 ('dog'): it has 2"]
    assert lost["shape of type 'point', which has no area"] == ["a.json: shape 3 ('dog')"]
    assert lost["polygon has a number that is not finite"] == ["a.json: shape 5 ('dog')"]
    assert lost["polygon lies outside the image"] == ["a.json: shape 7 ('dog')"]
    assert lost["image that is annotated twice"] == ["again.json: a.png"]
    assert lost["image without a JSON file of LabelMe, taken as not labelled"] == ["unlabelled.png"]
    assert "20 x 15 stored, 21 x 15 in the annotations" in lost["image size is unlike the annotations'"][0]


def test_nothing_to_read(tmp_path):
    photo(tmp_path / "a.png")
    with pytest.raises(ValueError, match="^no images of '.*' were found that can be used: left out: 1 x image without"):
        read("labelme", tmp_path)
    with pytest.raises(ValueError, match="^images is '.*none'; there is no such folder"):
        read("labelme", tmp_path, images=tmp_path / "none")


def test_an_image_without_shapes_stays(tmp_path):
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png")
    write(tmp_path / "a.json", label_file())
    write(tmp_path / "b.json", label_file(shape("dog", SQUARE), image="b.png"))
    coco, _, _ = read("labelme", tmp_path)
    assert len(coco["images"]) == 2 and rows(coco, "a.png") == [] and json.dumps(coco)
