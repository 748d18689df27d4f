"""Event files for TensorBoard, written by TensorFlow alone; only looking at them needs the `tensorboard` package."""

import io
import os
import pathlib

import numpy as np
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.training.storage import writing


class EventWriter:
    """Writes scalars and pictures.

    `tf.summary.scalar` and `image` are no choice: they raise where the `tensorboard` package is not installed, which
    TensorFlow no longer brings.

    Args:
      folder: of the event files.
    """

    def __init__(self, folder: str | os.PathLike):
        self._folder = pathlib.Path(folder)
        with writing(self._folder):
            self._writer = tf.summary.create_file_writer(str(self._folder))

    def scalars(self, step: int, values: dict[str, float]):
        """Writes `values`, a dict of float by tag, at `step` (int)."""
        self._write(step, [{"tag": tag, "simple_value": value} for tag, value in values.items()])

    def image(self, step: int, tag: str, image: np.ndarray):
        """Writes a picture, uint8 [h, w, 3] RGB, at `step` (int)."""
        buffer = io.BytesIO()
        Image.fromarray(np.asarray(image)).save(buffer, "PNG")
        picture = {"height": image.shape[0], "width": image.shape[1], "colorspace": 3}
        self._write(step, [{"tag": tag, "image": {**picture, "encoded_image_string": buffer.getvalue()}}])

    def _write(self, step, values):
        summary = tf.compat.v1.Summary(value=[tf.compat.v1.Summary.Value(**value) for value in values])
        with writing(self._folder):
            with self._writer.as_default():
                tf.summary.experimental.write_raw_pb(summary.SerializeToString(), step=step)
            self._writer.flush()
