import dataclasses

import numpy as np
import pycocotools.coco
import pycocotools.mask
import pytest

from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import records, shape_drawing, shapes


@pytest.fixture(scope="module")
def config(tmp_path_factory):
    config = Config()
    config.data.dataset = "mrcnn_shapes"
    config.data.data_dir = str(tmp_path_factory.mktemp("shapes"))
    config.data.shapes = ShapesConfig(size=96, train_scenes=6, val_scenes=4, max_side=48, num_keypoints=5)
    return config


def test_scene_depends_on_seed_split_and_index_only():
    options = ShapesConfig(num_keypoints=5)
    scene, again = shapes.draw_scene(options, "train", 7), shapes.draw_scene(options, "train", 7)
    for key, value in scene.items():
        np.testing.assert_array_equal(value, again[key])
    others = [
        shapes.draw_scene(options, "val", 7),
        shapes.draw_scene(options, "train", 8),
        shapes.draw_scene(dataclasses.replace(options, seed=1), "train", 7),
    ]
    assert all(np.abs(scene["image"].astype(int) - other["image"]).mean() > 10 for other in others)


def test_scenes_keep_the_promised_difficulty():
    options = ShapesConfig()
    counts, sides, shares, classes = [], [], [], set()
    for index in range(40):
        rng = np.random.default_rng(index)
        placed, owner = shape_drawing.place_shapes(rng, 192, (3, 8), (16, 96))
        counts.append(len(placed))
        shares += [(owner == order).sum() / shape.full_area for order, shape in enumerate(placed)]
        scene = shapes.draw_scene(options, "val", index)
        sides += list((scene["boxes"][:, 2:] - scene["boxes"][:, :2]).max(axis=1))
        classes |= set(scene["classes"].tolist())
    assert min(counts) == 3 and max(counts) == 8
    assert min(shares) >= 0.5 and min(shares) < 0.6 and np.mean(np.array(shares) < 0.999) > 0.4
    assert min(sides) >= 8 and 85 < max(sides) <= 97  # half of a 16 px object may remain
    assert classes == set(range(1, len(shape_drawing.CLASS_NAMES) + 1))


def test_masks_are_disjoint_and_boxes_tight():
    for index in range(10):
        scene = shapes.draw_scene(ShapesConfig(), "train", index)
        assert scene["masks"].sum(axis=0).max() == 1
        for mask, (y1, x1, y2, x2) in zip(scene["masks"], scene["boxes"].astype(int), strict=True):
            assert mask[y1:y2, x1:x2].sum() == mask.sum() > 0
            assert all(line.any() for line in (mask[y1], mask[y2 - 1], mask[:, x1], mask[:, x2 - 1]))


def test_mask_is_exactly_what_is_painted(monkeypatch):
    """Bright objects on black: the bright pixels and no others are the union of the masks, the last one on top."""
    brightness = iter([0.0] + [200.0] * 20)
    monkeypatch.setattr(
        shape_drawing, "_texture", lambda rng, shape, *colours: np.full((*shape, 3), next(brightness), np.float32)
    )
    rng = np.random.default_rng(3)
    placed, owner = shape_drawing.place_shapes(rng, 192, (8, 8), (16, 96))
    image = shape_drawing.paint(rng, 192, placed)
    np.testing.assert_array_equal(image.mean(axis=2) > 55, owner >= 0)
    top = placed[-1]
    np.testing.assert_array_equal(owner[top.window] == len(placed) - 1, top.mask)


@pytest.mark.parametrize("name", shape_drawing.CLASS_NAMES)
def test_rasterise_measures_area(name):
    """Against the shoelace formula in float64, and against points tested by the crossing rule."""
    polygons = [17.3 * polygon + (20.2, 19.7) for polygon in shape_drawing.outline(name, np.random.default_rng(5))]
    coverage = shape_drawing.rasterise(polygons, 40, 40)
    area = sum(_shoelace(polygon) for polygon in polygons)
    assert coverage.sum() == pytest.approx(abs(area), rel=5e-3)
    inside = np.zeros((40, 40), bool)
    y, x = np.mgrid[:40, :40] + 0.5
    for polygon in polygons:
        for (x1, y1), (x2, y2) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            crosses = (y1 <= y) != (y2 <= y)
            inside ^= crosses & (x < x1 + (y - y1) * (x2 - x1) / (y2 - y1 if y2 != y1 else 1))
    assert ((coverage >= 0.5) != inside)[np.abs(coverage - 0.5) > 0.26].sum() == 0


def _shoelace(polygon):
    following = np.roll(polygon, -1, axis=0)
    return 0.5 * np.sum(polygon[:, 0] * following[:, 1] - following[:, 0] * polygon[:, 1])


