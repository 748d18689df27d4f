"""A process that reads image files in every way the package does, under limits of memory and time.

    python read_images.py FOLDER HEIGHT WIDTH CHANNELS BITS

Prints a JSON line for each file: what came of it in prediction, in training (then as the graph decodes the record), and
in the operators of a served graph; last a line of the check of all of them as one data set.
"""

import faulthandler
import json
import pathlib
import resource
import sys
import time

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.coco import pictures
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.data import check, records
from mask_rcnn_tf.ops.orientation import stored_orientation
from mask_rcnn_tf.pixels import PixelKind

SECONDS = 2.0  # that one way of reading may take
MEMORY = 2**30  # on top of what TensorFlow has taken


_orientation = tf.function(stored_orientation, input_signature=[tf.TensorSpec([], tf.string)])


def outcome(read, *arguments):
    """ "read", or the error in one line; any other exception ends the process."""
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    try:
        read(*arguments)
        return "read"
    except (ValueError, Rejected) as error:
        return str(error)
    finally:
        faulthandler.cancel_dump_traceback_later()


class Reading:
    """The ways that a file is read for a model of one kind of pixels."""

    def __init__(self, shape, kind):
        self.shape, self.kind = shape, kind

        @tf.function(input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.int32)])
        def decoded(content, orientation):
            return records.decoded({"image": content, "orientation": orientation}, kind)["image"]

        self._decoded = decoded

    def predict(self, path):
        pictures.read_pixels(path, kind=self.kind)

    def train(self, path):
        """As preparing a data set and its pipeline read a file."""
        picture = pictures.read_picture(path, self.shape, self.kind)
        image = self._decoded(picture.content, picture.orientation)
        if tuple(image.shape) != (*self.shape, self.kind.channels) or image.dtype != self.kind.dtype:
            raise AssertionError(f"{path.name}: the graph decodes {image.dtype} {image.shape}")


def main(folder, height, width, channels, bits):
    """Reads all files of the folder."""
    folder, shape = pathlib.Path(folder), (int(height), int(width))
    reading = Reading(shape, PixelKind(int(channels), int(bits), white_level=4095))
    first = folder.with_name("first")  # graphs are traced once in a process: a second, and more on a busy machine
    with first.open("wb") as file:
        np.save(file, np.zeros([*shape, reading.kind.channels], reading.kind.dtype))
    reading.predict(first), reading.train(first), _orientation(b"")
    used = int(pathlib.Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    files = sorted(folder.iterdir())
    for path in files:
        line = {"name": path.name, "predict": outcome(reading.predict, path), "train": outcome(reading.train, path)}
        line["orientation"] = int(_orientation(path.read_bytes()))
        print(json.dumps(line), flush=True)
    images = [{"id": i, "file_name": path.name, "height": shape[0], "width": shape[1]} for i, path in enumerate(files)]
    content = {"images": images, "annotations": [], "categories": [{"id": 1, "name": "thing"}]}
    table = folder.with_suffix(".json")
    table.write_text(json.dumps(content))
    started = time.monotonic()
    _, report, _ = check.check(str(table), str(folder))
    seconds = time.monotonic() - started
    print(json.dumps({"used": report.used_images, "bad": len(report.bad), "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
