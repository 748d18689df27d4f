"""EXIF and XMP inside an image file, found in operators that a served graph can have."""

from collections.abc import Callable

import tensorflow as tf

MOST_CHUNKS = 2**15  # that are walked over, in a second: libpng cuts the pixels of a quarter gigabyte into as many
EXIF = b"Exif\0\0"  # before it in a JPEG
XMP = b"http://ns.adobe.com/xap/1.0/\0"
XMP_KEY = b"XML:com.adobe.xmp\0\0"  # in a PNG, where it is not compressed
APP1, SOS, EOI, RST0, SOI, FIRST_MARKER, FILLING = 0xFFE1, 0xFFDA, 0xFFD9, 0xFFD0, 0xFFD8, 0xFFC0, 0xFFFF
VP8X_EXIF, VP8X_XMP = 8, 4  # flags
MOST_BYTES = 2**30  # of a chunk: sums of places and lengths stay below 2**31

# What lies at a place of a file: how many bytes it takes (0: nothing follows), and whether it is EXIF or XMP, bool [2].
Look = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


def metadata_blocks(content: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The EXIF and the XMP of a JPEG, a PNG or a WebP, before the pixels or behind them.

    Args:
      content: string [], bytes of a file.

    Returns:
      (EXIF, string [], which begins with its TIFF header or with "Exif"; XMP, string []); "" where there is none, and
      of other formats. Compressed XMP counts as none: it could inflate to gigabytes.

    Source: JPEG (ITU T.81) B.1.1.4, marker segments; PNG (third edition) 5.3, chunks, and 11.3.4.5, eXIf, which may
    follow the pixels; RFC 9649, 2.3 and 2.7.1.5, RIFF and metadata of WebP; XMP part 3, 1.1.3, JPEG.
    """
    content = tf.convert_to_tensor(content)
    is_png = text(content, 0, 8) == b"\x89PNG\r\n\x1a\n"
    is_webp = (text(content, 0, 4) == b"RIFF") & (text(content, 8, 8) == b"WEBPVP8X")
    cases = [(tf.io.is_jpeg(content), _of_jpeg), (is_png, _of_png), (is_webp, _of_webp)]
    found = tf.case(
        [(matches, lambda blocks=blocks: blocks(content)) for matches, blocks in cases],
        default=lambda: (tf.constant(b""), tf.constant(b"")),
    )
    return tuple(found)


def text(content: tf.Tensor, start: tf.Tensor | int, length: tf.Tensor | int) -> tf.Tensor:
    """Bytes `start` to `start` + `length` of a string [], as far as it goes."""
    total = tf.strings.length(content)
    return tf.strings.substr(content, tf.minimum(start, total), tf.maximum(length, 0))


def numbers(data: tf.Tensor, dtype: tf.DType, count: int, little: bool = False) -> list[tf.Tensor]:
    """The first numbers of a string [], int32 [] each; zeros beyond its end. `little`: the lowest byte comes first."""
    decoded = tf.io.decode_raw(data, dtype, little_endian=little, fixed_length=count * dtype.size)
    return tf.unstack(tf.cast(decoded, tf.int32))


def _of_jpeg(content):
    def look(at):
        marker, length = numbers(text(content, at, 4), tf.uint16, 2)
        ends = (marker == SOS) | (marker == EOI) | (marker >= 0xFF00) & (marker < FIRST_MARKER) | (length < 2)
        size = tf.where(ends, 0, 2 + length)
        size = tf.where((marker >= RST0) & (marker <= SOI), 2, size)  # these have no length
        size = tf.where((marker < 0xFF00) | (marker == FILLING), 1, size)  # what lies between segments
        is_app1 = marker == APP1
        signatures = [is_app1 & (text(content, at + 4, len(name)) == name) for name in (EXIF, XMP)]
        return size, tf.stack(signatures)

    at, size = _find(content, 2, look)
    skipped = 4 + len(XMP)
    return text(content, at[0] + 4, size[0] - 4), text(content, at[1] + skipped, size[1] - skipped)


def _of_png(content):
    def look(at):
        length, kind = numbers(text(content, at, 8), tf.int32, 2)
        ends = (length < 0) | (length > MOST_BYTES) | (kind == int.from_bytes(b"IEND"))
        is_xmp = (kind == int.from_bytes(b"iTXt")) & (text(content, at + 8, len(XMP_KEY)) == XMP_KEY)
        return tf.where(ends, 0, 12 + length), tf.stack([kind == int.from_bytes(b"eXIf"), is_xmp])

    at, size = _find(content, 8, look)
    skipped = 8 + len(XMP_KEY)
    return text(content, at[0] + 8, size[0] - 12), text(content, at[1] + skipped, size[1] - skipped - 4)


def _of_webp(content):
    def look(at):
        kind, length = numbers(text(content, at, 8), tf.int32, 2, little=True)
        ends = (length < 0) | (length > MOST_BYTES)
        wanted = kind == [int.from_bytes(b"EXIF", "little"), int.from_bytes(b"XMP ", "little")]
        return tf.where(ends, 0, 8 + length + length % 2), wanted

    at, size = _find(content, 12, look)
    flags = tf.cast(tf.io.decode_raw(text(content, 20, 1), tf.uint8, fixed_length=1)[0], tf.int32)
    size = tf.where(tf.bitwise.bitwise_and(flags, [VP8X_EXIF, VP8X_XMP]) > 0, size, 0)
    return text(content, at[0] + 8, size[0] - 8), text(content, at[1] + 8, size[1] - 8)


def _find(content, first, look: Look):
    """Where the first EXIF and the first XMP are, int32 [2], and the sizes of their chunks; 0 where there is none."""
    total = tf.strings.length(content)

    def step(at, size, places, sizes):
        del size
        size, found = look(at)
        new = found & (sizes == 0)
        return at + tf.minimum(size, total - at), size, tf.where(new, at, places), tf.where(new, size, sizes)

    _, _, places, sizes = tf.while_loop(
        lambda at, size, places, sizes: (size > 0) & (at < total) & tf.reduce_any(sizes == 0),
        step,
        (tf.constant(first), tf.constant(1), tf.zeros([2], tf.int32), tf.zeros([2], tf.int32)),
        maximum_iterations=MOST_CHUNKS,
    )
    return places, sizes
