"""The contents of files that may be anything: pipes, devices, holes of terabytes."""

import os
import stat

import tensorflow as tf

from mask_rcnn_tf.ops.decode_image import MAX_PIXELS


def read_bytes(path: str | os.PathLike, max_pixels: int = MAX_PIXELS, channels: int = 4) -> bytes:
    """The contents of a regular file that is not larger than an image may be.

    Args:
      path: of the file; one with a scheme, such as gs://, is left to TensorFlow.
      max_pixels: see `inspect`.
      channels: that it may have.

    Returns:
      Its bytes.

    Raises:
      ValueError: there is no such file, it is a folder, a pipe or a device, it is too large or cannot be read.
    """
    if "://" in os.fspath(path):
        try:
            return tf.io.read_file(os.fspath(path)).numpy()
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0].split("}} ")[-1]  # behind the operator's name
            raise ValueError(f"cannot be read: {reason:.120}.") from None
    most = 2 * max(channels, 4) * max_pixels + 2**24  # of 16 bits, uncompressed
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("is no regular file.")
        if state.st_size > most:
            raise ValueError(f"has {state.st_size} bytes; allowed: at most {most}.")
        with open(path, "rb") as file:
            return file.read(state.st_size)  # a larger number would be taken as memory, whatever the file has
    except FileNotFoundError:
        raise ValueError("there is no such file.") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}.") from None
