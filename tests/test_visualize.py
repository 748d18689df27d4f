"""Pictures: what is drawn where."""

import time

import numpy as np
import pytest
from PIL import Image, ImageFilter

from mask_rcnn_tf import visualize

GREY = np.full((96, 120, 3), 128, np.uint8)


def rectangle(y1, x1, y2, x2, shape=(96, 120)):
    mask = np.zeros(shape, bool)
    mask[y1:y2, x1:x2] = True
    return mask


def test_colors_are_stable_and_distinct():
    colors = np.array([visualize.color(number) for number in range(24)], float)
    distance = np.linalg.norm(colors[:, None] - colors[None], axis=-1) + 1e3 * np.eye(24)
    assert distance.min() > 25
    assert visualize.color(5) == visualize.color(5)


def test_mask_is_tinted_inside_only_and_outlined():
    mask, rgb = rectangle(20, 30, 60, 90), np.array(visualize.color(4))
    picture = visualize.draw(GREY, [[20, 30, 60, 90]], masks=[mask], color_numbers=[4], min_side=96)
    assert picture.shape == GREY.shape
    changed = (picture != 128).any(-1)
    np.testing.assert_array_equal(changed, mask)
    np.testing.assert_array_equal(picture[20, 30:90], np.tile(rgb, (60, 1)))  # outline and box: the colour itself
    tint = 128 * (1 - visualize.MASK_ALPHA) + rgb * visualize.MASK_ALPHA
    np.testing.assert_allclose(picture[40, 60], tint, atol=1)
    assert (GREY == 128).all()


def test_small_masks_lie_on_large_ones():
    masks = [rectangle(40, 50, 50, 70), rectangle(10, 10, 90, 110)]
    boxes = [[40, 50, 50, 70], [10, 10, 90, 110]]
    picture = visualize.draw(GREY, boxes, masks=masks, min_side=96)
    np.testing.assert_array_equal(picture[40, 55], visualize.color(0))


def test_small_images_are_magnified():
    picture = visualize.draw(GREY, [[20, 30, 60, 90]], ["cat"], scores=[0.5], min_side=400)
    assert picture.shape == (480, 600, 3)
    assert (picture[102:298, 155:445] == 128).mean() > 0.8  # only a box and a label that stands above it
    assert (picture[80:99, 150:200] != 128).any(-1).mean() > 0.5


def test_labels_do_not_cover_each_other():
    boxes = np.array([[200.0, 100, 260, 160]] * 3)
    size, taken = (400, 400), np.zeros((0, 4))
    for box in boxes:
        taken = np.r_[taken, [visualize._label_place(box, (50, 18), size, taken, boxes)]]
    assert np.triu(visualize._overlaps(taken, taken), 1).sum() == 0
    assert taken.min() >= 0 and taken.max() <= 400


def test_crowded_pictures_have_no_text():
    random = np.random.default_rng(0)
    corner = random.random((300, 2)) * 80
    boxes = np.concatenate([corner, corner + 6], axis=1)
    with_text = visualize.draw(GREY, boxes, ["nucleus"] * 300)
    np.testing.assert_array_equal(with_text, visualize.draw(GREY, boxes))


def test_no_instances_and_degenerate_boxes():
    np.testing.assert_array_equal(visualize.draw(GREY, np.zeros((0, 4)), [], [], [], min_side=1), GREY)
    boxes = [[5, 5, 5, 30], [-10, -10, 200, 200], [95, 119, 96, 120]]
    masks = [rectangle(0, 0, 0, 0), rectangle(0, 0, 96, 120), rectangle(95, 119, 96, 120)]
    assert visualize.draw(GREY, boxes, ["a", "b", "c"], masks).shape == (480, 600, 3)


def test_bad_input():
    with pytest.raises(ValueError, match="image is float64"):
        visualize.draw(np.zeros((4, 4, 3)), [])
    with pytest.raises(ValueError, match="labels has 2 rows; allowed: 1"):
        visualize.draw(GREY, [[0, 0, 5, 5]], ["a", "b"])
    with pytest.raises(ValueError, match="grid got 0 images"):
        visualize.grid([], 2)
    with pytest.raises(ValueError, match="titles has 1 texts; allowed: columns = 2"):
        visualize.grid([GREY, GREY], 2, ["truth"])


