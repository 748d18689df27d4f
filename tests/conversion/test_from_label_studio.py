"""Label Studio's export as JSON, made here."""

import numpy as np
import pytest
from converting import categories, iou, mask, photo, read, rows, write
from studio_exports import brushed, packed, region, task


@pytest.fixture
def folder(tmp_path):
    photo(tmp_path / "a.png", 80, 60)
    return tmp_path


def test_polygons_and_boxes(folder):
    square = region("polygonlabels", ["dog"], points=[[10, 20], [50, 20], [50, 60], [10, 60]], closed=True)
    box = region("rectanglelabels", ["cat"], x=25, y=10, width=50, height=40, rotation=0)
    coco, lost, _ = read("label_studio", write(folder / "e.json", [task("/data/upload/3/1a2b3c4d-a.png", square, box)]))
    assert coco["images"] == [{"id": 1, "file_name": "a.png", "height": 60, "width": 80}] and not lost
    assert categories(coco) == {1: "cat", 2: "dog"}
    first, second = coco["annotations"]
    assert first["bbox"] == [8, 12, 32, 24] and first["area"] == 32 * 24
    assert second["bbox"] == [20, 6, 40, 24] and "segmentation" not in second


def test_turned_rectangles_turn_around_their_upper_left_corner_and_ellipses_around_their_centre(folder):
    box = region("rectanglelabels", ["cat"], x=50, y=20, width=40, height=20, rotation=40)
    oval = region("ellipselabels", ["cat"], x=50, y=50, radiusX=25, radiusY=10, rotation=40)
    coco, _, _ = read("label_studio", write(folder / "e.json", [task("a.png", box, oval)]))
    ys, xs = np.mgrid[:60, :80] + 0.5
    cosine, sine = np.cos(np.radians(40)), np.sin(np.radians(40))
    along, across = (xs - 40) * cosine + (ys - 12) * sine, (ys - 12) * cosine - (xs - 40) * sine
    inside = (along > 0) & (along < 32) & (across > 0) & (across < 12)
    assert iou(mask(coco, coco["annotations"][0]), inside) > 0.95
    along, across = (xs - 40) * cosine + (ys - 30) * sine, (ys - 30) * cosine - (xs - 40) * sine
    assert iou(mask(coco, coco["annotations"][1]), np.hypot(along / 20, across / 6) < 1) > 0.96


@pytest.mark.parametrize("sizes", [(3, 4, 8, 16), (2, 5, 9, 12)])
def test_brushes(folder, sizes):
    random = np.random.default_rng(1)
    drawn = np.zeros((60, 80), bool)
    drawn[10:40, 5:70] = True
    drawn[20:25, 20:40] = random.random((5, 20)) > 0.5
    drawn[59, 79] = True
    brush = region("brushlabels", ["dog"], format="rle", rle=packed(brushed(drawn), sizes))
    coco, lost, _ = read("label_studio", write(folder / "e.json", [task("a.png", brush)]))
    np.testing.assert_array_equal(mask(coco, coco["annotations"][0]), drawn)
    assert coco["annotations"][0]["area"] == drawn.sum() and not lost


def test_shapes_and_labels_of_separate_tags_are_one_region(folder):
    points = [[10, 20], [50, 20], [50, 60]]
    plain = region("polygon", None, points=points) | {"value": {"points": points}}
    labelled = region("labels", ["dog"], points=points)
    coco, lost, _ = read("label_studio", write(folder / "e.json", [task("a.png", plain, labelled)]))
    assert len(coco["annotations"]) == 1 and categories(coco) == {1: "dog"} and not lost


@pytest.mark.parametrize(
    "address",
    [
        "/data/upload/1/0a1b2c3d-a%20%C3%A4.png",
        "/data/local-files/?d=set/sub/a%20%C3%A4.png",
        "s3://bucket/set/a%20%C3%A4.png",
        "https://host/x/sub/a%20%C3%A4.png?token=1",
        "C:\\data\\a ä.png",
        "a ä.png",
    ],
)
def test_images_are_found_by_every_kind_of_address(tmp_path, address):
    photo(tmp_path / "sub/a ä.png", 80, 60)
    coco, _, _ = read(
        "label_studio",
        write(tmp_path / "e.json", [task(address, region("polygonlabels", ["d"], points=[[1, 1], [9, 1], [9, 9]]))]),
    )
    assert coco["images"][0]["file_name"] == "sub/a ä.png"


