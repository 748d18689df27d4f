"""Damaged and hostile files of every format: a COCO file that passes the gate, or one line; nothing takes long."""

import copy
import json
import os

import numpy as np
import pytest
from converting import photo, read, write
from damaging import MUTATIONS, scratched, survives
from PIL import Image

from mask_rcnn_tf.conversion import formats
from mask_rcnn_tf.conversion.labelled import Options

SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]
ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    float("nan"),
    float("inf"),
    10**400,
    "",
    "x" * 5000,
    "\ud800",
    "a\0b\n",
    "../../etc/passwd",
]
ODD += [[], {}, [[]], [{}], {"a": [1]}, [1, "x"], "-1", "1e5", [[1, 2], [3, 4], [5, float("nan")]], "🙂"]


def labelme():
    shape = {"label": "dog", "points": SQUARE, "group_id": None, "shape_type": "polygon", "flags": {}}
    shapes = [shape, shape | {"shape_type": "rectangle", "points": SQUARE[:2]}, shape | {"group_id": 1}]
    shapes += [shape | {"shape_type": "mask", "points": SQUARE[::2], "mask": "iVBORw0KGgo="}]
    shapes += [
        shape | {"shape_type": "point", "points": [[4, 5]], "group_id": 1, "label": "nose", "flags": {"occluded": True}}
    ]
    return {"version": "5.5.0", "shapes": shapes, "imagePath": "a.png", "imageHeight": 15, "imageWidth": 20}


def via():
    xs, ys = map(list, zip(*SQUARE, strict=True))
    shapes = [{"name": "polygon", "all_points_x": xs, "all_points_y": ys}, {"name": "circle", "cx": 5, "cy": 5, "r": 3}]
    shapes += [
        {"name": "rect", "x": 1, "y": 2, "width": 5, "height": 5},
        {"name": "ellipse", "cx": 5, "cy": 5, "rx": 2, "ry": 3},
    ]
    regions = [{"shape_attributes": shape, "region_attributes": {"kind": "dog"}} for shape in shapes]
    entry = {"filename": "a.png", "size": 9, "regions": regions, "file_attributes": {}}
    return {"_via_img_metadata": {"a.png9": entry}, "_via_settings": {}}


def label_studio():
    size = {"original_width": 20, "original_height": 15, "image_rotation": 0, "id": "x"}
    values = [
        ("polygonlabels", {"points": SQUARE}),
        ("rectanglelabels", {"x": 1, "y": 2, "width": 9, "height": 9, "rotation": 3}),
    ]
    values += [("brushlabels", {"rle": [0, 0, 4, 176, 57, 27, 252, 255, 1, 2], "format": "rle"})]
    values += [("ellipselabels", {"x": 50, "y": 50, "radiusX": 9, "radiusY": 5})]
    regions = [size | {"type": kind, "value": value | {kind: ["dog"]}} for kind, value in values]
    points = [("p", {"parentID": "x"}), ("q", {}), ("r", {})]
    value = {"x": 3, "y": 4, "width": 1}
    regions += [
        size | {"id": name, "type": "keypointlabels", "value": value | {"keypointlabels": [name]}} | more
        for name, more in points
    ]
    regions += [{"type": "relation", "from_id": "q", "to_id": "x"}]
    return [
        {
            "id": 1,
            "data": {"image": "/data/upload/1/a.png"},
            "annotations": [{"result": regions, "was_cancelled": False}],
        }
    ]


def json_min():
    (task,) = label_studio()
    record = {"id": 1, "image": "/data/upload/1/a.png", "annotator": 1, "annotation_id": 3, "kind": "good"}
    for row in task["annotations"][0]["result"][:-1]:
        sides = {side: row[side] for side in ("original_width", "original_height")}
        record.setdefault(f"{row['type'][:5]} tag", []).append(row["value"] | sides)
    return [record, record | {"id": 2, "image": "no.png"}]


