"""Tiles and what is joined across their borders, with a finder that sees exactly what lies in a tile."""

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco import results as coco_results
from mask_rcnn_tf.config import DetectionConfig
from mask_rcnn_tf.evaluation import tiles
from mask_rcnn_tf.evaluation.tiles import Tiling

DETECTION = DetectionConfig()
SIDE = 28  # of predicted masks


def finder(whole, min_pixels=1):
    """`predict` that knows the truth: of each colour in a tile the tight box, and the mask in its frame."""

    def predict(images):
        (image,) = images
        boxes, classes, masks = [], [], []
        for number in np.unique(image[..., 0]):
            mask = image[..., 0] == number
            if number and np.count_nonzero(mask) >= min_pixels:
                (rows, columns) = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
                boxes.append((rows[0], columns[0], rows[-1] + 1, columns[-1] + 1))
                classes.append(int(whole[number]))
                masks.append(np.ones((SIDE, SIDE), np.float32))
        count = len(boxes)
        return [
            {
                "detection_boxes": np.array(boxes, np.float32).reshape(-1, 4),
                "detection_classes": np.array(classes, np.int32),
                "detection_scores": np.linspace(0.9, 0.5, count).astype(np.float32),
                "detection_masks": np.array(masks, np.float32).reshape(-1, SIDE, SIDE),
            }
        ]

    return predict


def painted(shape, boxes):
    """An image in which object k, a filled box, has level k; classes by level."""
    image = np.zeros((*shape, 3), np.uint8)
    for number, (y1, x1, y2, x2) in enumerate(boxes, 1):
        image[y1:y2, x1:x2] = number
    return image, {number: 1 + number % 2 for number in range(1, len(boxes) + 1)}


@pytest.mark.parametrize("shape", [(64, 64), (200, 300), (100, 40), (333, 128), (129, 65)])
@pytest.mark.parametrize("overlap", [0, 8, 32])
def test_tiles_cover_an_image_and_overlap(shape, overlap):
    found = tiles.grid(shape, Tiling(64, overlap))
    seen = np.zeros(shape, int)
    for y1, x1, y2, x2 in found:
        assert (y2 - y1, x2 - x1) == (min(64, shape[0]), min(64, shape[1]))
        assert min(y1, x1) >= 0 and y2 <= shape[0] and x2 <= shape[1]
        seen[y1:y2, x1:x2] += 1
    assert seen.min() == 1 and len(set(found)) == len(found)
    for axis in (0, 1):
        starts = sorted({region[axis] for region in found})
        assert all(second - first <= 64 - overlap for first, second in zip(starts, starts[1:], strict=False))
    if max(shape) <= 64:
        assert len(found) == 1


def objects_of(image, classes, tile=64, overlap=24):
    return tiles.predict_tiles(finder(classes), image, Tiling(tile, overlap), DETECTION)


@pytest.mark.parametrize("seed", range(6))
def test_objects_are_found_once_and_whole(seed):
    """Boxes smaller than a tile, wherever they lie; those beyond the overlap come in pieces."""
    random = np.random.default_rng(seed)
    boxes = []
    for y in range(4, 230, 45):
        for x in range(4, 330, 45):
            height, width = random.integers(5, 41, 2)
            boxes.append((y, x, y + height, x + width))
    image, classes = painted((280, 370), boxes)
    found = objects_of(image, classes)
    assert sorted(tuple(piece.box.astype(int).tolist()) for piece in found) == sorted(boxes)
    for piece in found:
        y1, x1, y2, x2 = piece.box.astype(int)
        number = image[y1, x1, 0]
        assert piece.class_id == classes[number]
        whole = tiles._window(piece, (0, 0, 280, 370))
        np.testing.assert_array_equal(whole, image[..., 0] == number)


def test_an_object_larger_than_any_tile_is_united():
    image, classes = painted((150, 400), [(20, 10, 120, 390), (130, 200, 145, 215)])
    found = objects_of(image, classes)
    assert sorted(tuple(piece.box.astype(int).tolist()) for piece in found) == [
        (20, 10, 120, 390),
        (130, 200, 145, 215),
    ]
    large = max(found, key=lambda piece: np.count_nonzero(piece.mask))
    np.testing.assert_array_equal(tiles._window(large, (0, 0, 150, 400)), image[..., 0] == 1)


def test_neighbours_that_touch_stay_apart():
    boxes = [(10, 10, 50, 60), (10, 60, 50, 110), (50, 10, 90, 60)]
    image, _ = painted((100, 200), boxes)
    found = objects_of(image, dict.fromkeys((1, 2, 3), 1))  # of one class
    assert sorted(tuple(piece.box.astype(int).tolist()) for piece in found) == sorted(boxes)


def test_without_masks_boxes_decide():
    image, classes = painted((150, 400), [(20, 10, 120, 390), (130, 200, 145, 215)])

    def predict(images):
        (found,) = finder(classes)(images)
        return [{name: value for name, value in found.items() if name != "detection_masks"}]

    found = tiles.predict_tiles(predict, image, Tiling(64, 24), DETECTION)
    assert sorted(tuple(piece.box.astype(int).tolist()) for piece in found) == [
        (20, 10, 120, 390),
        (130, 200, 145, 215),
    ]
    assert all(piece.mask is None for piece in found)


