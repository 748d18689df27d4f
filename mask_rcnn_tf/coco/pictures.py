"""Images of an annotation file: which way up the annotations mean them, and what is particular about them.

The one rule of EXIF orientation. An image is turned where the annotation's width and height are those of the image as
people see it. Where they are those of the stored pixels alone it is not turned, which is right for tools that ignore
EXIF; some tools, though, write the stored size beside shapes of the image as they show it. Where both fit (half turns,
mirrors, squares) it is turned: that is what people and the references see (Detectron2's `read_image`).
"""

import collections
import os
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from mask_rcnn_tf.coco import missing_files
from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.ops import image_bytes, stored_images
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS
from mask_rcnn_tf.ops.orientation import displayed_shape
from mask_rcnn_tf.ops.stored_images import StoredImage
from mask_rcnn_tf.pixels import MOST_CHANNELS, RGB, PixelKind

TURNED, EITHER, AS_STORED = "exif_turned", "exif_either", "exif_as_stored"  # keys of counts
DEEP, HIGHEST, PAGES = "deep", "highest", "pages"
DIM, HIGHEST_DIM = "dim", "highest_dim"  # 16-bit images that use a quarter of their range at most
RANGES = (255, 1023, 4095, 16383)  # of 8, 10, 12 and 14 bits


class Picture(NamedTuple):
    """An image file whose pixels were decoded once.

    Attributes:
      content: bytes that `ops.decode_image` decodes, or `unstacked` where the kind is not RGB.
      orientation: EXIF's, 1 to 8, that is to be applied to the decoded pixels.
      facts: counts of this one image, see `add_facts`.
    """

    content: bytes
    orientation: int
    facts: dict[str, int]


def orientation_for(stored: StoredImage, shape: tuple[int, int] | None) -> tuple[int, str]:
    """The orientation that is applied to an image, by the rule above.

    Args:
      stored: what the file says of itself.
      shape: (h, w) by the annotation file, pixels; None where there is none: it is as people see it.

    Returns:
      (EXIF's orientation, 1 for none; `TURNED`, `EITHER`, `AS_STORED`, or "" where there is nothing to decide).

    Raises:
      Rejected: neither the stored nor the displayed image has this size.
    """
    displayed = displayed_shape(stored.shape, stored.orientation)
    if shape is None:
        return stored.orientation, TURNED if stored.orientation > 1 else ""
    shape = tuple(shape)
    if shape not in (stored.shape, displayed):
        raise Rejected("image size is unlike the annotations'", _sizes(stored.shape, shape))
    if stored.orientation == 1:
        return 1, ""
    if shape != displayed:
        return 1, AS_STORED
    return stored.orientation, EITHER if shape == stored.shape else TURNED


def _sizes(stored: tuple[int, int], shape: tuple[int, int]) -> str:
    detail = f"{stored[1]} x {stored[0]} stored, {shape[1]} x {shape[0]} in the annotations (width x height)"
    swapped = stored == (shape[1], shape[0])
    return detail + ("; probably EXIF rotation that the file has lost: turn the pixels" if swapped else "")


def read_picture(path: str | os.PathLike, shape: tuple[int, int], kind: PixelKind = RGB) -> Picture:
    """Reads an image of an annotation file for training, and decodes it once to know that it can be used.

    Args:
      path: of the file.
      shape: (h, w) that the annotation file states, pixels.
      kind: what the pixels are to be.

    Returns:
      What `data.records.decoded` makes an image of this size of.

    Raises:
      Rejected: the file is missing, does not decode or has another size.
    """
    try:
        content = image_bytes.read_bytes(path, channels=kind.channels)
    except ValueError as error:
        detail = f"{printable(path)}: {error}".rstrip(".") + missing_files.hint(path)
        raise Rejected("image file is missing or cannot be read", detail) from None
    try:
        stored = stored_images.inspect(content)
        found = stored_images.levels(stored, kind)
        content = stored_images.graph_content(stored, found, kind)
    except ValueError as error:
        is_other = isinstance(error, stored_images.OtherKind)
        kind_of_error = "image is of another kind than the model takes" if is_other else "image does not decode"
        raise Rejected(kind_of_error, str(error).rstrip(".")) from None
    stored = stored._replace(shape=found.shape[:2])
    orientation, case = orientation_for(stored, shape)
    facts = facts_of(stored, case, int(found.max()) if stored.deep else 0, kind)
    return Picture(content, orientation, facts)


