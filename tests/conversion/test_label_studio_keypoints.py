"""Label Studio's keypoints, and its export as JSON-MIN, which is made here as `convert_to_json_min` makes it."""

import copy

import numpy as np
import pytest
from converting import categories, mask, photo, read, rows, write
from studio_exports import SIZE, brushed, packed, region, task

SQUARE = [[10, 20], [50, 20], [50, 60], [10, 60]]  # of 80 x 60: x 8 to 40, y 12 to 36
LATER = [[60, 20], [90, 20], [90, 60]]
TIED = "keypoint in {} and tied to none: whose it is cannot be told"


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "a.png", 80, 60)
    return tmp_path


def polygon(points, label="dog", **more):
    return region("polygonlabels", [label], points=points) | more


def point(x, y, label="nose", **more):
    return region("keypointlabels", [label], x=x, y=y, width=0.5) | {"id": f"{label} {x}"} | more


def relation(first, second):
    return {"type": "relation", "from_id": first, "to_id": second, "direction": "right"}


def found(folder, *regions):
    coco, lost, _ = read("label_studio", write(folder / "e.json", [task("a.png", *regions)]))
    return coco, lost


def test_a_keypoint_is_of_its_parent_then_of_its_relation_then_of_what_it_lies_in(folder):
    first, second = polygon(SQUARE, id="one"), polygon(LATER, "cat", id="two")
    points = [point(20, 30, "nose", parentID="two"), point(70, 30, "tail", id="t"), point(30, 50, "eye")]
    coco, lost = found(folder, *points, relation("t", "one"), first, second)
    assert [row["name"] for row in coco["categories"]] == ["cat", "dog"] and not lost
    assert [row["keypoints"] for row in coco["categories"]] == [["eye", "nose", "tail"]] * 2
    dog, cat = coco["annotations"]
    assert dog["keypoints"] == [23.5, 29.5, 2, 0, 0, 0, 55.5, 17.5, 2] and dog["num_keypoints"] == 2
    assert cat["keypoints"] == [0, 0, 0, 15.5, 17.5, 2, 0, 0, 0]
    assert dog["segmentation"] == [[8, 12, 40, 12, 40, 36, 8, 36]]
    points[0]["value"]["height"] = 2  # as models that label beforehand write it
    points[2] |= {"type": "labels", "value": {"x": 30, "y": 50, "width": 0.5, "labels": ["eye"]}}
    coco, lost = found(folder, first, second, *points, relation("one", "t"))
    assert [row["keypoints"] for row in coco["annotations"]] == [dog["keypoints"], cat["keypoints"]] and not lost


@pytest.mark.parametrize("shape", ["box", "brush", "ellipse", "polygon"])
def test_what_a_keypoint_lies_in(folder, shape):
    drawn = np.zeros((60, 80), bool)
    drawn[12:36, 8:40] = True
    drawn[20:24, 20:24] = False
    regions = {
        "box": region("rectanglelabels", ["dog"], x=10, y=20, width=40, height=40, rotation=0),
        "brush": region("brushlabels", ["dog"], format="rle", rle=packed(brushed(drawn))),
        "ellipse": region("ellipselabels", ["dog"], x=30, y=40, radiusX=20, radiusY=20),
        "polygon": polygon(SQUARE),
    }
    holes = {"brush": {(26, 36)}, "ellipse": {(11, 21)}}
    for x, y, inside in (
        (30, 50, True),
        (49, 40, True),
        (26, 36, True),
        (11, 21, True),
        (52, 40, False),
        (30, 61, False),
    ):
        coco, lost = found(folder, regions[shape], point(x, y))
        held = inside and (x, y) not in holes.get(shape, ())
        assert ("keypoints" in coco["annotations"][0]) == held and (TIED.format("no object") in lost) != held


def test_keypoints_whose_object_cannot_be_told_are_left_out(folder):
    inner = [[20, 30], [40, 30], [40, 50]]
    regions = [polygon(SQUARE, id="one"), polygon(inner, "cat", id="two"), polygon(LATER[:2], id="bad")]
    points = [
        point(38, 35),
        point(99, 99),
        point(150, 35),
        point(11, 21, parentID="gone"),
        point(12, 22, parentID="bad"),
    ]
    points += [point(13, 23, id="both"), point(14, 24, "ear"), point(15, 25, "ear"), point(16, 26, "tail")]
    points += [point(17, 27, id="own", parentID="both"), region("keypointlabels", ["a", "b"], x=17, y=27)]
    points += [point(float("nan"), 3), point("x", 3), point(18, 28, image_rotation=90)]
    coco, lost = found(
        folder, *regions, *points, relation("both", "one"), relation("two", "both"), relation("x", "one")
    )
    dog, cat = coco["annotations"]
    assert coco["categories"][1]["keypoints"] == ["tail"] and dog["num_keypoints"] == 1 and "keypoints" not in cat
    place = "task 1 (a.png): region"
    assert lost.pop(TIED.format("several objects")) == [f"{place} 4 ('nose 38'): x 30.4, y 21"]
    assert [line.split(": x ")[1] for line in lost.pop(TIED.format("no object"))] == ["79.2, y 59.4", "120, y 21"]
    ties = [f"{place} {n} ('{name}'): parentID or relation: '{to}'" for n, name, to in (
        (7, "nose 11", "gone"), (8, "nose 12", "bad"), (13, "own", "both"))]  # fmt: skip
    assert lost.pop("keypoint tied to a region that is no object here") == ties
    assert lost.pop("keypoint tied to several objects") == [
        f"{place} 9 ('both'): parentID or relation: 'one', 'two'",
    ]
    assert lost.pop("keypoint of a name that its object has twice") == [
        f"{place} {n} ('ear {x}'): 'ear'" for n, x in ((10, 14), (11, 15))
    ]
    assert lost.pop("relation of other things than a keypoint and a region") == ["task 1"]
    assert sum(map(len, lost.values())) == 5  # the polygon of two points, two labels, two numbers, the turned one