@pytest.mark.parametrize("fill", ["random", "zeros", "ones"])
def test_run_lengths_are_those_of_pycocotools(fill):
    mask = {
        "random": np.random.default_rng(0).random((13, 9)) > 0.5,
        "zeros": np.zeros((13, 9)),
        "ones": np.ones((13, 9)),
    }
    mask = mask[fill].astype(np.uint8)
    counts = shapes.run_lengths(mask)
    assert counts.sum() == mask.size and counts.dtype == np.int32
    encoded = pycocotools.mask.frPyObjects({"size": [13, 9], "counts": counts.tolist()}, 13, 9)
    assert encoded["counts"] == pycocotools.mask.encode(np.asfortranarray(mask))["counts"]


def test_records_are_the_scenes_in_order(config):
    found = list(shapes.dataset(config, "train").map(records.decoded))
    assert len(found) == 6 == int(shapes.dataset(config, "train").cardinality())
    for index, record in enumerate(found):
        scene = shapes.draw_scene(config.data.shapes, "train", index)
        assert int(record["image_id"]) == index + 1
        for key in ("image", "boxes", "classes", "keypoints"):
            np.testing.assert_array_equal(record[key].numpy(), scene[key])
        assert (record["height"], record["width"]) == scene["image"].shape[:2]
        for counts, mask in zip(record["mask_counts"], scene["masks"], strict=True):
            np.testing.assert_array_equal(counts.numpy(), shapes.run_lengths(mask))


def test_options_never_share_a_cache(config):
    other = dataclasses.replace(config.data.shapes, seed=5)
    assert shapes.builder_config(other).name != shapes.builder_config(config.data.shapes).name
    assert shapes.builder_config(other).name == shapes.builder_config(dataclasses.replace(other)).name


def test_ground_truth_is_what_pycocotools_reads(config):
    truth = shapes.ground_truth(config, "val")
    coco = pycocotools.coco.COCO()
    coco.dataset = truth
    coco.createIndex()
    assert [category["name"] for category in truth["categories"]] == list(shapes.categories(config)[1])
    assert [row["id"] for row in truth["annotations"]] == list(range(1, len(truth["annotations"]) + 1))
    for index in range(4):
        scene = shapes.draw_scene(config.data.shapes, "val", index)
        rows = coco.loadAnns(coco.getAnnIds([index + 1]))
        for order, row in enumerate(rows):
            np.testing.assert_array_equal(coco.annToMask(row), scene["masks"][order])
            y1, x1, y2, x2 = scene["boxes"][order]
            assert row["bbox"] == [x1, y1, x2 - x1, y2 - y1] and row["area"] == scene["masks"][order].sum()
            assert row["category_id"] == scene["classes"][order] and row["iscrowd"] == 0
            points = np.reshape(row["keypoints"], (5, 3))
            seen = points[:, 2] > 0
            np.testing.assert_array_equal(points[seen, :2] + 0.5, scene["keypoints"][order][seen, :2])


def test_keypoints_are_extreme_pixels_with_visibility():
    found = set()
    for index in range(20):
        scene = shapes.draw_scene(ShapesConfig(num_keypoints=5), "train", index)
        owner = np.where(scene["masks"].any(axis=0), scene["masks"].argmax(axis=0), -1)
        for order, (points, mask) in enumerate(zip(scene["keypoints"], scene["masks"], strict=True)):
            for name, (x, y, visibility) in zip(shape_drawing.KEYPOINT_NAMES, points, strict=True):
                found.add(int(visibility))
                if visibility == 0:
                    assert x == y == 0
                    continue
                assert x % 1 == y % 1 == 0.5
                top = owner[int(y), int(x)]
                assert (top <= order) == (visibility == 2)
                if visibility == 2 and name != "centre":
                    assert mask[int(y), int(x)]
            if points[0, 2] == 2:
                assert np.flatnonzero(mask.any(axis=1))[0] == int(points[0, 1])
            if points[1, 2] == 2:
                assert np.flatnonzero(mask.any(axis=0))[-1] == int(points[1, 0])
    assert found == {0, 1, 2}


