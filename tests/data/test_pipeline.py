import numpy as np
import pytest
import tensorflow as tf
from eleven_images import CANVASES, assert_same, first, make_config, replace_records
from looks import STRENGTHS, with_strengths

from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import ShapesConfig
from mask_rcnn_tf.data import pipeline, shapes, sources

# Batches of the commit before images were shuffled encoded: ids, short sides; of the first, corners of boxes (flips).
BEFORE = {
    0: (
        [[2, 5, 1], [6, 10, 8], [11, 4, 7], [2, 6, 9], [1, 5, 3], [7, 11, 4], [10, 8, 7], [1, 4, 3]],
        [
            [48, 64, 48],
            [48, 48, 48],
            [64, 64, 64],
            [48, 48, 48],
            [64, 48, 48],
            [48, 48, 64],
            [48, 48, 48],
            [48, 64, 48],
        ],
        [[4.8, 6.4], [21.33, 31.88], [16.0, 24.0]],
    ),
    7: (
        [[1, 7, 5], [4, 2, 8], [6, 9, 3], [10, 11, 7], [4, 1, 10], [3, 2, 5], [11, 8, 3], [6, 9, 6]],
        [
            [48, 64, 64],
            [48, 48, 48],
            [64, 64, 64],
            [64, 64, 48],
            [64, 48, 48],
            [48, 64, 64],
            [64, 64, 48],
            [64, 64, 64],
        ],
        [[16.0, 6.4], [6.4, 31.88], [21.33, 8.5]],
    ),
}


@pytest.fixture
def config():
    return make_config()


@pytest.fixture
def images(monkeypatch):
    return replace_records(monkeypatch)


@pytest.mark.parametrize("cache", [False, True])
def test_every_run_sees_the_same_batches(config, images, cache):
    config.data.cache = cache
    batches = first(pipeline.train_dataset(config), 10)
    assert_same(first(pipeline.train_dataset(config), 10), batches)
    config.train.seed = 1
    other = first(pipeline.train_dataset(config), 10)
    assert [list(batch["image_id"]) for batch in other] != [list(batch["image_id"]) for batch in batches]


@pytest.mark.parametrize("cache", [False, True])
@pytest.mark.parametrize("canvases", [CANVASES[:2], CANVASES[2:]], ids=["two", "one"])
def test_resumed_run_continues_exactly(config, images, cache, canvases):
    config.data.cache, config.data.canvases = cache, canvases
    batches = first(pipeline.train_dataset(config), 26)
    for start_step in (1, 4, 24):
        assert_same(first(pipeline.train_dataset(config, start_step), 2), batches[start_step : start_step + 2])