def coco():
    rows = [
        {
            "id": 1,
            "image_id": 1,
            "category_id": 1,
            "bbox": [2, 3, 8, 6],
            "segmentation": [sum(SQUARE, [])],
            "iscrowd": 0,
        }
    ]
    rows += [{"id": 2, "image_id": 1, "category_id": 1, "bbox": [2, 3, 8, 6], "keypoints": [3, 3, 2], "area": 48}]
    images = [{"id": 1, "file_name": "a.png", "height": 15, "width": 20}]
    return {"images": images, "annotations": rows, "categories": [{"id": 1, "name": "dog", "keypoints": ["nose"]}]}


def places(value, path=()):
    """The paths of everything in a JSON value."""
    yield path
    for key, item in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield from places(item, (*path, key))


def damaged(content, random):
    """A copy with one or two values replaced, taken away, or doubled."""
    content = copy.deepcopy(content)
    for _ in range(random.integers(1, 3)):
        known = [path for path in places(content) if path]
        if not known:
            return content
        *path, key = known[random.integers(len(known))]
        holder = content
        for step in path:
            holder = holder[step]
        choice = random.integers(8)
        if choice == 0:
            del holder[key]
        elif choice == 1 and isinstance(holder, list):
            holder.append(copy.deepcopy(holder[key]))
        else:
            holder[key] = copy.deepcopy(ODD[random.integers(len(ODD))])
    return content


@pytest.mark.parametrize(
    "make, source, name",
    [
        (labelme, "labelme", ""),
        (via, "via", "f.json"),
        (label_studio, "label_studio", "f.json"),
        (json_min, "label_studio", "f.json"),
        (coco, "coco", "f.json"),
    ],
)
def test_json(tmp_path, make, source, name):
    random, outcomes = np.random.default_rng(7), []
    photo(tmp_path / "a.png")
    for _ in range(MUTATIONS):
        write(tmp_path / (name or "f.json"), json.dumps(damaged(make(), random)))
        outcomes.append(survives(source, tmp_path / name))
    assert {"read", "refused"} == set(outcomes)


POSES = "0 0.5 0.5 0.4 0.4 0.3 0.4 2 0.5 0.5 1\n1 0.5 0.5 0.2 0.2 0 0 0 0.5 0.5 1\n"
POSE_DATA = "kpt_shape: [2, 3]\nkpt_names:\n  0: [a, b]\n  1: [c, d]\nflip_idx: [0, 1]\nnames:\n  0: dog\n  1: cat\n"
YOLO = "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n1 0.5 0.5 0.2 0.2\n"
DATA = "path: .\ntrain: images\nval: images\nnames:\n  0: dog\n  1: cat\n"
CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    'a.png,9,"{}",1,0,"{""name"":""rect"",""x"":1,""y"":2,""width"":5,""height"":5}","{""kind"":""dog""}"\n'
)


@pytest.mark.parametrize(
    "source, name, text",
    [
        ("yolo", "a.txt", YOLO),
        ("yolo", "data.yaml", DATA),
        ("yolo", "a.txt", POSES),
        ("yolo", "data.yaml", POSE_DATA),
        ("via", "f.csv", CSV),
    ],
)
def test_text(tmp_path, source, name, text):
    random = np.random.default_rng(11)
    photo(tmp_path / "a.png")
    is_pose = text in (POSES, POSE_DATA)
    if source == "yolo":
        write(tmp_path / "data.yaml", POSE_DATA if is_pose else DATA)
        write(tmp_path / "a.txt", POSES if is_pose else YOLO)
    outcomes = []
    for _ in range(2 * MUTATIONS):
        write(tmp_path / name, scratched(text.encode(), random))
        outcomes.append(survives(source, tmp_path if source != "via" else tmp_path / name))
    assert "read" in outcomes


ODD_NAMES = [
    "\ud800.png",
    "a\0b.png",
    "x\ny.png",
    "/" * 5000,
    "..",
    ".",
    "",
    " ",
    "a.png/",
    "\u202egnp.a",
    "x" * 100_000,
    "a.png\0",
]


