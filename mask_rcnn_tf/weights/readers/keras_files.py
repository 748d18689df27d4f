"""`.keras` files, looked at before anything in them is believed: the archive's directory, its sizes and its JSON.

Source: `keras/src/saving/saving_lib.py`, `_save_model_to_fileobj` and `_load_model_from_fileobj`.
"""

import contextlib
import os
import shutil
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any, BinaryIO

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.weights.errors import CheckpointError

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
MOST_JSON = 2**22  # bytes; a configuration with 1000 class names has 30,000
MOST_EXPANSION = 8  # weights hardly compress, and Keras does not try
MOST_DIRECTORY = 2**12  # bytes; that of three members has about 200
DIRECTORY_END = struct.Struct("<4s4H2LH")  # signature, two disks, two counts of entries, size, offset, comment's length
# What `zipfile` raises on damaged archives, unknown methods and encrypted members.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, ValueError, LookupError, RuntimeError)


class KerasFile:
    """The archive of a `.keras` file, open and checked.

    Args:
      path: the file.

    Attributes:
      config: the values of config.json; nothing they name has been looked at.
      weights_bytes: what the archive declares for the weights, at most `MOST_EXPANSION` times what is there.

    Raises:
      CheckpointError: it is no such archive, or declares or holds what no saved model does.
    """

    def __init__(self, path: str | os.PathLike):
        with _readable("the archive"):
            self._file = _open_regular(path)
        try:
            with _readable("the archive"):
                _check_directory(self._file)
                self._archive = zipfile.ZipFile(self._file)
            members = _checked_members(self._archive)
            self.config = self._json(members[CONFIG])
            self._json(members[METADATA])
        except BaseException:
            self._file.close()
            raise
        self._weights = members[WEIGHTS]
        self.weights_bytes = self._weights.file_size

    def __enter__(self) -> "KerasFile":
        return self

    def __exit__(self, *error: object):
        self._archive.close()
        self._file.close()

    def extract_weights(self, path: str | os.PathLike):
        """Copies the HDF5 file out of the archive. Raises CheckpointError: its bytes are damaged."""
        with _readable(WEIGHTS), self._archive.open(self._weights) as member, open(path, "wb") as output:
            shutil.copyfileobj(member, output, 2**20)

    def _json(self, member: zipfile.ZipInfo) -> dict[str, Any]:
        with _readable(member.filename):
            values = strict_json.parse(self._archive.read(member))
            if not isinstance(values, dict):
                raise ValueError(f"it holds a {type(values).__name__}; needed: a table")
        return values


@contextlib.contextmanager
def _readable(what: str) -> Iterator[None]:
    """Every error of a damaged archive as a CheckpointError that names the part."""
    try:
        yield
    except CheckpointError:
        raise
    except ZIP_ERRORS as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise CheckpointError(f"{what} is not readable: {ascii(text)[1:-1][:200]}") from None


def _open_regular(path: str | os.PathLike) -> BinaryIO:
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise CheckpointError("it is not a file; needed: a .keras file")
    file = open(path, "rb")
    start = file.read(4)
    if start != b"PK\x03\x04":
        file.close()
        came = f"begins with {start!r}" if start else "is empty"
        raise CheckpointError(f"it {came}; needed: a .keras file, which is a zip archive")
    return file


def _check_directory(file: BinaryIO):
    """Refuses a directory of more than a few members before `zipfile` reads it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - DIRECTORY_END.size - 2**16))
    tail = file.read()
    where = tail.rfind(b"PK\x05\x06")
    if where < 0 or len(tail) - where < DIRECTORY_END.size:
        raise CheckpointError("the archive has no directory: a truncated file")
    declared = DIRECTORY_END.unpack_from(tail, where)[5]
    if declared > MOST_DIRECTORY and declared != 2**32 - 1:  # which stands for a 64-bit size
        raise CheckpointError(f"the archive's directory has {declared} bytes; needed: three members")


def _checked_members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """The members by name. Raises CheckpointError: there are others, or one declares a size that it cannot have."""
    members = archive.infolist()
    names = sorted(member.filename for member in members)
    if names != sorted((CONFIG, METADATA, WEIGHTS)):
        came = ", ".join(ascii(name)[:60] for name in names[:5]) + (", ..." if len(names) > 5 else "")
        raise CheckpointError(f"the archive has {came or 'nothing'}; needed: {CONFIG}, {METADATA} and {WEIGHTS}")
    for member in members:
        most = MOST_EXPANSION * member.compress_size + 2**16 if member.filename == WEIGHTS else MOST_JSON
        if member.file_size > most:
            raise CheckpointError(
                f"{member.filename} declares {member.file_size} bytes in {member.compress_size}; allowed: {most}"
            )
    return {member.filename: member for member in members}
