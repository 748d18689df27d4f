"""Event files read back by TensorFlow's own reader."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.training.tensorboard import EventWriter


def test_scalars_and_picture(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    writer = EventWriter(tmp_path)
    writer.scalars(3, {"train/loss": 0.25, "train/box": 2.0})
    writer.image(4, "predictions", picture)
    (path,) = tmp_path.glob("events*")
    events = list(tf.compat.v1.train.summary_iterator(str(path)))
    scalars = [(event.step, value.tag, value.simple_value) for event in events[1:2] for value in event.summary.value]
    assert scalars == [(3, "train/loss", pytest.approx(0.25)), (3, "train/box", pytest.approx(2.0))]
    (value,) = events[2].summary.value
    assert (events[2].step, value.tag, value.image.height, value.image.width) == (4, "predictions", 5, 7)
    np.testing.assert_array_equal(tf.io.decode_png(value.image.encoded_image_string).numpy(), picture)
