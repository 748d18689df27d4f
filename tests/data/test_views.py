"""Crops and rotations against their definitions in float64 NumPy: pixels, masks, boxes, points."""

import numpy as np
import pycocotools.mask
import pytest
import tensorflow as tf
from rectangle_records import make_record, ragged

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import mask_runs, shapes, transforms, viewing, views

OUTSIDE = (30, 60, 90)
# offset, size of the crop, quarters, degrees
CASES = [
    ((0, 0), (60, 80), 0, 0.0),
    ((7, 11), (40, 33), 0, 0.0),
    ((7, 11), (40, 33), 3, 0.0),
    ((0, 0), (60, 80), 0, 17.0),
    ((5, 20), (51, 42), 1, -33.5),
    ((0, 0), (60, 80), 2, 170.0),
]


@pytest.fixture
def config():
    config = Config()
    config.model.preprocess.mean, config.model.preprocess.channel_order = OUTSIDE[::-1], "BGR"
    config.data.rotation, config.data.right_angles, config.data.crop = 180.0, True, 0.5
    config.data.max_gt, config.data.min_visible = 6, 0.0
    return config


def draws_for(offset, size, quarters, degrees, image_shape=(60, 80)):
    """What has to be drawn for a view."""
    margins = np.subtract(image_shape, size)
    crop = np.concatenate([np.divide(size, image_shape), np.add(offset, 0.5) / (margins + 1)])
    return {
        "crop": tf.constant(crop, tf.float32),
        "quarters": tf.constant(quarters),
        "angle": tf.constant(np.radians(degrees), tf.float32),
    }


class Definition:
    """A view in float64: anticlockwise about the middle of the crop."""

    def __init__(self, offset, size, quarters, degrees):
        self.middle, self.shape = np.add(offset, np.divide(size, 2)), size if quarters % 2 == 0 else size[::-1]
        cos, sin = np.cos(np.radians(90 * quarters + degrees)), np.sin(np.radians(90 * quarters + degrees))
        self.matrix = np.array([[cos, -sin], [sin, cos]])  # of (y, x), y downwards

    def points(self, points):
        return (np.asarray(points) - self.middle) @ self.matrix.T + np.divide(self.shape, 2)

    def sources(self):
        centres = np.stack(np.mgrid[: self.shape[0], : self.shape[1]], -1) + 0.5
        return (centres - np.divide(self.shape, 2)) @ self.matrix + self.middle

    def mask(self, mask):
        rows, columns = np.moveaxis(np.floor(np.round(self.sources(), 9)).astype(int), -1, 0)
        inside = (rows >= 0) & (rows < mask.shape[0]) & (columns >= 0) & (columns < mask.shape[1])
        return np.where(inside, mask[rows.clip(0, mask.shape[0] - 1), columns.clip(0, mask.shape[1] - 1)], 0)

    def image(self, image):
        """Bilinear between centres of pixels, beyond which lies `OUTSIDE`."""
        places = self.sources() - 0.5
        first, total = np.floor(places).astype(int), 0.0
        for step in ((0, 0), (0, 1), (1, 0), (1, 1)):
            rows, columns = np.moveaxis(first + step, -1, 0)
            inside = (rows >= 0) & (rows < image.shape[0]) & (columns >= 0) & (columns < image.shape[1])
            found = image[rows.clip(0, image.shape[0] - 1), columns.clip(0, image.shape[1] - 1)]
            weight = np.prod(1 - np.abs(places - first - step), -1, keepdims=True)
            total = total + weight * np.where(inside[..., None], found, OUTSIDE)
        return total


def tight(mask):
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]


def seen(config, record, draws):
    found = viewing.viewed(config, transforms.compact(config, dict(record)), draws)
    assert (int(found["height"]), int(found["width"])) == found["image"].shape[:2]
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_view_is_its_definition(config, case):
    record, masks = make_record(keypoints=True)
    draws, defined = draws_for(*case), Definition(*case)
    found = seen(config, record, draws)
    assert tuple(views.viewed_shape(tf.constant([60, 80]), draws).numpy()) == defined.shape
    image = defined.image(record["image"].numpy().astype(np.float64))
    assert np.abs(found["image"].numpy() - image).max() < 0.52  # rounded
    bitmaps = [defined.mask(mask) for mask in masks]
    left = [index for index, bitmap in enumerate(bitmaps) if bitmap.any()]
    np.testing.assert_array_equal(found["classes"], np.add(left, 1))
    decoded = mask_runs.decode_masks(found["mask_counts"], tf.shape(found["image"])[:2])
    np.testing.assert_array_equal(decoded, [bitmaps[index] for index in left])
    for index, box in zip(left, found["boxes"].numpy(), strict=True):
        np.testing.assert_allclose(box, tight(bitmaps[index]), atol=1e-4)
    points = defined.points(record["keypoints"].numpy()[left, :, 1::-1])
    inside = ((points >= 0) & (points <= defined.shape)).all(-1)
    labelled = inside & (record["keypoints"].numpy()[left, :, 2] > 0)
    np.testing.assert_array_equal(found["keypoints"][..., 2], record["keypoints"].numpy()[left, :, 2] * labelled)
    np.testing.assert_allclose(found["keypoints"].numpy()[labelled][:, 1::-1], points[labelled], atol=1e-4)


