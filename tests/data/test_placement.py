"""Large-scale jitter and its crops against their definition in NumPy and Pillow."""

import numpy as np
import pytest
import tensorflow as tf
from rectangle_records import CANVAS, CASES, by_hand, drawn, jitter_config, make_record, ragged

from mask_rcnn_tf.data import transforms


@pytest.fixture
def config():
    return jitter_config()


@pytest.mark.parametrize("case", CASES)
def test_jitter_is_its_definition(config, case):
    record, masks = make_record()
    example = transforms.example(config, transforms.compact(config, dict(record)), drawn(*case), CANVAS)
    image, shape, _, boxes, bitmaps = by_hand(record, masks, *case)
    assert tuple(example["image_shape"].numpy()) == shape and example["image"].shape == (*CANVAS, 3)
    np.testing.assert_array_equal(example["image"][: shape[0], : shape[1]], image)
    assert not np.any(example["image"][shape[0] :]) and not np.any(example["image"][:, shape[1] :])
    kept = np.flatnonzero(np.all(boxes[:, 2:] > boxes[:, :2], 1) & bitmaps.any((1, 2)))
    np.testing.assert_allclose(example["gt_boxes"][: len(kept)], boxes[kept], atol=2e-5)
    np.testing.assert_array_equal(example["gt_classes"], np.append(kept + 1, [0] * (6 - len(kept))))
    for box, frame, bitmap in zip(boxes[kept], example["gt_masks"].numpy(), bitmaps[kept], strict=False):
        centres = [box[a] + (np.arange(28) + 0.5) * (box[a + 2] - box[a]) / 28 for a in (0, 1)]
        cells = np.ix_(*(np.minimum(centre.astype(int), side - 1) for centre, side in zip(centres, shape, strict=True)))
        assert np.mean((frame >= 128) == bitmap[cells]) > 0.93  # but for cells on an outline


def test_a_crop_leaves_out_what_it_does_not_show(config):
    """An object outside; one whose box reaches into the crop and whose mask does not; one without a mask."""
    image = tf.zeros([64, 96, 3], tf.uint8)
    corner = np.zeros((64, 96), np.uint8)
    corner[40:60, 2:20] = corner[58:60, 2:94] = 1  # an L: its box is seen at the upper right, it is not
    record = {
        "image": image,
        "image_id": tf.constant(1, tf.int64),
        "boxes": tf.constant([[2.0, 2, 10, 10], [40, 2, 60, 94], [4, 60, 30, 90]]),
        "classes": tf.constant([1, 2, 3]),
    }
    runs = np.flatnonzero(np.diff(np.r_[0, corner.T.ravel(), 0]))
    record["mask_counts"] = ragged([np.r_[64 * 2 + 2, 8], np.diff(np.r_[0, runs, corner.size]), []])
    record["keypoints"] = tf.constant([[[5.0, 5, 2]], [[10, 50, 2]], [[70, 20, 1]]])
    record["keypoints"] = tf.concat([record["keypoints"], [[[80.0, 25, 2]], [[80, 35, 2]], [[95, 63, 2]]]], 1)
    draws = drawn(2.0, (0.5, 1.0), (False, False))  # a window of the rows 16 to 48, the columns 48 to 96
    example = transforms.example(config, transforms.compact(config, record), draws, CANVAS)
    np.testing.assert_array_equal(example["gt_classes"], [3, 0, 0, 0, 0, 0])
    np.testing.assert_allclose(example["gt_boxes"][0], [0, 24, 28, 84])
    np.testing.assert_allclose(example["gt_keypoints"][0], [[44, 8, 1], [0, 0, 0]])  # (95, 63) lies below


def test_draws_are_those_of_the_epoch_and_the_image(config):
    def draw(image_id, epoch):
        return transforms.augment_draws(config, tf.constant(image_id, tf.int64), tf.constant(epoch, tf.int64))

    scales = [float(draw(image, epoch)["scale"]) for image in range(20) for epoch in range(10)]
    assert scales == [float(draw(image, epoch)["scale"]) for image in range(20) for epoch in range(10)]
    assert len(set(scales)) == 200 and 0.1 <= min(scales) < 0.15 and 1.9 < max(scales) <= 2.0
    with_jitter = draw(3, 4)
    config.data.scale_jitter = ()
    for name, value in draw(3, 4).items():  # the other draws are what they are without
        np.testing.assert_array_equal(value, with_jitter[name])


def test_options_that_do_not_go_together(config):
    transforms.check_canvases(config)
    config.data.copy_paste = 0.5
    transforms.check_canvases(config)
    config.model.mask_head.mask_frame = "canvas"
    with pytest.raises(ValueError, match=r"config.data.copy_paste is 0.5; allowed above 0: with"):
        transforms.check_canvases(config)
    config.data.canvases = (CANVAS, (96, 96))
    with pytest.raises(ValueError, match=r"config.data.canvases is .*; allowed with config.data.scale_jitter: one"):
        transforms.check_canvases(config)
    config.data.scale_jitter = (2.0, 0.1)
    with pytest.raises(ValueError, match=r"config.data.scale_jitter is \(2.0, 0.1\); allowed: \(\) or \(lowest, hi"):
        transforms.check_canvases(config)