@pytest.mark.parametrize("name", ODD_NAMES, ids=range(len(ODD_NAMES)))
def test_names(tmp_path, name, capsys):
    """Of images and of categories; what is said of them can be printed."""
    photo(tmp_path / "a.png")
    photo(tmp_path / "b.png")
    good = labelme() | {"imagePath": "b.png"}
    write(tmp_path / "b.json", good | {"shapes": [good["shapes"][0] | {"label": name}, good["shapes"][0]]})
    write(tmp_path / "c.json", labelme() | {"imagePath": name})
    via_entries = via()["_via_img_metadata"]
    write(tmp_path / "v.json", {"1": via_entries["a.png9"] | {"filename": name}, "2": via_entries["a.png9"]})
    studio = label_studio()
    write(tmp_path / "s.json", [studio[0] | {"data": {"image": name}}, studio[0]])
    table = coco()
    table["images"].append({"id": 2, "file_name": name, "height": 15, "width": 20})
    write(tmp_path / "t.json", table)
    for source, path in (("labelme", ""), ("via", "v.json"), ("label_studio", "s.json"), ("coco", "t.json")):
        try:
            print(*formats.convert(source, str(tmp_path / path), "coco", str(tmp_path / "out" / "o.json"), Options()))
        except ValueError as error:  # COCO's reader refuses text that can be no name
            assert source == "coco" and "allowed: text that can be a file's name" in str(error)
    assert len(capsys.readouterr().out) < 50_000


def test_files_whose_names_are_no_text(tmp_path):
    photo(tmp_path / "a.png")
    photo(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png"))
    photo(tmp_path / "x\ny.png")
    write(tmp_path / "data.yaml", DATA), write(tmp_path / "a.txt", YOLO)
    coco_, lost, _ = read("yolo", tmp_path)
    assert [image["file_name"] for image in coco_["images"]] == ["a.png"]
    (lines,) = [lines for kind, lines in lost.items() if "no printable text" in kind]
    assert sorted(lines) == ["\\xff.png: \\xff.png", "x\\ny.png: x\\ny.png"]


def test_label_images(tmp_path):
    random, outcomes = np.random.default_rng(13), []
    photo(tmp_path / "a.png")
    for number, form in enumerate(("PNG", "TIFF", "GIF", "BMP")):
        values = np.zeros((15, 20), np.uint8 if number % 2 else np.uint16)
        values[3:9, 2:10] = 1
        Image.fromarray(values.astype(np.uint8) if form in ("GIF", "BMP") else values).save(tmp_path / "whole", form)
        for _ in range(MUTATIONS // 3):
            write(tmp_path / "a_mask.png", scratched((tmp_path / "whole").read_bytes(), random))
            outcomes.append(survives("masks", tmp_path))
    assert {"read", "refused"} == set(outcomes)


@pytest.mark.parametrize("source", formats.SOURCES)
@pytest.mark.parametrize("kind", ["missing", "folder", "empty", "pipe"])
def test_what_is_no_file_of_it(tmp_path, source, kind):
    photo(tmp_path / "a.png")
    path = tmp_path / "none"
    if kind == "folder":
        path.mkdir()
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "pipe":
        os.mkfifo(path)
    with pytest.raises(ValueError) as raised:
        formats.convert(source, str(path), "coco", str(tmp_path / "out.json"), Options())
    assert "\n" not in str(raised.value) and str(path) in str(raised.value)


def test_points_and_objects_of_one_group_without_end(tmp_path):
    photo(tmp_path / "a.png")
    shape = {"label": "dog", "points": SQUARE, "group_id": 1, "shape_type": "polygon"}
    point = {"shape_type": "point", "points": [[4, 5]], "group_id": 1}
    points = [point | {"label": f"joint {number}"} for number in range(3000)]
    write(tmp_path / "f.json", {"shapes": [shape, *points], "imagePath": "a.png"})
    found, lost, _ = read("labelme", tmp_path)
    assert len(found["categories"][0]["keypoints"]) == 1000
    assert {kind: len(lines) for kind, lines in lost.items()} == {"keypoint of a name beyond the first 1000": 2000}
