"""Files and folders that appear whole or not at all."""

import contextlib
import os
import pathlib
import shutil
import tempfile
from collections.abc import Iterator

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.export.errors import ExportError


@contextlib.contextmanager
def written_whole(path: str | os.PathLike, ending: str = "") -> Iterator[pathlib.Path]:
    """Gives a place to write to, beside `path`, and moves what was written there to `path` when the block ends.

    A server that watches the folder sees the result at once; an error inside the block leaves nothing behind.

    Args:
      path: file or folder that is to be; must not exist. Missing parents are made.
      ending: of the name, by which the file is recognised; "" for any.

    Yields:
      The path to write to, of the same name, in a hidden folder on the same file system.

    Raises:
      ExportError: the name ends otherwise, there is something at `path`, or its folder cannot be written.
    """
    check_kind("output", path, PATH, "a path", ExportError)
    path = pathlib.Path(path)
    if os.path.lexists(path):
        raise ExportError(f"output is '{path}'; it exists already. Allowed: a path where there is nothing.")
    if not path.name.endswith(ending):
        raise ExportError(f"output is '{path}'; allowed: a name that ends in {ending}.")
    made = [parent for parent in path.parents if not parent.exists()]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        place = pathlib.Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise ExportError(f"output is '{path}'; its folder cannot be written: {error.strerror}.") from None
    try:
        yield place / path.name
        whole_files.put(place / path.name, path)
        made = []
    finally:
        shutil.rmtree(place, ignore_errors=True)
        for parent in made:  # deepest first
            with contextlib.suppress(OSError):
                parent.rmdir()
