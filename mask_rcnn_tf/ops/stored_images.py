"""An image as the bytes of its file: what it says of itself, looked at before a pixel is decoded, and its pixels.

TensorFlow decodes what a graph can be given. Pillow reads the headers, and the pixels of what TensorFlow does not
decode or decodes wrongly: TIFF, BMP, animated WebP.
"""

import contextlib
import io
import os
import stat
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.ops.decode_image import MAX_PIXELS, MAX_SIDE, cut_to_8_bits, decode_image
from mask_rcnn_tf.ops.orientation import orient, stored_orientation
from mask_rcnn_tf.pixels import RGB, PixelKind

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
BY_PILLOW = ("TIFF", "BMP")  # TensorFlow reads no TIFF, and compressed and palette BMPs wrongly
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits at most
BITS, PHOTOMETRIC = 258, 262  # TIFF's tags
BAND = 2**24  # samples of 16 bits that are cut at once: their arithmetic takes four times the memory
_MAGICS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG", "GIF": b"GIF8", "BMP": b"BM"}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# As a served graph reads it, so that both turn the same images. Traced once.
_orientation = tf.function(stored_orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


class StoredImage(NamedTuple):
    """What an image file says of itself.

    Attributes:
      content: its bytes.
      form: one of `FORMATS`.
      shape: (h, w) as stored, pixels.
      orientation: EXIF's, 1 to 8, that is to be applied to the stored pixels.
      pages: images in a TIFF, of which the first is read; 1 of other formats.
      deep: whether its levels have 16 bits.
      by_pillow: whether Pillow decodes it, not TensorFlow.
    """

    content: bytes
    form: str
    shape: tuple[int, int]
    orientation: int
    pages: int
    deep: bool
    by_pillow: bool


def image_format(head: bytes) -> str:
    """Which of `FORMATS` a file is by its first 12 bytes or more; "" for none. Names of files do not count."""
    if head[:4] in _TIFF:
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((form for form, magic in _MAGICS.items() if head.startswith(magic)), "")


def read_bytes(path: str | os.PathLike, max_pixels: int = MAX_PIXELS) -> bytes:
    """The contents of a regular file that is not larger than an image may be.

    Args:
      path: of the file; one with a scheme, such as gs://, is left to TensorFlow.
      max_pixels: see `inspect`.

    Returns:
      Its bytes.

    Raises:
      ValueError: there is no such file, it is a folder, a pipe or a device, it is too large or cannot be read.
    """
    if "://" in os.fspath(path):
        try:
            return tf.io.read_file(os.fspath(path)).numpy()
        except tf.errors.OpError as error:
            reason = error.message.splitlines()[0].split("}} ")[-1]  # behind the operator's name
            raise ValueError(f"cannot be read: {reason:.120}.") from None
    most = 8 * max_pixels + 2**24  # four channels of 16 bits, uncompressed
    try:
        state = os.stat(path)
        if not stat.S_ISREG(state.st_mode):
            raise ValueError("is no regular file.")
        if state.st_size > most:
            raise ValueError(f"has {state.st_size} bytes; allowed: at most {most}.")
        with open(path, "rb") as file:
            return file.read(state.st_size)  # a larger number would be taken as memory, whatever the file has
    except FileNotFoundError:
        raise ValueError("there is no such file.") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}.") from None


def inspect(content: bytes, max_pixels: int = MAX_PIXELS) -> StoredImage:
    """Reads the header of an image file. No pixel is decoded: some kilobytes can inflate to gigabytes.

    Args:
      content: its bytes.
      max_pixels: h * w that an image may have.

    Returns:
      What it says of itself.

    Raises:
      ValueError: it is no image of `FORMATS`, or a larger one, or a TIFF of a kind that is not read.
    """
    form = image_format(content)
    if not form:
        raise ValueError("does not decode as an image.")
    try:
        with _opened(content, form) as image:
            stored, refusal = _described(image, content, form), _refusal(image) if form == "TIFF" else ""
    except Image.DecompressionBombError:
        allowed = f"allowed: at most {max_pixels / 1e6:.1f} megapixels."
        raise ValueError(f"says that it has more than 178 megapixels, which Pillow does not open; {allowed}") from None
    except Exception as error:  # Pillow's parsers raise whatever a damaged header leads them to
        raise ValueError(f"does not decode as an image ({type(error).__name__} in its header).") from None
    if refusal:
        raise ValueError(refusal)
    height, width = stored.shape
    if not (0 < height * width <= max_pixels and max(height, width) <= MAX_SIDE):
        raise ValueError(
            f"says that it has {height} x {width} pixels (h x w); allowed: 1 to {MAX_SIDE} on a side, at most "
            f"{max_pixels / 1e6:.1f} megapixels."
        )
    return stored