def minimal(tasks):
    """As `convert_to_json_min`: the task's data, and for each control tag a list of values."""
    records = []
    for entry in copy.deepcopy(tasks):
        for done in entry["annotations"] or [{"result": [], "id": None}]:
            record = dict(entry["data"], id=entry["id"])
            for row in done["result"]:
                sides = {side: row[side] for side in ("original_width", "original_height")}
                record.setdefault(row["from_name"], []).append(row["value"] | sides)
            records.append(record | {"annotator": 1, "annotation_id": done["id"], "lead_time": 3.5})
    return records


def test_json_min_gives_what_json_gives(folder):
    random = np.random.default_rng(2)
    drawn = np.zeros((60, 80), bool)
    drawn[40:55, 5:30] = random.random((15, 25)) > 0.5
    kinds = [polygon(SQUARE), region("rectanglelabels", ["cat"], x=60, y=10, width=20, height=20, rotation=30)]
    kinds += [region("rectanglelabels", ["cat"], x=70, y=70, width=20, height=20, rotation=0)]
    kinds += [region("brushlabels", ["dog"], format="rle", rle=packed(brushed(drawn)))]
    kinds += [
        region("ellipselabels", ["cat"], x=80, y=55, radiusX=5, radiusY=8, rotation=0),
        point(30, 50),
        point(80, 56),
    ]
    regions = [row | {"id": f"r{number}", "from_name": row["type"]} for number, row in enumerate(kinds)]
    tasks = [task("/data/upload/1/0123abcd-a.png", *regions)]
    coco, lost, notes = read("label_studio", write(folder / "e.json", tasks))
    least, least_lost, least_notes = read("label_studio", write(folder / "min.json", minimal(tasks)))
    assert least == coco and not lost and not least_lost and notes == least_notes
    assert len(coco["annotations"]) == 5 and categories(coco) == {1: "cat", 2: "dog"}
    assert [row.get("num_keypoints") for row in coco["annotations"]] == [1, None, None, None, 1]
    np.testing.assert_array_equal(mask(least, least["annotations"][3]), drawn)


def test_json_min_of_separate_tags_choices_and_several_annotations(folder):
    photo(folder / "b.png", 80, 60)
    photo(folder / "c.png", 80, 60)
    plain, labelled = {"points": SQUARE}, {"points": SQUARE, "labels": ["dog"]}
    sides = {side: SIZE[side] for side in ("original_width", "original_height")}
    head = {"annotator": "me, 1", "annotation_id": 7, "created_at": "2026"}
    records = [
        head | {"id": 1, "image": "a.png", "shape": [plain | sides], "label": [labelled | sides], "kind": "good"},
        head | {"id": 1, "image": "a.png", "label": [labelled | sides], "annotation_id": 8},
        head | {"id": 2, "image": "b.png", "kind": ["good", "bad"]},
        head | {"id": 3, "image": "c.png", "annotation_id": None},
        head | {"id": 4, "image": "no.png", "shape": [plain | sides]},
        head | {"id": 5, "image": "c.png", "shape": [plain | sides, {"choices": ["a"]} | sides, 7, {"rating": 3}]},
    ]
    coco, lost, notes = read("label_studio", write(folder / "min.json", records))
    assert [image["file_name"] for image in coco["images"]] == ["a.png", "b.png", "c.png"]
    assert len(rows(coco, "a.png")) == 1 == len(coco["annotations"]) and list(notes.values()) == [1]
    assert lost.pop("task without a finished annotation, taken as not labelled") == ["task 3"]
    assert lost.pop("image that is not there")[0].startswith("task 4")
    assert lost == {"result of type 'shape', which is no region with a label": [
        "task 5 (c.png): region 1 (1)", "task 5 (c.png): region 2 (2)",
    ]}  # fmt: skip
