"""An image as the bytes of its file: what it says of itself, looked at before a pixel is decoded, and its pixels.

TensorFlow decodes what a graph can be given. Pillow reads the headers, and the pixels of what TensorFlow does not
decode or decodes wrongly: TIFF, BMP, animated WebP. What has other channels than colours is in `array_files`.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from PIL import Image, UnidentifiedImageError

from mask_rcnn_tf.ops import array_files
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS, MAX_SIDE, cut_to_8_bits, decode_image, grey, stacked
from mask_rcnn_tf.ops.image_bytes import read_bytes
from mask_rcnn_tf.ops.orientation import orient, stored_orientation
from mask_rcnn_tf.pixels import RGB, PixelKind

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF", "NPY")
BY_PILLOW = ("TIFF", "BMP")  # TensorFlow reads no TIFF, and compressed and palette BMPs wrongly
MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")  # of 8 bits at most
BITS, PHOTOMETRIC = 258, 262  # TIFF's tags
BAND = 2**24  # samples of 16 bits that are cut at once: their arithmetic takes four times the memory
PNG_ROWS, PNG_PIXELS = 10**6, 2**29  # libpng's limit, and TensorFlow's, of what `stacked` makes
_MAGICS = {"JPEG": b"\xff\xd8\xff", "PNG": b"\x89PNG", "GIF": b"GIF8", "BMP": b"BM", "NPY": array_files.NUMPY}
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

# As a served graph reads it, so that both turn the same images. Traced once.
_orientation = tf.function(stored_orientation, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


class OtherKind(ValueError):
    """An image has other channels than a model takes, or fewer bits."""


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
      channels: 4 where it has alpha, 1 where it is grey, else 3; of an array as many as there are.
      is_array: whether its channels are no colours: a .npy, or a TIFF that Pillow does not read.
    """

    content: bytes
    form: str
    shape: tuple[int, int]
    orientation: int
    pages: int
    deep: bool
    by_pillow: bool
    channels: int = 3
    is_array: bool = False


def image_format(head: bytes) -> str:
    """Which of `FORMATS` a file is by its first 12 bytes or more; "" for none. Names of files do not count."""
    if head[:4] in _TIFF:
        return "TIFF"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    return next((form for form, magic in _MAGICS.items() if head.startswith(magic)), "")


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
    stored = (
        _array(content, form, array_files.npy_header(content))
        if form == "NPY"
        else _looked_at(content, form, max_pixels)
    )
    height, width = stored.shape
    if not (0 < height * width <= max_pixels and max(height, width) <= MAX_SIDE):
        raise ValueError(
            f"says that it has {height} x {width} pixels (h x w); allowed: 1 to {MAX_SIDE} on a side, at most "
            f"{max_pixels / 1e6:.1f} megapixels."
        )
    return stored


def _array(content: bytes, form: str, header: array_files.ArrayHeader) -> StoredImage:
    deep = header.dtype == "uint16"
    return StoredImage(content, form, header.shape, 1, 1, deep, False, header.channels, is_array=True)


def _looked_at(content: bytes, form: str, max_pixels: int) -> StoredImage:
    """By Pillow, and a TIFF that it does not read by rasterio. Raises ValueError: neither does."""
    try:
        with _opened(content, form) as image:
            stored, refusal = _described(image, content, form), _refusal(image) if form == "TIFF" else ""
            is_inverted = image.mode.startswith("I;16")
    except Image.DecompressionBombError:
        allowed = f"allowed: at most {max_pixels / 1e6:.1f} megapixels."
        raise ValueError(f"says that it has more than 178 megapixels, which Pillow does not open; {allowed}") from None
    except Exception as error:  # Pillow's parsers raise whatever a damaged header leads them to
        if form == "TIFF" and isinstance(error, UnidentifiedImageError):  # a number of bands that it does not know
            return _array(content, form, array_files.band_header(content))
        raise ValueError(f"does not decode as an image ({type(error).__name__} in its header).") from None
    if not refusal:
        return stored
    with contextlib.suppress(ValueError):
        if not is_inverted:
            return _array(content, form, array_files.band_header(content))
    raise ValueError(refusal)


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
    has_alpha = image.mode in ("LA", "PA", "RGBA") or "transparency" in image.info
    return StoredImage(
        content=content,
        form=form,
        shape=(height, width),
        orientation=1 if is_tiff else int(_orientation(content)),  # Pillow applies a TIFF's by itself
        pages=image.n_frames if is_tiff else 1,
        deep=image.mode.startswith("I;16") if is_tiff else form == "PNG" and content[24:25] == b"\x10",
        by_pillow=_is_read_otherwise(image, form),
        channels=4 if has_alpha else 1 if image.mode in array_files.GREYS else 3,
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
        "it as PNG, which has 16 bits of colour too, or `pip install 'mask_rcnn_tf[geo]'`, which reads them."
    )


def has_pages_for_channels(stored: StoredImage, kind: PixelKind) -> bool:
    """Whether the pages of a TIFF are its channels: as many as a model takes, unless that takes RGB."""
    return not kind.is_rgb and stored.pages == kind.channels > 1


