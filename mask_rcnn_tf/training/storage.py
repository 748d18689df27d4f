"""Writing what a run stores: whole or not at all, and in one line what could not be written."""

import contextlib
import os
import pathlib
import re
import tempfile
from collections.abc import Iterator

import tensorflow as tf

from mask_rcnn_tf import whole_files


@contextlib.contextmanager
def writing(path: str | os.PathLike) -> Iterator[None]:
    """Around what writes a file: a full disk, or a folder that must not be written, ends in one line.

    Args:
      path: of the file or folder, for the message.

    Raises:
      OSError: it could not be written.
    """
    try:
        yield
    # h5py says RuntimeError where a file cannot be closed.
    except (OSError, RuntimeError, tf.errors.OpError) as error:
        raise OSError(f"{path} cannot be written: {reason(error)}; what was stored before is whole.") from error


def reason(error: BaseException) -> str:
    """What went wrong, in one line of at most 300 characters."""
    text = getattr(error, "strerror", None) or getattr(error, "message", None) or str(error) or type(error).__name__
    text = re.sub(r"\{\{.*?\}\} ?| \[Op:\w+\] name:", "", str(text))  # TensorFlow's name of the operation
    return " ".join(text.split())[:300].rstrip(".; ")


def write_atomically(path: str | os.PathLike, text: str):
    """Writes a text file so that a kill or a full disk leaves the old one or the new one, never half of one."""
    with writing(path), whole_files.replacing(path) as partial:
        partial.write_text(text)


def check_folder(folder: pathlib.Path):
    """Makes a folder, and finds out whether files can be made in it, before there is work to lose. Raises as above."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()


def append(path: pathlib.Path, line: str):
    """Adds a line of text to a file; where that fails the file stays as it was."""
    with writing(path):
        size = path.stat().st_size if path.exists() else 0
        try:
            with path.open("ab") as file:
                file.write(f"{line}\n".encode())
        except OSError:
            with contextlib.suppress(OSError):
                os.truncate(path, size)
            raise