def test_draw_results_decodes_and_filters():
    polygon = [[30.0, 20, 90, 20, 90, 60, 30, 60]]
    counts = [20 + 30 * 96] + [40, 56] * 59 + [40, 96 * 120 - (20 + 89 * 96 + 40)]
    results = [
        {"category_id": 7, "bbox": [30, 20, 60, 40], "segmentation": polygon, "score": 0.9},
        {"category_id": 9, "bbox": [0, 0, 90, 90], "segmentation": polygon, "score": 0.3},
    ]
    first = visualize.draw_results(GREY, results, {7: "cat", 9: "dog"}, score_threshold=0.5, min_side=96)
    mask = rectangle(20, 30, 60, 90)
    alone = visualize.draw(GREY, [[20, 30, 60, 90]], ["cat"], [mask], [0.9], [7], min_side=96)
    np.testing.assert_array_equal(first, alone)
    results[0]["segmentation"] = {"size": [96, 120], "counts": counts}
    again = visualize.draw_results(GREY, results, {7: "cat", 9: "dog"}, score_threshold=0.5, min_side=96)
    np.testing.assert_array_equal(again, alone)


def test_outlines_are_those_of_a_minimum_filter():
    """Pillow's filter looks at the whole square around each pixel: right, and slow for thick lines."""
    random = np.random.default_rng(0)
    mask = np.pad(random.random((60, 70)) < 0.97, 1)
    for radius in (1, 2, 5):
        filtered = Image.fromarray(mask.astype(np.uint8) * 255).filter(ImageFilter.MinFilter(2 * radius + 1))
        np.testing.assert_array_equal(visualize._eroded(mask[1:-1, 1:-1], radius), np.array(filtered)[1:-1, 1:-1] > 0)


def test_time_is_linear_in_pixels():
    def seconds(height, width):
        image, mask = np.zeros((height, width, 3), np.uint8), np.zeros((height, width), bool)
        mask[height // 10 : -height // 10, width // 10 : -width // 10] = True
        started = time.process_time()
        visualize.draw(image, [[0, 0, height, width]], masks=[mask])
        return time.process_time() - started

    small, large = (min(seconds(*size) for _ in range(3)) for size in ((1000, 1500), (3000, 4500)))
    assert large < 3 * 9 * max(small, 0.01)  # with squares around each pixel it was 60 times as long


@pytest.mark.parametrize("shape", [(10, 2000), (1, 5000), (5000, 1), (1, 1)])
def test_long_images_are_not_magnified_beyond_measure(shape):
    image, mask = np.zeros((*shape, 3), np.uint8), np.ones(shape, bool)
    picture = visualize.draw(image, [[0, 0, *shape]], ["thing"], [mask], [1.0])
    assert max(picture.shape) <= max(4000, *shape) and picture.shape[0] * shape[1] == picture.shape[1] * shape[0]


def test_text_grows_with_the_picture():
    """The label of the same scene at ten times the size covers about the same share of it."""
    shares = []
    for factor in (1, 10):
        image = np.full((400 * factor, 500 * factor, 3), 128, np.uint8)
        box = np.array([[200.0, 100, 300, 200]]) * factor
        with_text = visualize.draw(image, box, ["thing"], scores=[0.5])
        shares.append((with_text != visualize.draw(image, box)).any(-1).mean())
    assert 0.5 < shares[1] / shares[0] < 1.5  # small pictures have a least size of text


def test_results_without_masks_beside_masks():
    mask = {"size": [96, 120], "counts": [20 * 96 + 10, 30, 96 * 120 - 20 * 96 - 40]}
    results = [
        {"category_id": 1, "bbox": [20, 10, 1, 30], "segmentation": mask},
        {"category_id": 2, "bbox": [5, 5, 9, 9]},
    ]
    picture = visualize.draw_results(GREY, results, {}, min_side=96)
    np.testing.assert_array_equal(picture[12:30, 20], np.tile(visualize.color(1), (18, 1)))


def test_sheets(tmp_path):
    wide = np.zeros((40, 100, 3), np.uint8)
    sheet = visualize.side_by_side([(GREY, wide), (wide, GREY)], ("truth", "prediction"))
    assert sheet.shape[1] == 2 * 120 + 3 * 12
    assert (sheet[:12] == 255).all() and (sheet[20:24] != 255).any()  # the titles
    plain = visualize.grid([GREY, wide, GREY], columns=2, gap=10)
    assert plain.shape == (2 * 106 + 10, 2 * 130 + 10, 3)
    np.testing.assert_array_equal(plain[10:106, 10:130], GREY)
    np.testing.assert_array_equal(plain[38:78, 150:250], wide)
    visualize.write_image(plain, tmp_path / "new" / "a.png")
    np.testing.assert_array_equal(np.array(Image.open(tmp_path / "new" / "a.png")), plain)
