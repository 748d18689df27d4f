"""JSON that somebody else wrote: its values, or one ValueError in one line, whatever is wrong with it."""

import json
import os
import pathlib
import stat
from collections.abc import Iterable
from typing import Any

DEEPEST = 64  # levels of lists and tables; what this package writes has at most 8
MOST_BYTES = 2**26


def parse(content: bytes | str, deepest: int | None = DEEPEST) -> Any:
    """The values of a JSON text.

    Args:
      content: the text, or its bytes in UTF-8, 16 or 32.
      deepest: how many levels it may nest; None for as many as Python's parser takes.

    Raises:
      ValueError: it is not JSON, or nests deeper, or has a whole number of thousands of digits.
    """
    try:
        values = json.loads(content)
    except RecursionError:
        raise ValueError("it nests too deep to be read") from None
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not text: {error.reason} at byte {error.start}") from None
    except ValueError as error:
        raise ValueError(f"it is not JSON: {error}") from None
    if deepest is not None and depth_exceeds(values, deepest):
        raise ValueError(f"it nests deeper than {deepest} levels")
    return values


def depth_exceeds(values: Any, deepest: int) -> bool:
    """Whether lists and tables nest deeper than `deepest`; without recursion, which would fail on them."""
    level = [values]
    for _ in range(deepest):
        level = [item for value in level for item in _inside(value)]
    return any(isinstance(value, dict | list) for value in level)


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def read(path: str | os.PathLike, name: str, kind: type | None = dict, most_bytes: int = MOST_BYTES) -> Any:
    """The values of a small JSON file, such as a configuration.

    Args:
      path: the file.
      name: what it is, for messages: "labels".
      kind: dict or list, what the file must hold; None for anything.
      most_bytes: a larger file is not read.

    Raises:
      ValueError: no such file, a folder or a pipe, not readable, too large, not JSON, or another kind of value.
    """
    content = read_bytes(path, name, "a JSON file", most_bytes)
    try:
        values = parse(content)
    except ValueError as error:
        raise ValueError(f"{name} is '{path}'; {error}.") from None
    if kind is not None and not isinstance(values, kind):
        wanted = {dict: "a table", list: "a list"}[kind]
        raise ValueError(f"{name} is '{path}', which holds a {type(values).__name__}; allowed: {wanted}.")
    return values


def read_bytes(path: str | os.PathLike, name: str, wanted: str, most_bytes: int = MOST_BYTES) -> bytes:
    """The content of a regular file that may be anything.

    Args:
      path: the file.
      name: what it is, for messages: "labels".
      wanted: what would be right, for messages: "a JSON file".
      most_bytes: a larger file is not read.

    Raises:
      ValueError: no such file, a folder or a pipe, not readable, too large.
    """
    path = pathlib.Path(path)
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{name} is '{path}', which is not a file; allowed: {wanted}.")
        if status.st_size > most_bytes:
            raise ValueError(f"{name} is '{path}' of {status.st_size} bytes; allowed: at most {most_bytes}.")
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{name} is '{path}'; there is no such file.") from None
    except OSError as error:
        raise ValueError(f"{name} is '{path}'; it cannot be read: {error.strerror}.") from None
