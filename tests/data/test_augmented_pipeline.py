"""All options of augmentation in batches: the same in every run, resumed in an epoch, turned onto the other canvas."""

import numpy as np
import pytest
import tensorflow as tf
from eleven_images import CANVASES, assert_same, first, make_config, replace_records
from looks import STRENGTHS, with_strengths
from tiny import tiny_config

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.data import pipeline, sources
from mask_rcnn_tf.training.schedule import make_optimizer


@pytest.fixture
def config(monkeypatch):
    replace_records(monkeypatch)
    config = with_strengths(make_config(), **STRENGTHS)
    config.data.right_angles, config.data.rotation, config.data.crop = True, 45.0, 0.6
    return config


def test_resumed_over_two_canvases_and_trained_on(config):
    """Which canvas an image is on depends on what is seen of it and how it is turned."""
    batches = first(pipeline.train_dataset(config), 11)
    assert_same(first(pipeline.train_dataset(config, 9), 2), batches[9:])
    canvas_of = {}
    for batch in batches:
        assert (batch["image_shape"] <= batch["image"].shape[1:3]).all()
        for image_id in batch["image_id"]:
            canvas_of.setdefault(int(image_id), set()).add(batch["image"].shape[1:3])
    assert max(map(len, canvas_of.values())) == 2  # turned from one epoch to the next
    check_step(config, batches)


@pytest.mark.slow  # twice as many images to trace
def test_everything_resumed_and_trained_on(config):
    """With jitter and copy-paste, from memory."""
    config.data.cache, config.data.canvases = True, CANVASES[2:]
    config.data.scale_jitter, config.data.copy_paste = (0.5, 1.5), 1.0
    batches = first(pipeline.train_dataset(config), 6)
    assert_same(first(pipeline.train_dataset(config, 4), 2), batches[4:])
    check_step(config, batches)


def check_step(config, batches):
    """A step of a tiny model on a batch with masks moves its weights, to finite ones."""
    batch = next(batch for batch in batches if batch["gt_masks"].any())
    model = mrcnn.MaskRCNN(tiny_config())
    model.compile(optimizer=make_optimizer(config, model))
    before = [variable.numpy() for variable in model.trainable_variables]
    losses = model.train_step({name: tf.constant(value) for name, value in batch.items()})
    assert all(np.isfinite(float(value)) for value in losses.values())
    after = [variable.numpy() for variable in model.trainable_variables]
    assert all(np.isfinite(value).all() for value in after)
    assert any((one != other).any() for one, other in zip(before, after, strict=True))


def test_images_of_training_are_those_of_its_batches(config):
    config = make_config()
    config.data.right_angles, config.data.noise = True, 5.0
    config.train.batch_size, config.data.canvases = 1, CANVASES[2:]
    batches = first(pipeline.train_dataset(config), 22)
    wanted = [{name: value[0] for name, value in batch.items()} for batch in batches if batch["image_id"] in (2, 7)]
    assert len(wanted) == 4
    assert_same(list(pipeline.train_examples(config, (2, 7), 2).as_numpy_iterator()), wanted)


def test_keypoints_that_are_places_cannot_be_turned(config, monkeypatch):
    monkeypatch.setattr(sources, "keypoints", lambda config: KeypointSet(2, vertical_pairs=((0, 1),)))
    with pytest.raises(ValueError, match=r"config.data.right_angles is True; allowed .* False"):
        pipeline.train_dataset(config)
    config.data.right_angles = False
    with pytest.raises(ValueError, match=r"config.data.rotation is 45.0; allowed .* 0"):
        pipeline.train_dataset(config)
