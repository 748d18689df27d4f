"""The images that annotations name: found below one folder whatever machine wrote the name, measured by their header.

Names are looked up in a list of what lies below the folder, so that none, however written, leads out of it.
"""

import os
import pathlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator

from mask_rcnn_tf.coco import pictures
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.conversion.labelled import LabelledImage
from mask_rcnn_tf.ops import image_bytes, stored_images
from mask_rcnn_tf.ops.orientation import displayed_shape

MISSING = "image that is not there"
ELSEWHERE = re.compile(r"/|[a-zA-Z][\w+.-]*:")  # how an absolute path, or an address, begins
FOREIGN = re.compile(rf"{ELSEWHERE.pattern}|\.\./")  # or one of another folder
SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff")


class ImageFolder:
    """The images below a folder.

    Args:
      root: the folder.
      without: names of folders whose pictures are no images.

    Raises:
      ValueError: there is no such folder.
    """

    def __init__(self, root: str | os.PathLike, without: tuple[str, ...] = ()):
        self.root = pathlib.Path(root)
        if not self.root.is_dir():
            raise ValueError(f"images is '{printable(root)}'; there is no such folder.")
        names = [name for name in files_below(self.root) if name.lower().endswith(SUFFIXES)]
        self.names = [name for name in names if not set(name.split("/")[:-1]) & set(without)]
        self._known = set(self.names)
        self._by_base, self._by_stem = defaultdict(list), defaultdict(list)
        for name in self.names:
            self._by_base[folded(name.rpartition("/")[2])].append(name)
            self._by_stem[folded(stem(name).rpartition("/")[2])].append(name)
        self._taken: set[str] = set()

    def find(self, name: str, beside: str = "", any_suffix: bool = False) -> str:
        """The image that an annotation means.

        Args:
          name: as the annotation has it: relative, absolute, of another machine, with backslashes, of another case.
          beside: folder below the root that the name may be relative to.
          any_suffix: whether the name may lack its suffix, or have another one.

        Returns:
          Its name below the root, with slashes: that at this very place; else the one whose last parts agree with the
          name's, all of them where the name is of a place below the root, most where it is of elsewhere.

        Raises:
          Rejected: there is none, or several that fit as well.
        """
        name = name.replace("\\", "/").encode("utf-8", "backslashreplace").decode()  # halves of letters, from JSON
        wanted = os.path.normpath(name if ELSEWHERE.match(name) else os.path.join(beside, name)).replace(os.sep, "/")
        if wanted in self._known:
            return wanted
        parts = folded(wanted).split("/")
        found = self._by_base.get(parts[-1], [])
        if not found and any_suffix:
            parts[-1] = stem(parts[-1]) if parts[-1].endswith(SUFFIXES) else parts[-1]
            found = self._by_stem.get(parts[-1], [])
        scores = {candidate: _agreeing(parts, candidate) for candidate in found}
        if not FOREIGN.match(wanted):  # a place below this very folder: its file may not give way to a neighbour's
            scores = {name: count for name, count in scores.items() if count in (len(parts), len(name.split("/")))}
        if not scores:
            raise Rejected(MISSING, f"{printable(name, 200)!r} below {printable(self.root, 200)}")
        best = [candidate for candidate, score in scores.items() if score == max(scores.values())]
        if len(best) > 1:
            several = f"{printable(best[0], 100)} and {printable(best[1], 100)}"
            raise Rejected("image name that fits several files", f"{printable(name, 200)!r}: {several}")
        return best[0]

    def image(self, name: str, stated: tuple[int, int] | None = None) -> LabelledImage:
        """An image that `find` gave, without objects, in the frame that its annotations have.

        Args:
          name: below the root.
          stated: (h, w) by the annotations, pixels; None: they are of the image as people see it.

        Returns:
          The image, its size as stated or as people see it.

        Raises:
          Rejected: it cannot be read, is of another size, or was asked for before.
        """
        if name in self._taken:
            raise Rejected("image that is annotated twice", printable(name, 200))
        if printable(name, len(name) * 4) != name:
            raise Rejected(
                "image whose name is no printable text in UTF-8, as COCO files want it", printable(name, 200)
            )
        try:
            stored = stored_images.inspect(image_bytes.read_bytes(self.root / name))
        except ValueError as error:
            raise Rejected("image that cannot be read", f"{printable(name, 200)}: {error}".rstrip(".")) from None
        orientation, case = pictures.orientation_for(stored, stated)
        self._taken.add(name)
        height, width = displayed_shape(stored.shape, orientation)
        is_as_stored = case == pictures.AS_STORED
        return LabelledImage(name, self.root / name, height, width, is_as_stored)

    def left(self) -> list[str]:
        """The images that nobody has asked for."""
        return [name for name in self.names if name not in self._taken]


def files_below(root: pathlib.Path) -> Iterator[str]:
    """Names of all files below a folder, with slashes, sorted; hidden ones and those of Apple's archives left out."""
    seen, found = set(), []
    for folder, folders, files in os.walk(root, followlinks=True):
        real = os.path.realpath(folder)
        folders[:] = [] if real in seen else [name for name in folders if name[0] != "." and name != "__MACOSX"]
        files = [] if real in seen else files
        seen.add(real)
        below = os.path.relpath(folder, root)
        found += [os.path.normpath(os.path.join(below, name)).replace(os.sep, "/") for name in files if name[0] != "."]
    yield from sorted(found)


def stem(name: str) -> str:
    """A name without its suffix, folders kept."""
    return os.path.splitext(name)[0]


def folded(name: str) -> str:
    """A name without what file systems may ignore: case, and how accents are composed."""
    return unicodedata.normalize("NFC", name).casefold()


def _agreeing(parts: list[str], candidate: str) -> int:
    """How many of the last parts of a path agree with a candidate's, its name counted as agreeing."""
    count = 1
    for first, second in zip(parts[-2::-1], folded(candidate).split("/")[-2::-1], strict=False):
        if first != second:
            break
        count += 1
    return count