def test_pixels_of_crops_and_right_angles_are_those_of_the_image(config):
    record, masks = make_record()
    for quarters in range(4):
        found = seen(config, record, draws_for((7, 11), (40, 33), quarters, 0.0))
        np.testing.assert_array_equal(found["image"], np.rot90(record["image"].numpy()[7:47, 11:44], quarters))


@pytest.mark.parametrize("frames", [False, True])
def test_four_right_angles_change_nothing(config, frames):
    """Masks as run lengths, and as squares in their boxes, where nothing cuts them."""
    record, _ = make_record(keypoints=True)
    config.data.rotation, config.data.crop = (0.0, 1.0) if frames else (180.0, 0.5)
    first = turned = transforms.compact(config, dict(record))
    assert ("masks" in first) == frames
    for _ in range(4):
        shape = tuple(turned["image"].shape[:2])
        before, turned = turned, viewing.viewed(config, turned, draws_for((0, 0), shape, 1, 0.0, shape))
        assert tuple(turned["image"].shape[:2]) == shape[::-1]
        np.testing.assert_array_equal(turned["image"], np.rot90(before["image"]))
        if frames:
            np.testing.assert_array_equal(turned["masks"], np.rot90(before["masks"], axes=(1, 2)))
    for name in ("image", "classes", *(("masks",) if frames else ())):
        np.testing.assert_array_equal(turned[name], first[name], err_msg=name)
    for name in ("boxes", "keypoints"):
        np.testing.assert_allclose(turned[name], first[name], atol=1e-4)
    if not frames:
        decoded = [mask_runs.decode_masks(one["mask_counts"], tf.constant([60, 80])) for one in (first, turned)]
        np.testing.assert_array_equal(*decoded)


def test_squares_in_boxes_are_turned_as_their_bitmaps(config):
    """Right angles alone turn masks in the frame of their box; run lengths would have given the same."""
    config.data.rotation, config.data.crop, config.data.gt_mask_size = 0.0, 1.0, 28
    record, _ = make_record()
    for quarters in range(4):
        draws = draws_for((0, 0), (60, 80), quarters, 0.0)
        found = seen(config, record, draws)
        config.data.crop = 0.5
        expected = seen(config, record, draws)
        config.data.crop = 1.0
        shape = tf.shape(expected["image"])[:2]
        frames = mask_runs.box_frame_masks(expected["mask_counts"], expected["boxes"], shape, 28)
        assert np.abs(found["masks"].numpy().astype(int) - frames.numpy()).max() <= 1  # sums in another order
        np.testing.assert_allclose(found["boxes"], expected["boxes"], atol=1e-4)


def test_boxes_without_masks_are_those_of_the_corners(config):
    """And so are stored proposals."""
    record, _ = make_record()
    record |= {"mask_counts": ragged([[], [], []]), "proposals": record["boxes"]}
    case = ((5, 2), (51, 62), 0, 30.0)
    defined, found = Definition(*case), seen(config, record, draws_for(*case))
    corners = [defined.points([(y, x) for y in box[::2] for x in box[1::2]]) for box in record["boxes"].numpy()]
    expected = [np.concatenate([moved.min(0), moved.max(0)]).clip(0, np.tile(defined.shape, 2)) for moved in corners]
    for name in ("boxes", "proposals"):
        np.testing.assert_allclose(found[name], expected, atol=1e-4)
    assert found["mask_counts"].row_lengths().numpy().tolist() == [0, 0, 0]


def test_what_is_hardly_seen_is_dropped(config):
    """A crop keeps 1/4 of one object, half of another, all of a third, whose box is its own, and none of the last."""
    record, _ = make_record(objects=0)
    boxes = np.float32([[10, 10, 30, 30], [20, 10, 40, 30], [30.25, 30.5, 39.75, 44.5], [0, 0, 9, 9]])
    masks = np.zeros((4, 60, 80), np.uint8)
    for mask, (y1, x1, y2, x2) in zip(masks, boxes.round().astype(int), strict=True):
        mask[y1:y2, x1:x2] = 1
    record |= {"boxes": tf.constant(boxes), "classes": tf.constant([1, 2, 3, 4])}
    record["mask_counts"] = ragged([shapes.run_lengths(mask) for mask in masks])
    draws = draws_for((20, 20), (30, 40), 0, 0.0)
    for least, left in ((0.0, [1, 2, 3]), (0.25, [1, 2, 3]), (0.26, [2, 3]), (0.6, [3]), (1.0, [3])):
        config.data.min_visible = least
        found = seen(config, record, draws)
        assert found["classes"].numpy().tolist() == left
    np.testing.assert_allclose(found["boxes"], [[10.25, 10.5, 19.75, 24.5]])
    config.data.min_visible, config.data.max_gt = 0.3, 1  # the first object that is left, not the first of the file
    assert seen(config, record, draws)["classes"].numpy().tolist() == [2]


