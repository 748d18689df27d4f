"""One process trains in a folder at a time."""

import contextlib
import os
import pathlib
from collections.abc import Iterator

from mask_rcnn_tf.data import locks

LOCK_FILE = "run.lock"

_held: dict[pathlib.Path, int] = {}  # folders that this process has locked -> file descriptor
_running: set[pathlib.Path] = set()  # those of them in which `train` is at work


@contextlib.contextmanager
def locked(folder: str | os.PathLike) -> Iterator[None]:
    """Around a run: no other run in the folder begins.

    Args:
      folder: of the run; it must be there.

    Raises:
      ValueError: another run holds it.
    """
    path = pathlib.Path(os.path.realpath(folder))
    if path in _running:
        raise _taken(folder, f"process {os.getpid()}, this one,")
    ensure(folder)
    _running.add(path)
    try:
        yield
    finally:
        _running.discard(path)
        os.close(_held.pop(path))


def ensure(folder: str | os.PathLike):
    """Locks a folder until this process ends, unless it has it locked. Args and Raises as `locked`."""
    path = pathlib.Path(os.path.realpath(folder))
    if path not in _held:
        try:
            _held[path] = locks.take(path / LOCK_FILE)
        except BlockingIOError as holder:
            raise _taken(folder, str(holder)) from None


def _taken(folder, holder):
    return ValueError(f"model_dir is '{folder}', in which {holder} trains; allowed: another folder, or when it ended.")
