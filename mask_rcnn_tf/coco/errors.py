"""A record that cannot be used: as an exception, and as it is listed."""

import dataclasses
import os
from collections.abc import Sequence

SHOWN = 20  # records that one message lists


class Rejected(Exception):
    """A record that cannot be used.

    Args:
      kind: the reason without numbers, under which records are counted.
      detail: what came, for this record.
    """

    def __init__(self, kind: str, detail: str = ""):
        super().__init__(f"{kind}: {detail}" if detail else kind)
        self.kind = kind
        self.detail = detail


def printable(text: str | os.PathLike, most: int = 1000) -> str:
    """A name or path as it can be printed anywhere, on one line; of a long one the beginning and the end."""
    text = os.fsencode(text).decode("utf-8", "backslashreplace")
    text = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in text)
    return text if len(text) <= most else f"{text[: most // 2]}...{text[-most // 2 :]}"


@dataclasses.dataclass
class BadRecord:
    """An image or an annotation that cannot be used, and why."""

    kind: str  # the reason without numbers
    detail: str  # what came
    image_id: int | None = None
    annotation_id: int | None = None  # None when the whole image was left out
    file_name: str = ""

    def __str__(self):
        who = f"image {self.image_id}" if self.annotation_id is None else f"annotation {self.annotation_id!r:.40}"
        where = f" of image {self.image_id}" if self.annotation_id is not None else ""
        name = f" ({self.file_name!r:.80})".replace("'", "") if self.file_name else ""
        return f"{who}{where}{name}: {self.kind}" + (f": {self.detail}" if self.detail else "")


def listed(records: Sequence[BadRecord]) -> str:
    """Records, one a line; of many the first."""
    more = [f"and {len(records) - SHOWN} more"] if len(records) > SHOWN else []
    return "\n".join([*(f"  {record}" for record in records[:SHOWN]), *(f"  {line}" for line in more)])
