"""Stored proposals in batches: moved as their image is, in their order, as many as the model takes."""

import coco_files
import numpy as np
import pytest

from mask_rcnn_tf.coco import proposals
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import pipeline

# Of images of 20 x 15 pixels, y1, x1, y2, x2; the second has no area, the fourth reaches beyond the image.
BOXES = np.float32([[2, 3, 9, 12], [4, 4, 4, 9], [0, 0, 15, 20], [10, 15, 18, 25], [1, 1, 3, 3], [5, 6, 8, 19]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = coco_files.write(tmp_path_factory.mktemp("data") / "coco")
    rows = [(1, (15, 20), BOXES, np.zeros(6)), (2, (15, 20), BOXES[:1] + 1, np.zeros(1))]
    proposals.write(folder / "p.npz", rows)
    return folder


def config_for(folder, name="p.npz"):
    config: Config = coco_files.config_for(folder, folder.parent / "cache")
    data, model = config.data, config.model
    data.val_annotations, data.val_images = data.train_annotations, data.train_images
    data.train_proposals = data.val_proposals = str(folder / name)
    model.rpn.enabled = model.mask_head.enabled = False
    model.preprocess.short_side, model.preprocess.max_side = 30, 64
    data.train_short_sides, data.canvases, data.max_gt = (30, 45), ((64, 64),), 3
    model.rpn.post_nms_top_n_train, model.rpn.post_nms_top_n_test = 8, 4
    config.train.batch_size, config.eval.batch_size = 2, 2
    return config.validate()


def expected(boxes, shape, flipped):
    """In float64, by hand."""
    moved = np.clip(boxes.astype(np.float64), 0, [15, 20, 15, 20]) * np.tile(np.array(shape) / [15, 20], 2)
    moved = moved[(moved[:, 2:] > moved[:, :2]).all(1)]
    if flipped:
        moved[:, [1, 3]] = shape[1] - moved[:, [3, 1]]
    return moved


def test_validation_takes_the_first_of_its_own_number(folder):
    (batch,) = pipeline.val_dataset(config_for(folder)).as_numpy_iterator()
    assert batch["proposals"].shape == (2, 4, 4) and batch["num_proposals"].tolist() == [4, 1]
    np.testing.assert_allclose(batch["proposals"][0], expected(BOXES, (30, 40), False)[:4], atol=1e-4)
    np.testing.assert_allclose(batch["proposals"][1, 0], expected(BOXES[:1] + 1, (30, 40), False)[0], atol=1e-4)
    assert not batch["proposals"][1, 1:].any()


@pytest.mark.parametrize("cache", [False, True])
def test_training_resizes_and_mirrors_them(folder, cache):
    config, seen = config_for(folder), set()
    config.data.cache = cache
    for batch in pipeline.train_dataset(config).take(12).as_numpy_iterator():
        for i, image_id in enumerate(batch["image_id"]):
            shape, box = batch["image_shape"][i], batch["gt_boxes"][i, 0]
            boxes = BOXES if image_id == 1 else BOXES[:1] + 1
            flipped = not np.isclose(box[1], 2 * shape[1] / 20, atol=1e-3)  # the annotation begins at x = 2
            count = batch["num_proposals"][i]
            assert count == (5 if image_id == 1 else 1)
            np.testing.assert_allclose(batch["proposals"][i, :count], expected(boxes, shape, flipped), atol=1e-4)
            assert batch["proposals"].shape == (2, 8, 4) and not batch["proposals"][i, count:].any()
            seen.add((tuple(shape), flipped))
    assert len(seen) == 4


def test_crops_cut_them_as_they_cut_the_objects(folder):
    config = config_for(folder)
    gt = np.float32([[2, 2, 8, 10]])  # the annotation's own box
    proposals.write(
        folder / "same.npz", [(i, (15, 20), np.concatenate([gt, gt[:, ::-1] * 0]), np.zeros(2)) for i in (1, 2)]
    )
    config.data.train_proposals, config.data.scale_jitter = str(folder / "same.npz"), (0.5, 3.0)
    empty = 0
    for batch in pipeline.train_dataset(config).take(20).as_numpy_iterator():
        for i in range(2):
            np.testing.assert_allclose(batch["proposals"][i, 0], batch["gt_boxes"][i, 0], atol=1e-4)
            empty += batch["num_proposals"][i] == 0
            assert batch["num_proposals"][i] == (batch["gt_classes"][i, 0] > 0)
    assert empty


def test_one_line_for_what_is_missing(folder):
    config = config_for(folder)
    config.data.val_proposals = ""
    with pytest.raises(ValueError, match="config.data.val_proposals is ''; allowed, where model.rpn.enabled is False"):
        pipeline.val_dataset(config)
    proposals.write(folder / "one.npz", [(1, (15, 20), BOXES, np.zeros(6))])
    config.data.val_proposals = str(folder / "one.npz")
    with pytest.raises(ValueError, match="config.data.val_proposals is .*lacks 1 of 2 images"):
        pipeline.val_dataset(config)
    config.model.rpn.enabled = True
    with pytest.raises(ValueError, match="data.train_proposals is '.*'; allowed: '', where model.rpn.enabled is True"):
        config.validate()