def test_one_tile_gives_what_the_image_gives():
    image, classes = painted((60, 50), [(3, 4, 30, 20), (35, 10, 55, 45)])
    (detections,) = finder(classes)([image])
    keypoints = np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    detections["detection_keypoints"] = keypoints
    ids, rule = (7, None), (DETECTION.mask_threshold, DETECTION.paste)
    wanted = coco_results.to_results(detections, 3, (60, 50), ids, *rule)
    found = tiles.predict_tiles(lambda images: [detections], image, Tiling(64, 8), DETECTION)
    assert tiles.to_results(found, 3, (60, 50), ids) == wanted and len(wanted) == 1


def test_results_are_in_pixels_of_the_image():
    boxes = [(5, 5, 30, 40), (100, 250, 140, 290), (60, 150, 120, 260)]
    image, classes = painted((150, 300), boxes)
    results = tiles.to_results(objects_of(image, classes), 1, image.shape[:2], (10, 20))
    assert len(results) == 3
    for result in results:
        x, y, width, height = map(int, result["bbox"])
        mask = coco_mask.decode(result["segmentation"]).astype(bool)
        assert mask.shape == (150, 300) and mask[y : y + height, x : x + width].all() and mask.sum() == width * height
    assert {result["category_id"] for result in results} == {10, 20}


def test_keypoints_move_with_their_tile():
    image, classes = painted((64, 140), [(10, 100, 30, 120)])

    def predict(images):
        (found,) = finder(classes)(images)
        corners = found["detection_boxes"][:, None, 1::-1]
        return [found | {"detection_keypoints": np.concatenate([corners, np.ones_like(corners[..., :1])], 2)}]

    (found,) = tiles.predict_tiles(predict, image, Tiling(64, 16), DETECTION)
    np.testing.assert_array_equal(found.keypoints, [(100, 10, 1)])


def test_a_sliver_at_a_border_is_the_other_tiles_to_find():
    """A tile that sees three columns of an object takes them for another class."""
    image, classes = painted((64, 104), [(10, 61, 40, 80)])  # tiles from 0 and from 40, which see 64 columns

    def predict(images):
        (found,) = finder(classes)(images)
        width = found["detection_boxes"][:, 3] - found["detection_boxes"][:, 1]
        return [found | {"detection_classes": np.where(width < 10, 1, 2).astype(np.int32)}]

    (found,) = tiles.predict_tiles(predict, image, Tiling(64, 24), DETECTION)
    assert found.class_id == 2 and found.box.tolist() == [10, 61, 40, 80]


@pytest.mark.parametrize(("box", "judge"), [((10, 42, 40, 60), 0), ((10, 45, 40, 62), 1)])
def test_what_two_tiles_see_is_that_ones_in_whose_middle_it_lies(box, judge):
    image, classes = painted((64, 104), [box])  # tiles from 0 and from 40: the middle of what both see is 52
    scores = iter((0.3, 0.8))

    def predict(images):
        (found,) = finder(classes)(images)
        return [found | {"detection_scores": np.array([next(scores)], np.float32)}]

    (found,) = tiles.predict_tiles(predict, image, Tiling(64, 24), DETECTION)
    assert found.score == pytest.approx((0.3, 0.8)[judge]) and found.box.tolist() == list(box)


def test_false_alarms_do_not_grow_with_the_overlap():
    """A finder that finds something wherever it looks, at places of the image: each is reported once."""
    random = np.random.default_rng(0)
    places = random.uniform(0, 480, (300, 2)).astype(np.float32)

    def predict_of(region):
        low = np.array(region[:2])
        corners = np.concatenate([places, places + 12], 1) - np.tile(low, 2).astype(np.float32)
        whole = corners[(corners[:, :2] >= 1).all(1) & (corners[:, 2:] <= 127).all(1)]
        ones = np.ones(len(whole), np.float32)
        return {"detection_boxes": whole, "detection_scores": ones, "detection_classes": ones.astype(np.int32)}

    for overlap in (16, 64):
        regions = tiles.grid((500, 500), Tiling(128, overlap))
        found = [list(tiles.pieces(predict_of(region), region, (500, 500), DETECTION)) for region in regions]
        seen = {tuple(piece.box.tolist()) for of_tile in found for piece in of_tile}
        kept = [tuple(piece.box.tolist()) for piece in tiles.joined(found, regions, (500, 500))]
        # of those that overlap by half one is left: the finder knows no suppression
        assert len(kept) == len(set(kept)) and set(kept) <= seen and len(kept) > 0.9 * len(seen)


@pytest.mark.parametrize(
    ("tile", "overlap", "message"), [(32, 0, "tile is 32; allowed: 64"), (128, 65, "overlap is 65")]
)
def test_mistakes(tile, overlap, message):
    with pytest.raises(ValueError, match=message):
        Tiling(tile, overlap)


def test_black_tiles_are_not_looked_at():
    """As large parts of a map are, beside what was flown over."""
    image, classes = painted((64, 500), [(10, 400, 30, 420)])
    sizes = []

    def predict(images):
        sizes.append(images[0].shape)
        return finder(classes)(images)

    (found,) = tiles.predict_tiles(predict, image, Tiling(64, 16), DETECTION)
    assert found.box.tolist() == [10, 400, 30, 420] and len(sizes) < 3
