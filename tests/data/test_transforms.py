import numpy as np
import pycocotools.mask
import pytest
import tensorflow as tf
from rectangle_records import make_record, ragged

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import mask_runs, shapes, transforms


@pytest.fixture
def config():
    config = Config()
    config.model.preprocess.short_side = 96
    config.model.preprocess.max_side = 128
    config.model.preprocess.mean = (0.0, 0.0, 0.0)
    config.model.preprocess.channel_order = "RGB"
    config.data.train_short_sides = (64, 80, 96)
    config.data.canvases = ((96, 128), (128, 96))
    config.data.max_gt = 6
    config.data.gt_mask_size = 28
    return config


def draw(short_side, horizontal=False, vertical=False):
    return {
        "short_side": tf.constant(short_side),
        "flip_horizontal": tf.constant(horizontal),
        "flip_vertical": tf.constant(vertical),
    }


def build(config, record, draws, canvas=(96, 128)):
    return {
        key: value.numpy()
        for key, value in transforms.example(config, transforms.compact(config, record), draws, canvas).items()
    }


def test_decode_masks_equals_pycocotools():
    rng = np.random.default_rng(1)
    masks = [rng.random((11, 7)) > share for share in (0.5, 0.9, 0.0, 1.1)]
    rows = [shapes.run_lengths(mask) for mask in masks] + [np.zeros(0)]
    decoded = mask_runs.decode_masks(ragged(rows), tf.constant([11, 7])).numpy()
    for row, mask in zip(rows[:-1], decoded[:-1], strict=True):
        encoded = pycocotools.mask.frPyObjects({"size": [11, 7], "counts": row.tolist()}, 11, 7)
        np.testing.assert_array_equal(mask, pycocotools.mask.decode(encoded))
    assert decoded.dtype == np.uint8 and not decoded[-1].any()


def test_decode_masks_without_objects_in_a_graph():
    decode = tf.function(mask_runs.decode_masks)
    assert decode(ragged([]), tf.constant([11, 7])).shape == (0, 11, 7)


def test_decode_columns_is_a_part_of_the_bitmap():
    mask = np.random.default_rng(2).random((9, 20)) > 0.5
    part = mask_runs.decode_columns(tf.constant(shapes.run_lengths(mask)), tf.constant(9), 4, 13)
    np.testing.assert_array_equal(part.numpy(), mask[:, 4:13])


def test_example_has_the_form_of_the_contract(config):
    record, _ = make_record(keypoints=True)
    built = build(config, record, draw(96))
    assert {key: (value.shape, value.dtype.name) for key, value in built.items()} == {
        "image": ((96, 128, 3), "float32"),
        "image_shape": ((2,), "int32"),
        "original_shape": ((2,), "int32"),
        "image_id": ((), "int64"),
        "gt_boxes": ((6, 4), "float32"),
        "gt_classes": ((6,), "int32"),
        "gt_masks": ((6, 28, 28), "uint8"),
        "gt_keypoints": ((6, 3, 3), "float32"),
    }
    assert built["image_shape"].tolist() == [96, 128] and built["original_shape"].tolist() == [60, 80]
    assert built["gt_classes"].tolist() == [1, 2, 3, 0, 0, 0]
    assert not any(built[key][3:].any() for key in ("gt_boxes", "gt_masks", "gt_keypoints"))


def test_boxes_are_scaled_by_each_axis_true_ratio(config):
    record, _ = make_record(height=61, width=97)
    built = build(config, record, draw(64))
    height, width = built["image_shape"]
    assert (height, width) == (64, 102)
    expected = record["boxes"].numpy().astype(np.float64) * np.array([64 / 61, 102 / 97, 64 / 61, 102 / 97])
    np.testing.assert_allclose(built["gt_boxes"][:3], expected, rtol=1e-6)
    assert not built["image"][height:].any() and not built["image"][:, width:].any()


@pytest.mark.parametrize("horizontal", [False, True])
@pytest.mark.parametrize("vertical", [False, True])
@pytest.mark.parametrize("frame, places", [("box", False), ("canvas", False), ("box", True)])
def test_flips_equal_their_definition(config, horizontal, vertical, frame, places):
    config.model.mask_head.mask_frame = frame
    config.data.keypoint_flip_pairs = ((0, 2),)
    config.data.keypoint_vertical_pairs = ((0, 1),) if places else ()
    record, _ = make_record(height=64, width=90, keypoints=True)
    plain = build(config, record, draw(64))
    flipped = build(config, record, draw(64, horizontal, vertical))
    height, width = 64, 90
    y_step, x_step = (-1 if vertical else 1), (-1 if horizontal else 1)
    np.testing.assert_array_equal(
        flipped["image"][:height, :width], plain["image"][:height, :width][::y_step, ::x_step]
    )
    inside = (slice(None), slice(height), slice(width)) if frame == "canvas" else (slice(None),) * 3
    np.testing.assert_array_equal(flipped["gt_masks"][inside], plain["gt_masks"][inside][:, ::y_step, ::x_step])
    boxes = plain["gt_boxes"][:3].copy()
    if horizontal:
        boxes[:, [1, 3]] = width - boxes[:, [3, 1]]
    if vertical:
        boxes[:, [0, 2]] = height - boxes[:, [2, 0]]
    np.testing.assert_allclose(flipped["gt_boxes"][:3], boxes, atol=1e-5)
    points = plain["gt_keypoints"][:3].copy()
    if horizontal:
        points[..., 0] = width - points[..., 0]
    if vertical:
        points[..., 1] = height - points[..., 1]
    if places:  # of the image: each mirror has pairs of its own
        points = points[:, [2, 1, 0]] if horizontal else points
        points = points[:, [1, 0, 2]] if vertical else points
    elif horizontal != vertical:
        points = points[:, [2, 1, 0]]
    points[points[..., 2] == 0] = 0
    np.testing.assert_allclose(flipped["gt_keypoints"][:3], points, atol=1e-5)
    assert not flipped["gt_boxes"][3:].any()


