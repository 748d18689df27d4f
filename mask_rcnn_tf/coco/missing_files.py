"""Why a file that an annotation file names is not there: the usual reasons."""

import functools
import os
import pathlib


def hint(path: str | os.PathLike) -> str:
    """What is there in place of a file that is missing, and what that means; "" where nothing is.

    Args:
      path: of the missing file.

    Returns:
      Text that begins with "; ", or "".
    """
    path = pathlib.Path(path)
    if os.path.lexists(path):
        return ""
    if ":/" in os.fspath(path):
        return "; file_name is an address, or a path of another machine"
    slashes = pathlib.Path(os.fspath(path).replace("\\", "/"))
    if slashes != path and slashes.is_file():
        return "; file_name has backslashes, and with slashes the file is there: write slashes"
    near = _names(path.parent, _time(path.parent)).get(path.name.casefold())
    return f"; there is {near!r:.100}, which differs in case" if near else ""


def _time(folder):
    try:
        return os.stat(folder).st_mtime_ns
    except (OSError, ValueError):
        return None


@functools.lru_cache(maxsize=4)  # thousands of files are missing at a time, from few folders
def _names(folder, time):
    """The names in a folder at a time, by their lower case."""
    try:
        return {} if time is None else {name.casefold(): name for name in os.listdir(folder)}
    except OSError:
        return {}
