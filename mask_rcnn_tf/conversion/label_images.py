"""Label images: pictures whose values or colours are objects, 0 and black being none."""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco.errors import Rejected, printable
from mask_rcnn_tf.ops import image_bytes

FORMATS = ("PNG", "TIFF", "BMP", "GIF")  # without loss
COLOURS = ("RGB", "RGBA")
FIRST_COLOUR = 2**32  # above every grey value


def read(path: str | os.PathLike, shape: tuple[int, int], as_indices: bool = True) -> np.ndarray:
    """The values of a label image.

    Args:
      path: of a file in one of `FORMATS`: grey of 1 to 32 bits, a palette, or colours.
      shape: (h, w) that it must have, pixels.
      as_indices: whether the places in a palette whose first is black count, or else its colours.

    Returns:
      int64 [h, w]; black is 0, other colours are `colour`'s, which no grey value is.

    Raises:
      Rejected: it cannot be read, is of another size, or has values that are no whole numbers from 0 on.
    """
    return decode(_content(path), shape, printable(path, 200), as_indices)


def size(path: str | os.PathLike) -> tuple[int, int]:
    """(h, w) that the header of a label image says, undecoded. Raises Rejected: it cannot be read."""
    return shape_of(_content(path), printable(path, 200))


def shape_of(content: bytes, where: str) -> tuple[int, int]:
    """The same of the bytes of a file; `where` is its name in messages."""
    with _opened(content, where) as image:
        return image.size[1], image.size[0]


def _content(path: str | os.PathLike) -> bytes:
    try:
        return image_bytes.read_bytes(path)
    except ValueError as error:
        raise Rejected("label image that cannot be read", f"{printable(path, 200)}: {error}".rstrip(".")) from None


@contextlib.contextmanager
def _opened(content: bytes, where: str) -> Iterator[Image.Image]:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module=r"PIL\.")
            with Image.open(io.BytesIO(content), formats=FORMATS) as image:
                yield image
    except Rejected:
        raise
    except Exception as error:  # Pillow's parsers raise whatever a damaged file leads them to
        came = f"{where}: {type(error).__name__}; allowed: {', '.join(FORMATS)}"
        raise Rejected("label image that cannot be read", came) from None


def decode(content: bytes, shape: tuple[int, int], where: str, as_indices: bool = True) -> np.ndarray:
    """The same of the bytes of a file; `where` is its name in messages."""
    with _opened(content, where) as image:
        if image.size != (shape[1], shape[0]):
            came = f"{image.size[0]} x {image.size[1]}, its image {shape[1]} x {shape[0]} (width x height)"
            raise Rejected("label image of another size than its image", f"{where}: {came}")
        if getattr(image, "n_frames", 1) > 1:
            raise Rejected("label image of several pages, as stacks of three dimensions have", where)
        return _values(image, where, as_indices)


def _values(image: Image.Image, where: str, as_indices: bool) -> np.ndarray:
    if image.mode == "P" and not (as_indices and image.getpalette()[:3] == [0, 0, 0]):
        image = image.convert("RGB")
    if image.mode in ("LA", "PA"):
        image = image.getchannel(0)
    values = np.asarray(image)
    if image.mode in COLOURS:
        values = colour(values[..., :3])
    if values.ndim != 2 or not (np.isfinite(values) & (values == np.round(values)) & (values >= 0)).all():
        raise Rejected(
            "label image of other values", f"{where}: mode {image.mode}; allowed: whole numbers from 0, or colours"
        )
    return values.astype(np.int64)


def colour(rgb: np.ndarray) -> np.ndarray:
    """Colours [..., 3], 0 to 255, as int64 [...]: 0 for black, else 2**32 + red * 65536 + green * 256 + blue."""
    values = np.asarray(rgb).astype(np.int64) @ np.array([65536, 256, 1])
    return np.where(values > 0, values + FIRST_COLOUR, 0)


def masks(values: np.ndarray) -> list[tuple[int, np.ndarray, tuple[int, int]]]:
    """Every value above 0 with its mask in the smallest window around it.

    Args:
      values: int64 [h, w].

    Returns:
      (value, bool [ch, cw], (y, x) of the window) for each, by value.
    """
    rows, columns = np.nonzero(values)
    found = values[rows, columns]
    order = np.argsort(found, kind="stable")
    rows, columns, found = rows[order], columns[order], found[order]
    starts = np.flatnonzero(np.diff(found, prepend=-1))
    result = []
    for start, end in zip(starts, np.append(starts[1:], len(found))[: len(starts)], strict=True):
        ys, xs = rows[start:end], columns[start:end]
        y, x = int(ys.min()), int(xs.min())
        crop = np.zeros((int(ys.max()) - y + 1, int(xs.max()) - x + 1), bool)
        crop[ys - y, xs - x] = True
        result.append((int(found[start]), crop, (y, x)))
    return result
