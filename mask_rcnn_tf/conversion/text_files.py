"""Text and XML that somebody else wrote: read whole, or refused in one line."""

import os
from xml.etree import ElementTree
from xml.parsers import expat

from mask_rcnn_tf import strict_json

DEEPEST = 32  # elements inside each other; what is read here has 4


def read_text(path: str | os.PathLike, name: str, most_bytes: int = strict_json.MOST_BYTES) -> str:
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
        return strict_json.read_bytes(path, name, "a text file", most_bytes).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is '{path}'; it is no text in UTF-8: {error.reason} at {error.start}.") from None


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
        parser.Parse(strict_json.read_bytes(path, name, "an XML file"), True)
    except (expat.ExpatError, LookupError) as error:  # an encoding that is none
        raise ValueError(f"{name} is '{path}', which is not XML: {error}.") from None
    return builder.close()