@pytest.mark.parametrize("horizontal", [False, True])
def test_masks_fill_their_boxes_after_resizing_and_flipping(config, horizontal):
    config.model.mask_head.mask_frame = "canvas"
    record, _ = make_record(height=60, width=80)
    built = build(config, record, draw(96, horizontal, True))
    for mask, box in zip(built["gt_masks"][:3], built["gt_boxes"][:3], strict=True):
        rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
        found = [rows[0], columns[0], rows[-1] + 1, columns[-1] + 1]
        np.testing.assert_allclose(found, box, atol=1.0)
    assert set(np.unique(built["gt_masks"])) == {0, 255}


def test_box_frame_masks_are_the_bitmap_seen_through_the_box(config):
    """The frame of a tight integer box, read at the centre of each pixel, is the bitmap itself away from edges."""
    config.data.gt_mask_size = 112
    record, masks = make_record()
    frames = transforms.compact(config, record)["masks"].numpy()
    for frame, mask, box in zip(frames, masks, record["boxes"].numpy().astype(int), strict=True):
        y1, x1, y2, x2 = box
        rows = ((np.arange(y2 - y1) + 0.5) / (y2 - y1) * 112).astype(int)
        columns = ((np.arange(x2 - x1) + 0.5) / (x2 - x1) * 112).astype(int)
        np.testing.assert_array_equal(frame[np.ix_(rows, columns)] > 127, mask[y1:y2, x1:x2] > 0)


def test_first_objects_are_kept_above_max_gt(config):
    config.data.max_gt = 2
    record, _ = make_record(objects=4)
    built = build(config, record, draw(96))
    assert built["gt_classes"].tolist() == [1, 2] and built["gt_masks"].shape[0] == 2


@pytest.mark.parametrize("frame", ["box", "canvas"])
def test_image_without_objects(config, frame):
    config.model.mask_head.mask_frame = frame
    record, _ = make_record(objects=0, keypoints=True)
    built = build(config, record, draw(96, True, True))
    assert built["gt_masks"].shape == ((6, 28, 28) if frame == "box" else (6, 96, 128))
    assert not any(built[key].any() for key in built if key.startswith("gt_"))


def test_no_masks_without_a_mask_head(config):
    config.model.mask_head.enabled = False
    record, _ = make_record()
    assert "gt_masks" not in build(config, record, draw(96))


def test_draws_depend_on_seed_epoch_and_image(config):
    config.data.flip_vertical = True

    def key(image_id, epoch):
        draws = transforms.augment_draws(config, tf.constant(image_id, tf.int64), tf.constant(epoch, tf.int64))
        return tuple(value.numpy().item() for value in draws.values())

    drawn = [key(image_id, epoch) for image_id in range(12) for epoch in range(12)]
    assert drawn == [key(image_id, epoch) for image_id in range(12) for epoch in range(12)]
    assert len(set(drawn)) == 12  # three sides, two flips
    assert {side for side, _, _ in drawn} == {64, 80, 96}
    assert 0.35 < np.mean([horizontal for _, horizontal, _ in drawn]) < 0.65
    config.train.seed += 1
    assert drawn != [key(image_id, epoch) for image_id in range(12) for epoch in range(12)]


def test_smallest_canvas_that_holds_the_image(config):
    config.data.canvases = ((128, 128), (96, 128), (128, 96), (64, 96))
    assert transforms.sorted_canvases(config)[0] == (64, 96) and transforms.sorted_canvases(config)[-1] == (128, 128)
    for shape, canvas in (((60, 96), (64, 96)), ((96, 97), (96, 128)), ((97, 96), (128, 96)), ((97, 97), (128, 128))):
        index = int(transforms.canvas_index(config, tf.constant(shape)))
        assert transforms.sorted_canvases(config)[index] == canvas


def test_canvases_that_cannot_hold_an_image_are_an_error(config):
    transforms.check_canvases(config)
    config.data.canvases = ((96, 128),)
    with pytest.raises(ValueError, match=r"config.data.canvases is .* holds \(128, "):
        transforms.check_canvases(config)
    with pytest.raises(tf.errors.InvalidArgumentError, match="config.data.canvases"):
        transforms.canvas_index(config, tf.constant([97, 96]))