@contextlib.contextmanager
def _opened(content: bytes, form: str) -> Iterator[Image.Image]:
    """An image of Pillow, whose warnings say nothing that is not said otherwise.

    Above 89 megapixels: `max_pixels` decides, in an error. Damaged EXIF and TIFF tags: the image is read as if it had
    none. Transparency of palettes: alpha is dropped.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        with Image.open(io.BytesIO(content), formats=[form]) as image:
            yield image


def _described(image: Image.Image, content: bytes, form: str) -> StoredImage:
    width, height = image.size
    is_tiff = form == "TIFF"
    return StoredImage(
        content=content,
        form=form,
        shape=(height, width),
        orientation=1 if is_tiff else int(_orientation(content)),  # Pillow applies a TIFF's by itself
        pages=image.n_frames if is_tiff else 1,
        deep=image.mode.startswith("I;16") if is_tiff else form == "PNG" and content[24:25] == b"\x10",
        by_pillow=_is_read_otherwise(image, form),
    )


def _is_read_otherwise(image: Image.Image, form: str) -> bool:
    """Whether TensorFlow does not decode an image, or to other pixels than Pillow, which others train with.

    Of a GIF it gives the first frame alone where that does not cover the image, and black for what is transparent.
    """
    if form == "GIF":
        is_cut = bool(image.tile) and tuple(image.tile[0][1]) != (0, 0, *image.size)
        return is_cut or "transparency" in image.info
    return form in BY_PILLOW or form == "WEBP" and image.is_animated


def _refusal(tiff: Image.Image) -> str:
    """Why a TIFF is not read; "" if it is. Pillow cuts floats to 0..255, and colours of 16 bits to their upper 8."""
    bits = tiff.tag_v2.get(BITS, (1,))
    if tiff.mode.startswith("I;16"):
        inverted = tiff.tag_v2.get(PHOTOMETRIC) == 0
        return "is a TIFF of 16 bits whose 0 is white; allowed: 0 is black. Save it as PNG." if inverted else ""
    if tiff.mode in MODES and max(bits) <= 8:
        return ""
    return (
        f"is a TIFF of mode {tiff.mode} with {'/'.join(map(str, bits[:4]))} bits; allowed: 8 bits, or 16 of grey. Save "
        "it as PNG, which has 16 bits of colour too."
    )


def levels(stored: StoredImage) -> np.ndarray:
    """Decodes the stored pixels, all their bits.

    Args:
      stored: of `inspect`.

    Returns:
      uint8 [h, w, 3] RGB; of a `deep` image uint16 [h, w, 3] RGB or [h, w, 1] grey. Alpha is dropped.

    Raises:
      ValueError: it does not decode.
    """
    try:
        if stored.by_pillow:
            return _decoded_by_pillow(stored)
        content = tf.constant(stored.content)
        return (tf.io.decode_png(content, 3, tf.uint16) if stored.deep else decode_image(content)).numpy()
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].split("}} ")[-1]  # behind the operator's name
        raise ValueError(f"does not decode as an image ({reason:.100}).") from None
    except MemoryError:
        raise ValueError(f"has {stored.shape[0]} x {stored.shape[1]} pixels, for which memory does not do.") from None
    except Exception as error:  # as above
        raise ValueError(f"does not decode as an image ({type(error).__name__} in its pixels).") from None


def _decoded_by_pillow(stored: StoredImage) -> np.ndarray:
    with _opened(stored.content, stored.form) as image:
        if stored.deep:
            return np.asarray(image).astype(np.uint16)[..., None]
        return np.asarray(image.convert("RGB"))


def pixels(stored: StoredImage, orientation: int, kind: PixelKind = RGB) -> tuple[np.ndarray, int]:
    """Decodes an image and turns it.

    Args:
      stored: of `inspect`.
      orientation: what is applied: `stored.orientation`, or 1 for the pixels as they are stored.
      kind: of 16-bit images `white_level` becomes white, see `decode_image.cut_to_8_bits`.

    Returns:
      (uint8 [h, w, 3] RGB; the highest level of a `deep` image, else 0).

    Raises:
      ValueError: it does not decode.
    """
    found, highest = levels(stored), 0
    if stored.deep:
        highest = int(found.max())
        bands = np.array_split(found, min(len(found), -(-found.size // BAND)))
        found = np.concatenate([cut_to_8_bits(band, kind.white_level).numpy() for band in bands])
        found = np.repeat(found, 3, -1) if found.shape[-1] == 1 else found
    return (found if orientation == 1 else orient(found, orientation).numpy()), highest


def graph_content(stored: StoredImage, found: np.ndarray) -> bytes:
    """Bytes that `decode_image` decodes to the same pixels: the file's own, or a PNG of what Pillow has read.

    Args:
      stored: of `inspect`.
      found: its `levels`.

    Returns:
      Bytes of an image file.
    """
    return tf.io.encode_png(found, compression=1).numpy() if stored.by_pillow else stored.content


def load(path: str | os.PathLike, kind: PixelKind = RGB, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, int]:
    """Reads an image file as people see it: its EXIF orientation is applied. Args, Returns and Raises as above."""
    stored = inspect(read_bytes(path, max_pixels), max_pixels)
    return pixels(stored, stored.orientation, kind)