def levels(stored: StoredImage, kind: PixelKind = RGB) -> np.ndarray:
    """Decodes the stored pixels, all their bits.

    Args:
      stored: of `inspect`.
      kind: what the pixels are to be.

    Returns:
      uint8, of a `deep` image uint16, [h, w, channels]; [h, w, 1] too where 3 are asked for and it is grey, and
      [h, w, 3] where 1 is. Alpha is dropped unless 4 are.

    Raises:
      ValueError: it does not decode, or has other channels or fewer bits.
    """
    _check_kind(stored, kind)
    try:
        return _decoded(stored, kind)
    except tf.errors.OpError as error:
        reason = error.message.splitlines()[0].split("}} ")[-1]  # behind the operator's name
        raise ValueError(f"does not decode as an image ({reason:.100}).") from None
    except MemoryError:
        raise ValueError(f"has {stored.shape[0]} x {stored.shape[1]} pixels, for which memory does not do.") from None
    except ValueError:
        raise
    except Exception as error:  # as above
        raise ValueError(f"does not decode as an image ({type(error).__name__} in its pixels).") from None


def _check_kind(stored: StoredImage, kind: PixelKind):
    came, is_picture = stored.channels, kind.channels in (1, 3)
    by_pages = has_pages_for_channels(stored, kind)
    if stored.form == "TIFF" and not is_picture and not by_pages:
        came = array_files.band_header(stored.content).channels
    fits = came in (1, 3) or not stored.is_array if is_picture else came == kind.channels
    if not (fits or by_pages):
        pages = f" and {stored.pages} pages" if stored.pages > 1 else ""
        raise OtherKind(
            f"has {came} channels{pages}; the model takes {kind.channels} (config.model.preprocess.channels)."
        )
    if kind.bits == 16 and not stored.deep:
        raise OtherKind("has levels of 8 bits; the model takes 16 (config.model.preprocess.bits).")


def _decoded(stored: StoredImage, kind: PixelKind) -> np.ndarray:
    if stored.form == "NPY":
        return array_files.npy_levels(stored.content)
    if has_pages_for_channels(stored, kind):
        with _opened(stored.content, stored.form) as image:
            return array_files.page_levels(image)
    if stored.is_array or stored.form == "TIFF" and kind.channels not in (1, 3):
        return array_files.band_levels(stored.content)
    if stored.by_pillow:
        return _decoded_by_pillow(stored, kind.channels == 4)
    content, alpha = tf.constant(stored.content), kind.channels == 4
    if stored.deep:
        return tf.io.decode_png(content, 4 if alpha else 3, tf.uint16).numpy()
    return decode_image(content, PixelKind(channels=4 if alpha else 3)).numpy()


def _decoded_by_pillow(stored: StoredImage, alpha: bool = False) -> np.ndarray:
    with _opened(stored.content, stored.form) as image:
        if stored.deep:
            return np.asarray(image).astype(np.uint16)[..., None]
        return np.asarray(image.convert("RGBA" if alpha else "RGB"))


def _in_channels(found: np.ndarray, kind: PixelKind) -> np.ndarray:
    """Colours as grey, and grey as colours, where the other is asked for."""
    if found.shape[-1] == kind.channels:
        return found
    return grey(tf.constant(found)).numpy() if kind.channels == 1 else np.repeat(found, 3, -1)


def pixels(stored: StoredImage, orientation: int, kind: PixelKind = RGB) -> tuple[np.ndarray, int]:
    """Decodes an image and turns it.

    Args:
      stored: of `inspect`.
      orientation: what is applied: `stored.orientation`, or 1 for the pixels as they are stored.
      kind: what the pixels are to be; where it has 8 bits, see `decode_image.cut_to_8_bits`.

    Returns:
      (`kind.dtype` [h, w, channels]; the highest level of a `deep` image, else 0).

    Raises:
      ValueError: as `levels`.
    """
    found, highest = levels(stored, kind), 0
    if stored.deep:
        highest = int(found.max())
    if stored.deep and kind.bits == 8:
        bands = np.array_split(found, min(len(found), -(-found.size // BAND)))
        found = np.concatenate([cut_to_8_bits(band, kind.white_level).numpy() for band in bands])
    found = _in_channels(found, kind)
    return (found if orientation == 1 else orient(found, orientation).numpy()), highest


def graph_content(stored: StoredImage, found: np.ndarray, kind: PixelKind = RGB) -> bytes:
    """Bytes that a graph decodes to the same pixels: of RGB by `decode_image`, of others by `unstacked`.

    Args:
      stored: of `inspect`.
      found: its `levels`.
      kind: what the pixels are to be.

    Returns:
      The file's own bytes, or those of a PNG.

    Raises:
      ValueError: it is larger than a PNG can be.
    """
    if kind.is_rgb:
        is_stored = not (stored.by_pillow or stored.is_array)
        return stored.content if is_stored else tf.io.encode_png(found, compression=1).numpy()
    rows = found.shape[0] * kind.channels
    if rows > PNG_ROWS or rows * found.shape[1] >= PNG_PIXELS:
        raise ValueError(
            f"has {found.shape[0]} x {found.shape[1]} pixels of {kind.channels} channels; allowed: fewer than "
            f"{PNG_PIXELS // 2**20} million levels, at most {PNG_ROWS} rows of all channels together."
        )
    return stacked(_in_channels(found, kind)).numpy()


def load(path: str | os.PathLike, kind: PixelKind = RGB, max_pixels: int = MAX_PIXELS) -> tuple[np.ndarray, int]:
    """Reads an image file as people see it: its EXIF orientation is applied. Args, Returns and Raises as above."""
    stored = inspect(read_bytes(path, max_pixels, kind.channels), max_pixels)
    return pixels(stored, stored.orientation, kind)