def test_without_a_mask_head_masks_give_the_boxes(config):
    record, _ = make_record()
    with_masks = seen(config, record, draws_for(*CASES[4]))
    config.model.mask_head.enabled = False
    found = seen(config, record, draws_for(*CASES[4]))
    assert "mask_counts" not in found and "masks" not in found
    np.testing.assert_array_equal(found["boxes"], with_masks["boxes"])


def test_no_objects_in_a_graph(config):
    record, _ = make_record(objects=0)
    draws = draws_for(*CASES[4])
    build = tf.function(
        lambda: viewing.viewed(config, transforms.compact(config, dict(record)), draws), autograph=False
    )
    found = build()
    assert found["boxes"].shape == (0, 4) and found["mask_counts"].nrows() == 0


def test_run_lengths_of_a_part_equal_pycocotools():
    random = np.random.default_rng(4)
    for corner, size in (((2, 3), (5, 4)), ((0, 0), (9, 8)), ((8, 7), (1, 1)), ((4, 5), (0, 0))):
        part, whole = (random.random(size) > 0.4).astype(np.uint8), np.zeros((9, 8), np.uint8)
        whole[corner[0] : corner[0] + size[0], corner[1] : corner[1] + size[1]] = part
        runs = mask_runs.encode(tf.constant(part), tf.constant(corner), tf.constant([9, 8]))
        encoded = pycocotools.mask.frPyObjects({"size": [9, 8], "counts": runs.numpy().tolist()}, 9, 8)
        np.testing.assert_array_equal(pycocotools.mask.decode(encoded), whole)
        columns = np.flatnonzero(whole.any(0))
        expected = (columns[0], columns[-1] + 1) if columns.size else (0, 0)
        assert tuple(int(end) for end in mask_runs.columns(runs, tf.constant(9))) == expected
    assert tuple(int(end) for end in mask_runs.columns(tf.zeros([0], tf.int32), tf.constant(9))) == (0, 0)


def drawn_views(config, count=400):
    @tf.function(autograph=False)
    def draw(image_id, epoch):
        return views.view_draws(config, transforms.draw_seed(config, image_id, epoch))

    return [draw(tf.constant(i % 20, tf.int64), tf.constant(i // 20, tf.int64)) for i in range(count)]


def test_draws(config):
    found = drawn_views(config)
    crops = np.array([draws["crop"] for draws in found])
    assert 0.5 <= crops[:, :2].min() < 0.52 and 0.98 < crops[:, :2].max() <= 1 and 0 <= crops[:, 2:].min()
    assert np.abs(np.corrcoef(crops.T) - np.eye(4)).max() < 0.2
    assert np.bincount([int(draws["quarters"]) for draws in found], minlength=4).min() > 70
    degrees = np.degrees([float(draws["angle"]) for draws in found])
    assert 160 < np.count_nonzero(degrees) < 240 and degrees.min() < -160 and degrees.max() > 160
    config.data.rotation, config.data.right_angles = 0.0, False
    for draws, before in zip(drawn_views(config, 20), found, strict=False):
        np.testing.assert_array_equal(draws["crop"], before["crop"])
        assert int(draws["quarters"]) == 0 and "angle" not in draws
    config.data.crop = 1.0
    assert drawn_views(config, 1) == [{}]


def test_crops_are_detectron2s(config):
    """RandomCrop's "relative_range": int(h * share + 0.5), each place as likely as the others."""
    draws = {"crop": tf.constant([0.55, 0.301, 0.0, 0.0]), "quarters": tf.constant(0)}
    found = views.view_of(tf.constant([10, 50]), draws)
    assert found.cropped.numpy().tolist() == [int(10 * 0.55 + 0.5), int(50 * 0.301 + 0.5)]
    places = np.arange(0, 1, 0.001)
    rows = [
        int(views.view_of(tf.constant([10, 50]), draws | {"crop": tf.constant([0.7, 1.0, place, 0.999])}).offset[0])
        for place in places[::10]
    ]
    assert np.bincount(rows).tolist() == [25, 25, 25, 25]
