"""What every format is read into and written from: images with labelled objects, and what was lost on the way."""

import collections
import dataclasses
import os
import pathlib
from typing import Any

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected, printable

SHOWN = 10  # losses of a kind that are listed
LONGEST_NAME = 200  # characters of a category


@dataclasses.dataclass
class LabelledObject:
    """One object.

    Attributes:
      category: its name.
      where: file and place in it, for messages.
      segmentation: COCO's: parts [x, y, x, y, ...], united, or an RLE; None where only a box is known. Pixels of the
        image, continuous: pixel i covers [i, i + 1).
      box: [x, y, width, height], the same pixels; None where the mask says it.
      keypoints: COCO's [x, y, v] * J, from centres of pixels; () for none.
      is_crowd: whether it is a region of several objects.
    """

    category: str
    where: str
    segmentation: list | dict | None = None
    box: list[float] | None = None
    keypoints: tuple[float, ...] = ()
    is_crowd: bool = False


@dataclasses.dataclass
class LabelledImage:
    """One image.

    Attributes:
      file_name: below the folder of images, with slashes.
      path: of the file.
      height: pixels, in the frame of the objects.
      width: pixels.
      is_as_stored: whether the frame is that of the stored pixels, though EXIF turns the image for people.
      objects: what was labelled in it.
    """

    file_name: str
    path: pathlib.Path
    height: int
    width: int
    is_as_stored: bool = False
    objects: list[LabelledObject] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class LabelledData:
    """Everything of a folder or a file.

    Attributes:
      images_folder: of the images, below which their `file_name` are.
      images: in the order of the format.
      categories: names in the order of the format; names that objects have beside them follow, sorted.
      keypoints: for each category that has some their J names and the pairs, from 1, that are joined.
    """

    images_folder: pathlib.Path
    images: list[LabelledImage] = dataclasses.field(default_factory=list)
    categories: tuple[str, ...] = ()
    keypoints: dict[str, tuple[list[str], list[list[int]]]] = dataclasses.field(default_factory=dict)

    def category_names(self) -> list[str]:
        """The categories that are known, then those that objects have beside them, each once."""
        used = {item.category for image in self.images for item in image.objects}
        return list(dict.fromkeys([*self.categories, *sorted(used)]))


@dataclasses.dataclass(frozen=True)
class Options:
    """What a person may say of a conversion.

    Attributes:
      images: folder of the images; None for the place where the format has them.
      split: name of a part, such as "train", of formats that name parts; "" for all.
      category: of objects that have no name in their format.
      attribute: VIA's region attribute that is the category; "" for the only one.
      boxes_as_masks: whether a rectangle is the object's mask, and not a box around a mask that nobody drew.
    """

    images: pathlib.Path | None = None
    split: str = ""
    category: str = "object"
    attribute: str = ""
    boxes_as_masks: bool = False


class Report:
    """What was left out, counted by kind with the first examples, and what else a person should know."""

    def __init__(self):
        self.lost: dict[str, list[str]] = collections.defaultdict(list)
        self.notes: collections.Counter = collections.Counter()

    def lose(self, error: Rejected, where: str):
        """Notes that something is left out, and why."""
        self.lost[error.kind].append(f"{printable(where, 200)}" + (f": {error.detail}" if error.detail else ""))

    def note(self, text: str, count: int = 1):
        """Notes something that is not lost; `text` is said once, with how often it came."""
        self.notes[text] += count

    def lines(self) -> list[str]:
        """All of it, for people: notes, then losses by kind with the first examples."""
        lines = [f"note: {count} {text}" for text, count in self.notes.items()]
        for kind, examples in self.lost.items():
            lines.append(f"left out: {len(examples)} x {kind}")
            lines += [f"  {example}" for example in examples[:SHOWN]]
            lines += [f"  and {len(examples) - SHOWN} more"] * (len(examples) > SHOWN)
        return lines


def category_name(value: Any) -> str:
    """A label as the name of a category, without spaces around it. Raises Rejected: it is no printable text."""
    name = value.strip() if isinstance(value, str) else ""
    if not name:
        raise Rejected("object without a label", f"it is {shown(value):.60}; allowed: text")
    if len(name) > LONGEST_NAME or not name.isprintable():
        raise Rejected("label that is no name", f"{shown(value):.60}; allowed: up to {LONGEST_NAME} printable letters")
    return name


def stated_shape(height: Any, width: Any) -> tuple[int, int] | None:
    """(h, w) that a format states, as numbers or text; None where it states none, or zeros, which stand for none.

    Raises:
      Rejected: they are something else than sides of an image.
    """
    sides = []
    for side in (height, width):
        try:
            number = float(side) if isinstance(side, int | float | str) and not isinstance(side, bool) else 0.0
        except (ValueError, OverflowError):
            number = -1.0
        if not 0 <= number <= 2**31 or number % 1:
            raise Rejected("image with a size that is none", f"height {shown(height):.40}, width {shown(width):.40}")
        sides.append(int(number))
    return tuple(sides) if all(sides) else None


def relative(path: str | os.PathLike, folder: str | os.PathLike) -> str:
    """A path below a folder as messages show it, with slashes."""
    return os.path.relpath(path, folder).replace(os.sep, "/")
