"""Files and folders that appear whole or not at all: written beside their place, put on the disk, then renamed."""

import contextlib
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def replacing(path: str | os.PathLike, partial: str = "") -> Iterator[pathlib.Path]:
    """Gives a file to write to, beside `path`, which becomes `path` when the block ends without an error.

    A kill or a full disk leaves the old file or the new one; a device or a pipe is written to itself. After an error
    the half-written one is removed: on a full disk its room is needed.

    Args:
      path: of the file that is to be, or to be replaced; its folder must be there.
      partial: name of the file to write to; "" is that of `path` with `.partial` after it.

    Yields:
      The path to write to, in the same folder.
    """
    path = pathlib.Path(os.path.realpath(path))  # a link stays one
    if path.exists() and not path.is_file() and not path.is_dir():  # /dev/stdout, a pipe: nothing to replace
        yield path
        return
    beside = path.with_name(partial or f"{path.name}.partial")
    try:
        yield beside
        put(beside, path)
    finally:
        with contextlib.suppress(OSError):  # the error of the block says more
            beside.unlink()


def put(written: pathlib.Path, path: pathlib.Path):
    """Gives a complete file or folder its name, once all of it is on the disk: after a power failure too it is whole.

    Args:
      written: what was written, on the file system of `path`.
      path: its place. A file there is replaced; a folder is put where there is nothing, or an empty folder.
    """
    for file in [written] if written.is_file() else filter(pathlib.Path.is_file, written.rglob("*")):
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    written.replace(path)