def test_what_cannot_be_drawn_is_an_error(config):
    with pytest.raises(ValueError, match="found room"):
        shape_drawing.place_shapes(np.random.default_rng(0), 32, (12, 12), (31, 32))
    asked = dataclasses.replace(config, data=dataclasses.replace(config.data, shapes=ShapesConfig(num_keypoints=6)))
    with pytest.raises(ValueError, match="num_keypoints is 6; allowed: 0 to 5"):
        shapes.dataset(asked, "train")
    with pytest.raises(ValueError, match="split is 'test'"):
        shapes.dataset(config, "test")

    for count, flips, wrong in ((3, (True, True), "flip_horizontal"), (2, (False, True), "flip_vertical")):
        asked.data.shapes.num_keypoints = count
        asked.data.flip_horizontal, asked.data.flip_vertical = flips
        with pytest.raises(ValueError, match=f"{wrong} is True; allowed with {count} keypoints of shapes"):
            shapes.keypoints(asked)


def test_keypoints_leave_the_scenes_alone():
    """Numbers of the first scene before there were keypoints; with them it is the same."""
    plain, with_points = (shapes.draw_scene(ShapesConfig(num_keypoints=count), "val", 0) for count in (0, 5))
    for key in ("image", "masks", "boxes", "classes"):
        np.testing.assert_array_equal(plain[key], with_points[key])
    assert plain["classes"].tolist() == [6, 2, 1, 4, 3, 3]
    assert plain["masks"].sum((1, 2)).tolist() == [234, 291, 1685, 276, 853, 561]
    rows, columns = [[141, 162], [134, 158], [0, 33], [68, 96], [101, 144], [53, 93]], [35, 13, 29, 148, 97, 0]
    np.testing.assert_array_equal(plain["boxes"][:, ::2], rows)
    np.testing.assert_array_equal(plain["boxes"][:, 1], columns)
    assert shapes.builder_config(ShapesConfig()).name == "shapes192_2d40e2fa0be8"
    assert plain["keypoints"].shape == (6, 0, 3) and shapes.VERSION == "1.0.0"


def test_keypoints_agree_with_the_whole_shape_and_its_mirrors():
    """A scene's objects one by one: the same keypoints are found again in the mask alone, and in mirrored masks."""
    config = Config()
    config.data.shapes.num_keypoints = 5
    found = shapes.keypoints(config)
    assert found.names == ("top", "right", "bottom", "left", "centre") and len(found.sigmas) == 5
    assert (found.flip_pairs, found.vertical_pairs) == (((1, 3),), ((0, 2),))
    assert {tuple(found.names[end] for end in pair) for pair in found.skeleton} == {
        ("centre", name) for name in found.names[:4]
    }
    for index in range(6):
        scene = shapes.draw_scene(ShapesConfig(num_keypoints=5), "val", index)
        for mask, points in zip(scene["masks"], scene["keypoints"], strict=True):
            if (points[:, 2] == 2).all() and mask[points[:4, 1].astype(int), points[:4, 0].astype(int)].all():
                check_extremes(mask, points)
                for axis, pairs in ((1, found.flip_pairs), (0, found.vertical_pairs)):
                    order = list(range(5))
                    for first, second in pairs:
                        order[first], order[second] = second, first
                    mirrored = points.copy()
                    mirrored[:, 1 - axis] = 192 - mirrored[:, 1 - axis]
                    check_extremes(np.flip(mask, axis), mirrored[order])


def check_extremes(mask, points):
    """Top, right, bottom, left and centre of a mask of which all four sides are seen."""
    rows, columns = np.nonzero(mask)
    (top, right, bottom, left, centre), inside = points[:, 1::-1] - 0.5, points[:4].astype(int)
    assert (top[0], right[1], bottom[0], left[1]) == (rows.min(), columns.max(), rows.max(), columns.min())
    assert mask[inside[:, 1], inside[:, 0]].all()
    middle = (rows.min() + rows.max()) / 2, (columns.min() + columns.max()) / 2
    assert np.abs(centre - middle).max() <= 0.5


def test_one_class_is_the_same_scenes_read_otherwise(config):
    plain = list(shapes.dataset(config, "val").as_numpy_iterator())
    one = dataclasses.replace(config, data=dataclasses.replace(config.data))
    one.data.shapes = dataclasses.replace(config.data.shapes, one_class=True)
    assert shapes.builder_config(one.data.shapes).name == shapes.builder_config(config.data.shapes).name
    for record, other in zip(plain, shapes.dataset(one, "val").as_numpy_iterator(), strict=True):
        assert set(other["classes"]) == {1} and other["classes"].dtype == np.int32
        np.testing.assert_array_equal(record["boxes"], other["boxes"])
    assert shapes.categories(one) == ((1,), ("shape",)) and shapes.category_ids(one, "val") == (1,)
    truth, other = shapes.ground_truth(config, "val"), shapes.ground_truth(one, "val")
    assert [category["name"] for category in other["categories"]] == ["shape"]
    assert [row | {"category_id": 1} for row in truth["annotations"]] == other["annotations"]
