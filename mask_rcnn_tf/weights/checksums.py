"""Whether a published file is what its name says: two projects write the beginning of its checksum into it."""

import hashlib
import os
import re

# torch.hub's rule (`torch/hub.py`, `check_hash`), and Detectron2's (`MODEL_ZOO.md`, "its md5 prefix in its file name").
PUBLISHED = (
    (re.compile(r".*-([0-9a-f]{8,64})\.pth"), "sha256", "SHA-256"),
    (re.compile(r"model_final_([0-9a-f]{6})\.pkl"), "md5", "MD5"),
)


def compared(path: str | os.PathLike) -> str:
    """What a file's checksum says, in a line; "" where its name has none.

    Args:
      path: of a file that can be read.

    Returns:
      That the two agree, or that they do not and what that means. It is no error: who trains a model further may leave
      it its name.
    """
    for pattern, algorithm, word in PUBLISHED:
        named = pattern.fullmatch(os.path.basename(os.fspath(path)))
        if named:
            found = _digest(path, algorithm)
            if found.startswith(named[1]):
                return f"the file's {word} begins with {named[1]}, as its name says"
            return (
                f"the file's {word} begins with {found[: len(named[1])]}, its name says {named[1]}: it is not the file "
                "that was published under this name, but changed, damaged, or another"
            )
    return ""


def _digest(path: str | os.PathLike, algorithm: str) -> str:
    """In hexadecimal digits; MD5 too where it is no longer allowed for security, for it is against damage here."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()
