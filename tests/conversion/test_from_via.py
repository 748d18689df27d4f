"""VIA's project files and exports, made here as VIA writes them."""

import json

import numpy as np
import pytest
from converting import categories, iou, mask, photo, read, rows, write

SQUARE = {"name": "polygon", "all_points_x": [2, 10, 10, 2], "all_points_y": [3, 3, 9, 9]}


def region(shape, **attributes):
    return {"shape_attributes": shape, "region_attributes": attributes}


def entries(**regions):
    return {
        f"{name}1234": {"filename": name, "size": 1234, "regions": list(rows), "file_attributes": {}}
        for name, rows in regions.items()
    }


def project(content):
    settings = {"ui": {}, "core": {"default_filepath": ""}, "project": {"name": "p"}}
    attributes = {"region": {"kind": {"type": "dropdown", "options": {"cat": "", "dog": ""}}}, "file": {}}
    head = {"_via_settings": settings, "_via_img_metadata": content, "_via_attributes": attributes}
    return head | {"_via_data_format_version": "2.0.10", "_via_image_id_list": list(content)}


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png", "sub/c d.png"):
        photo(tmp_path / name, 60, 40)
    return tmp_path


CONTENT = entries(
    **{
        "a.png": [
            region(SQUARE, kind="dog"),
            region({"name": "rect", "x": 4, "y": 1, "width": 8, "height": 7}, kind="cat"),
            region({"name": "circle", "cx": 30, "cy": 20, "r": 12.5}, kind="cat"),
            region({"name": "ellipse", "cx": 30, "cy": 20, "rx": 16, "ry": 6, "theta": 0.5}, kind="cat"),
        ],
        "b.png": [],
        "http://host/x/sub/c%20d.png": [region(SQUARE, kind="dog")],
    }
)


@pytest.mark.parametrize("make", [project, lambda content: content])
def test_project_and_exported_annotations(folder, make):
    coco, lost, _ = read("via", write(folder / "via.json", make(CONTENT)))
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "b.png", "sub/c d.png"] and not lost
    assert categories(coco) == {1: "cat", 2: "dog"} and rows(coco, "b.png") == []
    square, box, disc, oval = rows(coco, "a.png")
    assert square["bbox"] == [2, 3, 8, 6] and square["area"] == 48 and square["category_id"] == 2
    assert box["bbox"] == [4, 1, 8, 7] and "segmentation" not in box
    ys, xs = np.mgrid[:40, :60] + 0.5
    assert iou(mask(coco, disc), np.hypot(ys - 20, xs - 30) < 12.5) > 0.97
    along, across = (xs - 30) * np.cos(0.5) + (ys - 20) * np.sin(0.5), (ys - 20) * np.cos(0.5) - (xs - 30) * np.sin(0.5)
    assert iou(mask(coco, oval), np.hypot(along / 16, across / 6) < 1) > 0.96


def test_csv_says_the_same_as_json(folder):
    lines = ["filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes"]
    for entry in CONTENT.values():
        cells = [(row["shape_attributes"], row["region_attributes"]) for row in entry["regions"]] or [({}, {})]
        for number, (shape, attributes) in enumerate(cells):
            quoted = [json.dumps(cell).replace('"', '""') for cell in (shape, attributes)]
            lines.append(f'{entry["filename"]},1234,"{{}}",{len(cells)},{number},"{quoted[0]}","{quoted[1]}"')
    expected = read("via", write(folder / "via.json", CONTENT))[0]
    for head in ("", "#"):
        assert read("via", write(folder / "via.csv", "\ufeff" + head + "\n".join(lines)))[0] == expected
    with pytest.raises(ValueError, match="via.csv', a CSV without the column 'filename'; allowed"):
        read("via", write(folder / "via.csv", "a,b\n1,2\n"))
    with pytest.raises(ValueError, match="via.csv', after line 0: field larger than field limit"):
        read("via", write(folder / "via.csv", "filename," + "x" * 200_000))
    assert read("via", write(folder / "via.csv", "\r".join(lines)))[0] == expected


def test_regions_of_via_1_are_a_table_and_without_attributes_all_are_of_one_category(folder):
    content = entries(**{"a.png": []})
    content["a.png1234"]["regions"] = {"0": region(SQUARE), "1": {"shape_attributes": SQUARE}}
    coco, lost, _ = read("via", write(folder / "via.json", content), category="nucleus")
    assert categories(coco) == {1: "nucleus"} and len(coco["annotations"]) == 2 and not lost


def test_the_attribute_is_chosen_and_check_boxes_have_one_answer(folder):
    ticked = [
        region(SQUARE, note="x", kind={"cat": True, "dog": False}),
        region(SQUARE, kind={"cat": True, "dog": True}),
    ]
    path = write(
        folder / "via.json", entries(**{"a.png": [*ticked, region(SQUARE, note="y"), region(SQUARE, kind="dog")]})
    )
    with pytest.raises(ValueError, match=r"^attribute is '', and '.*' has several: 'kind' \(3 regions\), 'note' \(2"):
        read("via", path)
    with pytest.raises(ValueError, match="^attribute is 'class'; allowed: those of '.*': 'kind'"):
        read("via", path, attribute="class")
    coco, lost, _ = read("via", path, attribute="kind")
    assert [row["category_id"] for row in coco["annotations"]] == [1, 2]
    assert lost["region with several labels or none"] == [
        'a.png: region 2: kind is {"cat": true, "dog": true}; allowed: one'
    ]
    assert lost["object without a label"] == ["a.png: region 3: it is None; allowed: text"]


def test_what_is_left_out_is_named(folder):
    bad = [
        region(SQUARE, kind="dog"),
        region({"name": "point", "cx": 3, "cy": 4}, kind="dog"),
        region({"name": "polyline", "all_points_x": [1, 2], "all_points_y": [1, 2]}, kind="dog"),
        region(SQUARE | {"all_points_x": [1, 2]}, kind="dog"),
        region(SQUARE | {"all_points_x": None}, kind="dog"),
        region(SQUARE | {"all_points_x": [1, 2, float("inf"), 3]}, kind="dog"),
        region({"name": "rect", "x": 1, "y": 2, "width": 3}, kind="dog"),
        region({"name": "rect", "x": 1, "y": 2, "width": -3, "height": 2}, kind="dog"),
        region({"name": "circle", "cx": 1, "cy": 2, "r": 0}, kind="dog"),
        region({"name": "ellipse", "cx": 1, "cy": 2, "rx": 3, "ry": 3, "theta": "x"}, kind="dog"),
        {"region_attributes": {"kind": "dog"}},
        "text",
        region(None, kind="dog"),
    ]
    names = ["a.png", "../../etc/passwd", "no.png"]
    content = entries(**dict.fromkeys(names, ())) | {"x": {"filename": 7}}
    content["a.png1234"]["regions"] = bad
    coco, lost, _ = read("via", write(folder / "via.json", content))
    assert len(coco["annotations"]) == 1 and sum(map(len, lost.values())) == len(bad) - 1 + 3
    assert lost["region of shape 'point', which has no area"] == ["a.png: region 2"]
    assert lost["rect without height"] and lost["polygon whose lists of x and y do not fit"]
    assert [line.split(":")[0] for line in lost["image that is not there"]] == ["'../../etc/passwd'", "'no.png'"]


@pytest.mark.parametrize("content", [{}, [], {"a": 1}, {"_via_img_metadata": []}, "{", {"shapes": []}])
def test_other_files_are_refused(folder, content):
    with pytest.raises(ValueError, match="^input is '.*via.json'"):
        read("via", write(folder / "via.json", content))