def read_pixels(
    path: str | os.PathLike,
    shape: tuple[int, int] | None = None,
    kind: PixelKind = RGB,
    max_pixels: int = MAX_PIXELS,
) -> tuple[np.ndarray, dict[str, int]]:
    """Reads an image to be predicted or scored.

    Args:
      path: of the file.
      shape: (h, w) that an annotation file states, pixels; None: the image as people see it.
      kind: what the pixels are to be.
      max_pixels: h * w that it may have.

    Returns:
      (`kind.dtype` [h, w, channels], counts of this one image, see `add_facts`).

    Raises:
      ValueError: as `read_picture`; in one line, which begins with the path.
    """
    try:
        stored = stored_images.inspect(image_bytes.read_bytes(path, max_pixels, kind.channels), max_pixels)
        orientation, case = orientation_for(stored, shape)
        image, highest = stored_images.pixels(stored, orientation, kind)
    except Rejected:
        raise ValueError(f"{printable(path)}: {_unlike(stored.shape, shape)}") from None
    except ValueError as error:
        raise ValueError(f"{printable(path)}: {str(error).rstrip('.')}{missing_files.hint(path)}.") from None
    if shape is not None and image.shape[:2] != tuple(shape):  # the header says something else
        raise ValueError(f"{printable(path)}: {_unlike(image.shape[:2], shape)}")
    return image, facts_of(stored, case, highest, kind)


def common_kind(paths: Iterable[str | os.PathLike]) -> PixelKind:
    """What image files are, by their headers: the kind that keeps everything they have, without alpha.

    Args:
      paths: of the files; those that cannot be read do not count.

    Returns:
      Channels and bits. Of files that are not alike: RGB where it is what all can be read as, or else what most are,
      so that a damaged file among many does not decide for them; RGB where none can be read.
    """
    found = collections.Counter()
    for path in paths:
        try:
            stored = stored_images.inspect(image_bytes.read_bytes(path, channels=MOST_CHANNELS))
        except ValueError:
            continue
        found[_own_kind(stored)] += 1
    if len(found) != 1 and all(kind.channels in (1, 3) for kind in found):
        return RGB
    return found.most_common(1)[0][0]


def _own_kind(stored: StoredImage) -> PixelKind:
    bits = 16 if stored.deep else 8
    if stored.is_array:
        return PixelKind(stored.channels, bits)
    if stored.pages > 1 and stored.channels == 1:
        return PixelKind(stored.pages, bits)
    return PixelKind(1, 16) if stored.deep and stored.channels == 1 else PixelKind(3, bits)


def _unlike(stored: tuple[int, int], shape: tuple[int, int]) -> str:
    hint = "; swapped sides mean an EXIF rotation that the file has lost" if stored == (shape[1], shape[0]) else ""
    return f"has {stored[0]} x {stored[1]} pixels (h x w), the annotations say {shape[0]} x {shape[1]}{hint}."


def facts_of(stored: StoredImage, case: str, highest: int, kind: PixelKind = RGB) -> dict[str, int]:
    """Counts of one image: how EXIF was decided, whether it has 16 bits and their highest level, more pages."""
    found = {case: 1} if case else {}
    found |= {DEEP: 1, HIGHEST: highest} if stored.deep else {}
    found |= {DIM: 1, HIGHEST_DIM: highest} if stored.deep and highest <= RANGES[-1] else {}
    is_cut = stored.pages > 1 and not stored_images.has_pages_for_channels(stored, kind)
    return found | ({PAGES: 1} if is_cut else {})


def add_facts(facts: dict[str, int], more: dict[str, int]):
    """Adds counts of further images to `facts`; of highest levels the higher one stays."""
    for key, count in more.items():
        highest = key in (HIGHEST, HIGHEST_DIM)
        facts[key] = max(facts.get(key, 0), count) if highest else facts.get(key, 0) + count


def fact_lines(facts: dict[str, int], kind: PixelKind = RGB) -> list[str]:
    """What a person should know of a set of images, a line each; none where there is nothing to know.

    Args:
      facts: counts, see `add_facts`.
      kind: the model's.

    Returns:
      The lines.
    """
    lines = []
    for key, text in (
        (TURNED, "have an EXIF orientation, which is applied"),
        (EITHER, "have an EXIF orientation that fits the annotated size turned and as stored: it is applied, as people "
         "see the image; check the shapes in the pictures of tools/check_data.py"),
        (AS_STORED, "have an EXIF orientation that is not applied, because the annotated size is that of the stored "
         "pixels; the shapes may be in the displayed frame: check them in the pictures of tools/check_data.py"),
        (PAGES, "are TIFFs of several pages, of which the first is read"),
    ):  # fmt: skip
        if facts.get(key):
            lines.append(f"{facts[key]} images {text}")
    return lines + (_level_lines(facts, kind.white_level) if kind.bits == 8 else [])


def _level_lines(facts: dict[str, int], white_level: int) -> list[str]:
    count, highest = facts.get(DIM, 0), facts.get(HIGHEST_DIM, 0)
    proposal = next(level for level in RANGES if highest <= level)
    if count and proposal < white_level:
        return [
            f"{count} of {facts[DEEP]} images of 16 bits have levels up to {highest} only: white at {white_level} "
            f"makes them dark, nearly black below a sixteenth of it; set config.model.preprocess.white_level={proposal}"
        ]
    if facts.get(HIGHEST, 0) > white_level:
        return [
            f"images of 16 bits have levels up to {facts[HIGHEST]}: those above "
            f"config.model.preprocess.white_level={white_level} become white"
        ]
    return []
