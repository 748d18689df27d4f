"""Copy-paste against its definition, pixel by pixel in NumPy."""

import numpy as np
import pytest
import tensorflow as tf
from rectangle_records import CANVAS, CASES, by_hand, drawn, jitter_config, make_record, ragged

from mask_rcnn_tf.data import copy_paste, transforms
from mask_rcnn_tf.ops import masks as mask_ops

WHOLE = (1.0, (0.0, 0.0), (False, False))


@pytest.fixture
def config():
    return jitter_config()


def on_canvas(bitmaps):
    margins = [(0, side - size) for side, size in zip(CANVAS, bitmaps.shape[1:], strict=True)]
    return np.pad(bitmaps, [(0, 0), *margins]).astype(bool)


def tight(bitmap):
    rows, columns = np.flatnonzero(bitmap.any(1)), np.flatnonzero(bitmap.any(0))
    return np.array([rows[0], columns[0], rows[-1] + 1, columns[-1] + 1], np.float32)


def pasted(config, records, cases, chosen):
    images = tuple(transforms.compact(config, dict(record)) for record in records)
    draws = tuple(drawn(*case) for case in cases)
    alone = [transforms.example(config, image, draw, CANVAS) for image, draw in zip(images, draws, strict=True)]
    made = copy_paste.pasted_example(config, images, draws, tf.constant(chosen), CANVAS)
    as_arrays = [{name: value.numpy() for name, value in example.items()} for example in (made, *alone)]
    return as_arrays


@pytest.mark.parametrize("case", [WHOLE, *CASES])
@pytest.mark.parametrize("other", [WHOLE, CASES[3]])
def test_as_by_hand(config, case, other):
    """The image, the boxes and the masks, of objects that are covered in part, wholly and not at all."""
    (record, masks), (record2, masks2) = make_record(64, 96), make_record(64, 96, seed=4)
    chosen = np.array([True, False, True, True, False, False])
    made, below, above = pasted(config, (record, record2), (case, other), chosen)
    _, shape, _, _, bitmaps = by_hand(record, masks, *case)
    _, shape2, _, _, bitmaps2 = by_hand(record2, masks2, *other)
    kept = np.flatnonzero(below["gt_classes"])
    classes, classes2 = below["gt_classes"][kept], above["gt_classes"][above["gt_classes"] > 0]
    upper = on_canvas(bitmaps2)[classes2 - 1][chosen[: len(classes2)]]
    cover = upper.any(0)
    image = np.where(cover[..., None], above["image"], below["image"])
    np.testing.assert_array_equal(made["image"], image)
    extent = [np.flatnonzero(cover.any(axis))[-1] + 1 for axis in (1, 0)]
    np.testing.assert_array_equal(made["image_shape"], np.maximum(shape, extent))
    count = len(upper)
    for name in ("gt_boxes", "gt_classes", "gt_masks"):  # pasted objects come first, unchanged
        np.testing.assert_array_equal(made[name][:count], above[name][: len(classes2)][chosen[: len(classes2)]])
    row = count
    for index, bitmap in zip(kept, on_canvas(bitmaps)[classes - 1], strict=True):
        left = bitmap & ~cover
        if bitmap.any() and not left.any():
            continue
        assert made["gt_classes"][row] == below["gt_classes"][index]
        box, mask = below["gt_boxes"][index], below["gt_masks"][index]
        if np.any(bitmap & cover):
            box = tight(left)
            mask = mask_ops.mask_to_box_frame(tf.constant(left), tf.constant(box), 28).numpy()
        np.testing.assert_array_equal(made["gt_boxes"][row], box)
        np.testing.assert_array_equal(made["gt_masks"][row], mask)
        row += 1
    assert row == np.count_nonzero(made["gt_classes"])
    assert made["image_id"] == 5 and tuple(made["original_shape"]) == (64, 96)


def rectangles(*boxes, keypoints=None):
    """A record of filled rectangles, one class each."""
    counts = []
    for y1, x1, y2, x2 in boxes:
        bitmap = np.zeros((64, 96), np.uint8)
        bitmap[y1:y2, x1:x2] = 1
        runs = np.flatnonzero(np.diff(np.r_[0, bitmap.T.ravel(), 0]))
        counts.append(np.diff(np.r_[0, runs, bitmap.size]))
    record = {"image": tf.zeros([64, 96, 3], tf.uint8), "image_id": tf.constant(9, tf.int64)}
    record |= {"boxes": tf.constant(np.float32(boxes)), "classes": tf.range(1, len(boxes) + 1)}
    record["mask_counts"] = ragged(counts)
    return record if keypoints is None else record | {"keypoints": tf.constant(keypoints, tf.float32)}


def test_covered_objects_and_keypoints(config):
    """One is wholly covered and gone, one keeps its lower half, one is as it was."""
    below = rectangles(
        (10, 10, 20, 20), (4, 40, 24, 60), (40, 40, 60, 90), keypoints=[[[15, 15, 2]], [[50, 20, 2]], [[50, 50, 1]]]
    )
    above = rectangles(
        (0, 0, 22, 22), (0, 38, 14, 62), (30, 0, 31, 1), keypoints=[[[1, 1, 2]], [[40, 2, 1]], [[0, 30, 2]]]
    )
    config.model.keypoint_head.enabled = True
    made, *_ = pasted(config, (below, above), (WHOLE, WHOLE), [True, True] + [False] * 4)
    np.testing.assert_array_equal(made["gt_classes"], [1, 2, 2, 3, 0, 0])
    np.testing.assert_array_equal(made["gt_boxes"][2:4], [[14, 40, 24, 60], [40, 40, 60, 90]])
    assert np.all(made["gt_masks"][:4].mean((1, 2)) > 220)  # cells at a border see beyond it
    np.testing.assert_array_equal(made["gt_keypoints"][:4, 0], [[1, 1, 2], [40, 2, 1], [50, 20, 2], [50, 50, 1]])
    third = rectangles((4, 40, 24, 60), keypoints=[[[50, 6, 2]]])  # its keypoint is under what is pasted
    made, *_ = pasted(config, (third, above), (WHOLE, WHOLE), [False, True] + [False] * 4)
    np.testing.assert_array_equal(made["gt_keypoints"][1, 0], [50, 6, 1])


def test_nothing_chosen_changes_nothing(config):
    made, below, _ = pasted(config, (make_record()[0], make_record(seed=1)[0]), (CASES[1], CASES[2]), [False] * 6)
    for name, value in below.items():
        np.testing.assert_array_equal(made[name], value, err_msg=name)


def test_share_of_images_and_objects(config):
    config.data.copy_paste = 0.75
    draws = np.array(
        [
            copy_paste.paste_draws(config, tf.constant(i % 50, tf.int64), tf.constant(i // 50, tf.int64))
            for i in range(400)
        ]
    )
    assert 0.68 < np.mean(draws.any(1)) < 0.82 and 0.32 < draws.mean() < 0.43
    config.data.copy_paste = 0.0
    assert not np.any(copy_paste.paste_draws(config, tf.constant(1, tf.int64), tf.constant(0, tf.int64)))
