"""Text and XML that somebody else wrote: read whole, or refused in one line."""

import os
import pathlib
import stat
from xml.etree import ElementTree
from xml.parsers import expat

MOST_BYTES = 2**26
DEEPEST = 32  # elements inside each other; what is read here has 4


def read_text(path: str | os.PathLike, name: str, most_bytes: int = MOST_BYTES) -> str:
    """The text of a regular file in UTF-8, with a byte order mark or not.

    Args:
      path: of the file.
      name: what it is, for messages.
      most_bytes: a larger file is not read.

    Returns:
      Its text.

    Raises:
      ValueError: no such file, no regular file, too large, not readable, or no UTF-8.
    """
    try:
        return _read_bytes(path, name, most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is '{path}'; it is no text in UTF-8: {error.reason} at {error.start}.") from None


def _read_bytes(path: str | os.PathLike, name: str, most_bytes: int) -> bytes:
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError(f"{name} is '{path}', which is no file.")
        if state.st_size > most_bytes:
            raise ValueError(f"{name} is '{path}' of {state.st_size} bytes; allowed: at most {most_bytes}.")
        return pathlib.Path(path).read_bytes()
    except OSError as error:
        raise ValueError(f"{name} is '{path}'; it cannot be read: {error.strerror}.") from None


def read_xml(path: str | os.PathLike, name: str) -> ElementTree.Element:
    """The root of an XML file without a document type, in which entities, and bombs of them, would be declared.

    Args:
      path: of the file.
      name: what it is, for messages.

    Returns:
      Its root.

    Raises:
      ValueError: it cannot be read, is not XML, declares a document type or nests deeper than `DEEPEST`.
    """
    builder, depth = ElementTree.TreeBuilder(), 0

    def begin(tag, attributes):
        nonlocal depth
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"{name} is '{path}', which nests deeper than {DEEPEST} elements.")
        builder.start(tag, attributes)

    def end(tag):
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def refuse(*_):
        raise ValueError(f"{name} is '{path}', which declares a document type; allowed: XML without one.")

    parser = expat.ParserCreate()
    parser.StartElementHandler, parser.EndElementHandler = begin, end
    parser.CharacterDataHandler, parser.StartDoctypeDeclHandler = builder.data, refuse
    try:
        parser.Parse(_read_bytes(path, name, MOST_BYTES), True)
    except (expat.ExpatError, LookupError) as error:  # an encoding that is none
        raise ValueError(f"{name} is '{path}', which is not XML: {error}.") from None
    return builder.close()
