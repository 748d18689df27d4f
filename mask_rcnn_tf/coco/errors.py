"""The error of a record that cannot be used."""


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
