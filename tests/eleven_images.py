"""Eleven tiny images in place of a data set, and what tests of the pipeline ask of its batches."""

import itertools

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.coco.keypoints import KeypointSet
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import sources

CANVASES = ((64, 96), (96, 64), (96, 96))


def make_config():
    """Three images a batch on two small canvases, shuffled seven at a time."""
    config = Config()
    config.model.preprocess.short_side, config.model.preprocess.max_side = 64, 96
    config.data.train_short_sides = (48, 64)
    config.data.canvases = CANVASES[:2]
    config.data.max_gt = 3
    config.data.gt_mask_size = 8
    config.data.shuffle_buffer = 7
    config.train.batch_size = 3
    return config


def replace_records(monkeypatch):
    """Makes the records 11 tiny images of both orientations; image_id is also the level of the pixels."""
    kept = {"number": 11, "encode": lambda image: tf.io.encode_png(image).numpy()}

    def generate():
        for image_id in range(1, kept["number"] + 1):
            height, width = (30, 40) if image_id % 3 else (41, 33)
            objects = image_id % 4  # image 4 and 8 have none
            yield {
                "image": kept["encode"](np.full((height, width, 3), image_id, np.uint8)),
                "height": height,
                "width": width,
                "image_id": image_id,
                "boxes": np.tile(np.array([[3, 4, 20, 25]], np.float32), (objects, 1)),
                "classes": np.arange(1, objects + 1, dtype=np.int32),
                "flat": np.tile(np.array([height * width // 2, 7, height * width - height * width // 2 - 7]), objects),
                "lengths": np.full(objects, 3),
            }

    signature = {
        "image": tf.TensorSpec([], tf.string),
        "height": tf.TensorSpec([], tf.int32),
        "width": tf.TensorSpec([], tf.int32),
        "image_id": tf.TensorSpec([], tf.int64),
        "boxes": tf.TensorSpec([None, 4], tf.float32),
        "classes": tf.TensorSpec([None], tf.int32),
        "flat": tf.TensorSpec([None], tf.int32),
        "lengths": tf.TensorSpec([None], tf.int64),
    }

    def record(example):
        counts = tf.RaggedTensor.from_row_lengths(example.pop("flat"), example.pop("lengths"))
        return example | {"mask_counts": counts}

    def dataset(config, split):
        records = tf.data.Dataset.from_generator(generate, output_signature=signature).map(record)
        return records.apply(tf.data.experimental.assert_cardinality(kept["number"]))

    monkeypatch.setattr(sources, "dataset", dataset)
    monkeypatch.setattr(sources, "keypoints", lambda config: KeypointSet())
    return kept


def first(dataset, batches):
    return list(itertools.islice(dataset.as_numpy_iterator(), batches))


def assert_same(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)