@pytest.mark.parametrize("cache", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_copy_paste_resumes_exactly(config, images, cache):
    """Large-scale jitter and objects of other images: the batches of an uninterrupted run, on other images' pixels."""
    config.data.cache, config.data.canvases = cache, CANVASES[2:]
    config.data.scale_jitter, config.data.copy_paste = (0.5, 1.5), 1.0
    batches = first(pipeline.train_dataset(config), 9)
    for start_step in (1, 4, 7):
        assert_same(first(pipeline.train_dataset(config, start_step), 2), batches[start_step : start_step + 2])
    pasted = 0
    for batch in batches:  # an image is all of the level of its id; channels are B, G, R
        for image_id, red in zip(batch["image_id"], batch["image"][..., 2], strict=True):
            found = {round(float(level) + 123.675) for level in np.unique(red[red != 0])}
            assert image_id in found and found <= set(range(1, 12))
            pasted += len(found) > 1
    assert pasted >= 3
    for batch in first(pipeline.val_dataset(config), 3):
        assert batch["image_shape"].max() <= 96 and batch["image_shape"].min() == 64


@pytest.mark.parametrize("seed", BEFORE)
def test_the_same_seed_still_gives_the_same_batches(config, images, seed):
    config.train.seed, config.data.flip_vertical = seed, True
    batches = first(pipeline.train_dataset(config), 8)
    ids, sides, corners = BEFORE[seed]
    assert [batch["image_id"].tolist() for batch in batches] == ids
    assert [batch["image_shape"].min(axis=1).tolist() for batch in batches] == sides
    np.testing.assert_allclose(batches[0]["gt_boxes"][:, 0, :2], corners, atol=0.01)
    levels = batches[0]["image"][:, 20, 20] + config.model.preprocess.mean  # image_id is the level of the pixels
    np.testing.assert_allclose(levels, np.repeat(batches[0]["image_id"][:, None], 3, axis=1), atol=1e-3)


@pytest.mark.parametrize("canvases", [CANVASES[:2], CANVASES[2:]], ids=["two", "one"])
def test_files_are_shuffled_and_decoded_after_it(config, images, monkeypatch, canvases):
    """What waits to be shuffled is as large as the files; of images that no batch needs yet nothing is decoded."""
    held, shuffle = [], tf.data.Dataset.shuffle

    def observed(dataset, *args, **options):
        held.append(tf.nest.flatten(dataset.element_spec["image"]) if "image" in dataset.element_spec else [])
        return shuffle(dataset, *args, **options)

    monkeypatch.setattr(tf.data.Dataset, "shuffle", observed)
    config.data.canvases = canvases
    first(pipeline.train_dataset(config, 9), 2)
    assert held[-1][0] == tf.TensorSpec([], tf.string)


def test_finding_where_to_resume_decodes_nothing(config, images):
    """Not one image is whole beyond its header: finding the position works, only the batch itself fails."""
    images["encode"] = lambda image: tf.io.encode_png(image).numpy()[:40]
    resumed = pipeline.train_dataset(config, 9)
    with pytest.raises(tf.errors.InvalidArgumentError, match="PNG|decode"):
        first(resumed, 1)


def test_each_epoch_has_every_image_once_in_its_own_order(config, images):
    config.data.canvases, config.train.batch_size = CANVASES[2:], 11
    epochs = [tuple(batch["image_id"]) for batch in first(pipeline.train_dataset(config), 4)]
    assert all(sorted(epoch) == list(range(1, 12)) for epoch in epochs)
    assert len(set(epochs)) == 4


def test_no_image_is_lost_between_canvases(config, images):
    """Four of eleven images are portrait: batches of both canvases use them all equally often."""
    seen = np.concatenate([batch["image_id"] for batch in first(pipeline.train_dataset(config), 44)])
    counts = np.bincount(seen, minlength=12)[1:]
    assert counts.min() >= 11 and counts.max() <= 13


def test_batch_is_of_one_canvas_that_holds_its_images(config, images):
    found = set()
    for batch in first(pipeline.train_dataset(config), 20):
        canvas = batch["image"].shape[1:3]
        found.add(canvas)
        assert canvas in CANVASES[:2] and batch["image"].shape[0] == 3 and "canvas" not in batch
        assert (batch["image_shape"] <= canvas).all()
        assert set(batch["image_shape"].min(axis=1)) <= {48, 64}
        assert batch["gt_boxes"].shape == (3, 3, 4) and batch["gt_masks"].shape == (3, 3, 8, 8)
        np.testing.assert_array_equal((batch["gt_classes"] > 0).sum(axis=1), batch["image_id"] % 4)
    assert found == set(CANVASES[:2])


def test_one_canvas_is_static(config, images):
    config.data.canvases = CANVASES[2:]
    spec = pipeline.train_dataset(config).element_spec
    assert spec["image"].shape == (3, 96, 96, 3) and spec["gt_masks"].shape == (3, 3, 8, 8)


def test_fewer_images_than_a_batch_holds(config, images):
    images["number"] = 2
    batches = first(pipeline.train_dataset(config), 4)
    assert all(set(batch["image_id"]) == {1, 2} for batch in batches)
    assert_same(first(pipeline.train_dataset(config, 3), 1), batches[3:])


@pytest.mark.parametrize("frame", ["box", "canvas"])
def test_validation_is_finite_whole_and_in_order(config, images, frame):
    config.model.mask_head.mask_frame, config.eval.batch_size = frame, 4
    config.data.canvases = CANVASES[2:]
    config.data.flip_horizontal = config.data.flip_vertical = config.data.right_angles = True
    config.data.rotation, config.data.crop = 45.0, 0.5
    with_strengths(config, **STRENGTHS)
    batches = list(pipeline.val_dataset(config).as_numpy_iterator())
    assert [len(batch["image"]) for batch in batches] == [4, 4, 3]
    assert np.concatenate([batch["image_id"] for batch in batches]).tolist() == list(range(1, 12))
    assert all((batch["image_shape"].min(axis=1) == 64).all() for batch in batches)
    assert batches[0]["gt_masks"].shape == ((4, 3, 8, 8) if frame == "box" else (4, 3, 96, 96))
    assert set(np.unique(np.round(batches[0]["image"][0, :64, :85, 2] + 123.675, 3))) == {1}  # the level of image 1
    box = batches[0]["gt_boxes"][0, 0]
    np.testing.assert_allclose(box, np.array([3, 4, 20, 25]) * np.array([64 / 30, 85 / 40] * 2), rtol=1e-6)
    assert batches[0]["original_shape"][0].tolist() == [30, 40]


def test_validation_of_single_images_keeps_order_over_canvases(config, images):
    ids = [int(batch["image_id"][0]) for batch in pipeline.val_dataset(config).as_numpy_iterator()]
    assert ids == list(range(1, 12))


def test_validation_over_canvases_loses_nothing(config, images):
    config.eval.batch_size = 4
    ids = np.concatenate([batch["image_id"] for batch in pipeline.val_dataset(config).as_numpy_iterator()])
    assert sorted(ids.tolist()) == list(range(1, 12))


def test_bad_arguments_are_errors(config, images, monkeypatch):
    with pytest.raises(ValueError, match="start_step is -1"):
        pipeline.train_dataset(config, -1)
    monkeypatch.setattr(sources, "keypoints", lambda config: KeypointSet(2))
    config.data.keypoint_flip_pairs = ((0, 2),)
    with pytest.raises(ValueError, match="keypoint_flip_pairs"):
        pipeline.train_dataset(config)
    config.data.keypoint_flip_pairs, config.data.keypoint_vertical_pairs = (), ((1, 2),)
    with pytest.raises(ValueError, match=r"keypoint_vertical_pairs is \(\(1, 2\),\); allowed: pairs of indices below"):
        pipeline.train_dataset(config)
    config.data.canvases = CANVASES[:1]
    with pytest.raises(ValueError, match="config.data.canvases"):
        pipeline.val_dataset(config)
    images["number"] = 0
    config.data.canvases, config.data.keypoint_vertical_pairs = CANVASES, ()
    with pytest.raises(ValueError, match="no images to train on"):
        pipeline.train_dataset(config)
    config.data.dataset = "other"
    with pytest.raises(ValueError, match="config.data.dataset is 'other'"):
        sources.categories(config)


def test_shapes_arrive_unchanged(config, tmp_path):
    config.data.dataset, config.data.data_dir, config.data.cache = "mrcnn_shapes", str(tmp_path), True
    config.data.shapes = ShapesConfig(size=64, train_scenes=4, val_scenes=2, max_side=32, num_keypoints=4)
    config.data.canvases, config.data.train_short_sides = ((64, 64),), (64,)
    config.model.preprocess.max_side, config.model.preprocess.mean = 64, (0.0, 0.0, 0.0)
    config.model.preprocess.channel_order = "RGB"
    config.data.flip_horizontal = False
    config.data.max_gt = 8
    batch = next(pipeline.train_dataset(config).as_numpy_iterator())
    for row in range(3):
        scene = shapes.draw_scene(config.data.shapes, "train", batch["image_id"][row] - 1)
        count = len(scene["classes"])
        np.testing.assert_array_equal(batch["image"][row], scene["image"].astype(np.float32))
        np.testing.assert_array_equal(batch["gt_boxes"][row, :count], scene["boxes"])
        np.testing.assert_array_equal(batch["gt_classes"][row], [*scene["classes"], *[0] * (8 - count)])
        np.testing.assert_array_equal(batch["gt_keypoints"][row, :count], scene["keypoints"])
    assert len(list(pipeline.val_dataset(config))) == 2


def test_photographs(config, shared_data, tmp_path):
    folder = shared_data / "coco_small"
    config.data.dataset, config.data.data_dir = "coco_json", str(tmp_path)
    for split in ("train", "val"):
        setattr(config.data, f"{split}_annotations", str(folder / split / "annotations.json"))
        setattr(config.data, f"{split}_images", str(folder / split / "images"))
    config.model.preprocess.short_side, config.model.preprocess.max_side = 256, 320
    config.data.train_short_sides, config.data.canvases = (192, 256), ((256, 320), (320, 256))
    config.data.max_gt, config.data.gt_mask_size = 40, 28
    batches = first(pipeline.train_dataset(config), 5)
    for batch in batches:
        valid = batch["gt_classes"] > 0
        assert valid.any(axis=1).all()  # images without annotations are left out
        boxes, limit = batch["gt_boxes"][valid], np.repeat(batch["image_shape"], valid.sum(axis=1), axis=0)
        assert (boxes[:, 2:] > boxes[:, :2]).all() and (boxes >= 0).all() and (boxes[:, 2:] <= limit).all()
        assert (batch["gt_masks"][valid].max(axis=(1, 2)) > 0).all() and not batch["gt_masks"][~valid].any()
        assert batch["gt_classes"].max() <= 80
    assert_same(first(pipeline.train_dataset(config, 3), 2), batches[3:])
    images = sum(len(batch["image"]) for batch in pipeline.val_dataset(config))
    assert images == len(sources.ground_truth(config, "val")["images"])
