"""Arguments of the wrong kind, said in one line where they come in: else they fail somewhere inside."""

import os
from typing import Any

PATH = (str, os.PathLike)
SEQUENCE = (list, tuple, range)  # a text is one too, of its letters
LONGEST = 200  # characters of a value in a message


def check_kind(name: str, value: Any, kind: type | tuple[type, ...], allowed: str, error: type = ValueError):
    """Refuses an argument that is of another kind.

    Args:
      name: of the argument.
      value: what came.
      kind: the class or classes that it may be of.
      allowed: the same in words.
      error: what is raised: `ValueError`, or a class of its.

    Raises:
      ValueError: naming the argument, what came and what is allowed.
    """
    if not isinstance(value, kind):
        raise error(f"{name} is a {type(value).__name__}; allowed: {allowed}.")


def shown(value: Any) -> str:
    """A value as messages show it: in one line, and not the whole of it where it is long."""
    try:
        text = repr(value)
    except ValueError:  # of a whole number with more digits than Python prints
        return "a number of thousands of digits"
    if "\n" in text:  # as arrays have it
        text = " ".join(text.split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