def test_one_annotation_of_several_is_taken_and_that_is_said(folder):
    one = region("polygonlabels", ["dog"], points=[[10, 20], [50, 20], [50, 60]])
    several = task("a.png", one)
    several["annotations"] += [{"result": [one, one], "ground_truth": True}, {"result": [], "was_cancelled": True}]
    coco, _, notes = read("label_studio", write(folder / "e.json", [several]))
    assert len(coco["annotations"]) == 2 and list(notes.values()) == [1]


@pytest.mark.parametrize("size", [(60, 80), (80, 60)])
def test_a_turned_photo_is_in_the_frame_that_the_results_state(tmp_path, size):
    photo(tmp_path / "t.jpg", 80, 60, orientation=6)
    box = region("rectanglelabels", ["cat"], x=25, y=10, width=50, height=40)
    box |= {"original_height": size[0], "original_width": size[1]}
    coco, _, _ = read("label_studio", write(tmp_path / "e.json", [task("t.jpg", box)]))
    assert (coco["images"][0]["height"], coco["images"][0]["width"]) == size
    assert coco["annotations"][0]["bbox"] == [size[1] / 4, size[0] / 10, size[1] / 2, size[0] * 0.4]


def test_what_is_left_out_is_named(folder):
    points = [[10, 20], [50, 20], [50, 60]]
    good = packed(brushed(np.ones((60, 80), bool)))
    bad = [
        region("keypointlabels", ["dog"], x=1, y=1, width=0.5),
        region("polygonlabels", ["dog", "cat"], points=points),
        region("polygonlabels", [], points=points),
        region("polygonlabels", ["dog"], points=points[:2]),
        region("polygonlabels", ["dog"], points=[[1, None], [2, 2], [3, 3]]),
        region("polygonlabels", ["dog"], points=points) | {"image_rotation": 90},
        region("polygonlabels", ["dog"], points=points) | {"original_width": 81},
        {"type": "choices", "value": {"choices": ["good"]}, "id": "x"},
        {"type": "relation", "from_id": "a", "to_id": "b"},
        region("rectanglelabels", ["dog"], x=1, y=1, width=0, height=5),
        region("rectanglelabels", ["dog"], x=1, y=1, width=5, height=5, rotation="x"),
        region("rectanglelabels", ["dog"], x=1, y=1, width=5, height=5, rotation=[1, 2]),
        region("brushlabels", ["dog"], format="rle", rle=good[:-3]),
        region("brushlabels", ["dog"], format="rle", rle=good[:6]),
        region("brushlabels", ["dog"], format="rle", rle=[255] * 40),
        region("brushlabels", ["dog"], format="rle", rle=packed([0] * 16)),
        region("brushlabels", ["dog"], format="rle", rle=["x"]),
        region("brushlabels", ["dog"], format="rle", rle=[10**400, 2, 3, 4, 5, 6, 7, 8]),
        region("brushlabels", ["dog"], format="rle", rle=packed(brushed(np.zeros((60, 80), bool)))),
    ]
    tasks = [task("a.png", region("polygonlabels", ["dog"], points=points), *bad)]
    tasks += [
        task("no.png", number=2),
        {"id": 3, "data": {"image": "a.png"}, "annotations": []},
        task("a.png", number=4),
    ]
    tasks += [
        {"id": 5, "data": None, "annotations": [{"result": []}]},
        task("a.png") | {"annotations": [{"result": 7}]},
    ]
    coco, lost, _ = read("label_studio", write(folder / "e.json", tasks))
    assert len(coco["annotations"]) == 1 and sum(map(len, lost.values())) == len(bad) + 5
    tied = "keypoint in no object and tied to none: whose it is cannot be told"
    assert lost[tied] == ["task 1 (a.png): region 2 ('Dx_aB91ISN'): x 0.8, y 0.6"]
    assert lost["relation of other things than a keypoint and a region"] == ["task 1"]
    assert lost["task without a finished annotation, taken as not labelled"] == ["task 3"]
    assert lost["brush RLE of another size than the image"][1].endswith("16 values, not 4 * 60 * 80")
    assert lost["image that is annotated twice"] == ["task 4: a.png"] and rows(coco, "a.png")


@pytest.mark.parametrize(
    "content, message",
    [
        ({}, "is no list of tasks"),
        ([1], "is no list of tasks"),
        ([{"image": "a.png", "label": []}], "without annotations; allowed: .* as JSON or JSON-MIN"),
        ("[", "it is not JSON"),
    ],
)
def test_other_files_are_refused(folder, content, message):
    with pytest.raises(ValueError, match=f"^input is '.*e.json'.*{message}"):
        read("label_studio", write(folder / "e.json", content))
