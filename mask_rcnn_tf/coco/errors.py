"""A record that cannot be used: as an exception, and as it is listed."""

import dataclasses
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
