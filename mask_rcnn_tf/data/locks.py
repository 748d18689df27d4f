"""Locks between processes: on a file, freed by the kernel when its process ends, however it ends."""

import contextlib
import errno
import fcntl
import logging
import os
import pathlib
import socket
from collections.abc import Iterator

LOG = logging.getLogger("mask_rcnn_tf")

UNSUPPORTED = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)  # some network file systems

_shared: dict[str, int] = {}  # locks that this process shares -> file descriptor


def take(path: str | os.PathLike, waiting_for: str = "") -> int:
    """Takes a lock, of which there is one a file. The file stays; it means nothing while no process has it locked.

    Args:
      path: of the file, which is made; its folder must be there.
      waiting_for: what another process that holds the lock does; it is logged, and then waited for. "": no waiting.

    Returns:
      A file descriptor; closing it gives the lock back.

    Raises:
      BlockingIOError: another process, or this one, holds the lock; the message is who ("process 123 on host").
    """
    number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    try:
        _lock(number, pathlib.Path(path), waiting_for)
    except BaseException:
        os.close(number)
        raise
    _sign(number)
    return number


def share(path: str | os.PathLike):
    """Takes part in a lock until this process ends: `take` fails meanwhile, others may share it.

    Where the folder cannot be written, or its file system has no locks, nothing is done: nobody removes anything there.

    Args:
      path: of the file, which is made, and its folder.
    """
    path = os.path.abspath(path)
    if path in _shared:
        return
    with contextlib.suppress(OSError):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        number = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        _shared[path] = number
        fcntl.flock(number, fcntl.LOCK_SH)
        _sign(number)


def _sign(number: int):
    with contextlib.suppress(OSError):  # on a full disk nobody learns who holds it
        os.ftruncate(number, 0)
        os.pwrite(number, f"process {os.getpid()} on {socket.gethostname()}".encode(), 0)


@contextlib.contextmanager
def held(path: str | os.PathLike, waiting_for: str) -> Iterator[None]:
    """Holds the lock of `take` inside a block."""
    number = take(path, waiting_for)
    try:
        yield
    finally:
        os.close(number)


def _lock(number: int, path: pathlib.Path, waiting_for: str):
    try:
        fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(number, 200, 0).decode(errors="replace").strip() or "another process"
        if not waiting_for:
            raise BlockingIOError(holder) from None
        LOG.info("waiting for %s, which %s", holder, waiting_for)
        fcntl.flock(number, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in UNSUPPORTED:
            raise
        LOG.warning("%s: the file system has no locks; nothing keeps two processes apart here", path)
