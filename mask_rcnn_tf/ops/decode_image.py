"""From the bytes of an image file to its pixels."""

import tensorflow as tf

from mask_rcnn_tf.pixels import FULL_RANGE, RGB, PixelKind

MAX_SIDE = 2**16  # of an image, pixels: JPEG's own limit is one less
MAX_PIXELS = 2**26  # a photo of 64 megapixels passes
BITFIELDS = 3  # a BMP with masks of its colours: of red, green and blue, the lowest byte first
ADOBE = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"  # APP14: version 100, no flags, inks as they are, inverted
BGR_MASKS = (0, 0, 255, 0, 0, 255, 0, 0, 255, 0, 0, 0)


def decode_image(content: tf.Tensor, kind: PixelKind = RGB) -> tf.Tensor:
    """Decodes an image file; EXIF orientation is not applied, see `orientation`.

    Args:
      content: string [], bytes of a JPEG, PNG (grey, palette, alpha, 16 bits), WebP, BMP or GIF. Of an animation the
        first frame; animated WebPs without alpha and BMPs with a palette of colours are refused. For four channels a
        PNG or WebP with alpha, for 16 bits a PNG of 16 bits.
      kind: of 1, 3 or 4 channels; of 16-bit files `white_level` becomes white, see `cut_to_8_bits`.

    Returns:
      uint8 or uint16 [h, w, channels]; RGB, grey as of `grey`, or RGB and alpha. JPEGs equal Pillow's bit for bit.
    """
    if kind.bits == 16:
        content = _refused(content, ~_is_deep(content), "the image has no 16 bits; allowed: a PNG that has.")
    if kind.channels == 4:
        content = _refused(content, ~_has_alpha(content), "the image has no alpha; allowed: a PNG or WebP that has.")
    image = _decoded_deep(content, kind) if kind.bits == 16 else _decoded_shallow(content, kind)
    if kind.channels == 1:
        image = grey(image)
    image.set_shape([None, None, kind.channels])
    return image


def _decoded_deep(content, kind):
    return tf.io.decode_png(content, max(3, kind.channels), tf.uint16)


def _decoded_shallow(content, kind):
    """8 bits, three channels or four."""
    content = _refused(
        content,
        _is_bmp_with_colours(content),
        "the BMP has a palette, other masks or packed rows; allowed: 24 or 32 bits a pixel in BGR, or 8 of grey.",
    )
    cases = _deep_case(content, kind)
    if kind.channels == 4:
        if not cases:
            return tf.io.decode_image(content, channels=4, expand_animations=False)
        return tf.case(cases, default=lambda: tf.io.decode_image(content, channels=4, expand_animations=False))
    image = tf.case(
        cases
        + [
            (
                tf.io.is_jpeg(content),
                lambda: tf.io.decode_jpeg(_with_inverted_inks(content), channels=3, dct_method="INTEGER_ACCURATE"),
            ),
            (
                _is_webp_with_alpha(content),
                lambda: tf.io.decode_image(content, channels=4, expand_animations=False)[..., :3],
            ),
        ],
        default=lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
    )
    is_gif = tf.strings.substr(content, 0, 4) == b"GIF8"
    is_cut = is_gif & tf.reduce_any(tf.shape(image)[:2] != declared_shape(content))
    return _refused(image, is_cut, "the first frame of the GIF does not cover it; allowed: one that does.")


def grey(levels: tf.Tensor) -> tf.Tensor:
    """The luma of colours; of equal channels it is their level.

    Args:
      levels: uint8 or uint16 [..., 3], RGB.

    Returns:
      The dtype of levels, [..., 1].

    Source: Pillow, `Image.convert("L")` (ITU-R 601-2), bit for bit with 8 bits.
    """
    weighted = tf.cast(levels, tf.int64) * tf.constant([19595, 38470, 7471], tf.int64)
    return tf.cast((tf.reduce_sum(weighted, -1, keepdims=True) + 0x8000) // 65536, levels.dtype)


def stacked(levels: tf.Tensor) -> tf.Tensor:
    """Any number of channels in one file: a grey PNG of all channels, one below the other.

    Args:
      levels: uint8 or uint16 [h, w, C].

    Returns:
      string [], what `unstacked` takes.
    """
    shape = tf.shape(levels)
    column = tf.reshape(tf.transpose(levels, [2, 0, 1]), [shape[2] * shape[0], shape[1], 1])
    return tf.io.encode_png(column, compression=1)


def unstacked(content: tf.Tensor, kind: PixelKind) -> tf.Tensor:
    """The image of which `stacked` made a file.

    Args:
      content: string [].
      kind: its channels are those of the file; of 16-bit files `white_level` becomes white where it has 8 bits.

    Returns:
      `kind.dtype` [h, w, channels].
    """
    if kind.bits == 16:
        column = tf.io.decode_png(content, 1, tf.uint16)
    else:
        column = tf.cond(
            _is_deep(content),
            lambda: cut_to_8_bits(tf.io.decode_png(content, 1, tf.uint16), kind.white_level),
            lambda: tf.io.decode_png(content, 1, tf.uint8),
        )
    planes = tf.reshape(column, [kind.channels, -1, tf.shape(column)[1]])
    return tf.ensure_shape(tf.transpose(planes, [1, 2, 0]), [None, None, kind.channels])


def _with_inverted_inks(jpeg):
    """The same, with a marker of Adobe's where there are four inks, which a marker of the file's own overrides.

    Without one TensorFlow takes them as they are. Pillow, which others train with, inverts them always.
    """

    def marked():
        start, rest = tf.strings.substr(jpeg, 0, 2), tf.strings.substr(jpeg, 2, tf.strings.length(jpeg))
        return tf.strings.join([start, ADOBE, rest])

    return tf.cond(tf.io.extract_jpeg_shape(jpeg)[2] == 4, marked, lambda: jpeg)


def _refused(value, condition, reason):
    """The value, or an error with the reason where a condition holds."""
    check = tf.debugging.Assert(~condition, [reason])
    with tf.control_dependencies([] if check is None else [check]):  # None: it ran at once
        return tf.identity(value)


def cut_to_8_bits(levels: tf.Tensor, white_level: int) -> tf.Tensor:
    """Cuts levels of 16 bits to 8: those of `white_level` and above become 255.

    Args:
      levels: uint16, any shape.
      white_level: 255 to 65535; with the latter the upper 8 bits remain.

    Returns:
      uint8, the shape of levels.
    """
    return tf.cast(tf.minimum(tf.cast(levels, tf.int32) * 256 // (white_level + 1), 255), tf.uint8)


def _deep_case(content, kind):
    """The case of PNGs of 16 bits, where another range than the full one is asked for."""
    if kind.white_level == FULL_RANGE:  # what decoding to uint8 keeps
        return []
    return [(_is_deep(content), lambda: cut_to_8_bits(_decoded_deep(content, kind), kind.white_level))]


def _is_deep(content):
    header = tf.io.decode_raw(content, tf.uint8, fixed_length=25)
    return tf.reduce_all(header[:8] == tf.constant(list(b"\x89PNG\r\n\x1a\n"), tf.uint8)) & (header[24] == 16)


def _has_alpha(content):
    """Of a PNG by its kind of colours (palettes may have it), else of a WebP."""
    header = tf.io.decode_raw(content, tf.uint8, fixed_length=26)
    is_png = tf.reduce_all(header[:4] == tf.constant(list(b"\x89PNG"), tf.uint8))
    return is_png & (header[25] >= 3) | _is_webp_with_alpha(content)


def declared_shape(content: tf.Tensor) -> tf.Tensor:
    """The size that a JPEG, PNG or GIF says it has, without decoding it: some kilobytes can inflate to a gigabyte.

    Args:
      content: string [], bytes of an image file.

    Returns:
      int32 [2], (height, width) in pixels; of other formats (1, 1). Sizes beyond int32 are negative.

    Source: PNG 11.2.2 (IHDR); GIF89a 18 (logical screen descriptor).
    """
    header = tf.cast(tf.io.decode_raw(content, tf.uint8, fixed_length=24), tf.int32)

    def number(*places):  # the highest byte first
        return sum(header[place] * 256**power for power, place in enumerate(reversed(places)))

    is_png, is_gif = (tf.reduce_all(header[:4] == list(name)) for name in (b"\x89PNG", b"GIF8"))
    png = tf.stack([number(20, 21, 22, 23), number(16, 17, 18, 19)])
    gif = tf.stack([number(9, 8), number(7, 6)])
    other = tf.where(is_png, png, tf.where(is_gif, gif, 1))
    return tf.cond(tf.io.is_jpeg(content), lambda: tf.io.extract_jpeg_shape(content)[:2], lambda: other)


def _is_bmp_with_colours(content):
    """Whether TensorFlow would give a BMP other colours, because it looks at the number of bits alone.

    It takes indices for greys: the palette must be 256 of them. It takes masks for those of BGR, packed rows for plain.
    """
    header = tf.cast(tf.io.decode_raw(content, tf.uint8, fixed_length=54 + 4 * 256), tf.int32)
    palette = tf.reshape(header[54:], [256, 4])[:, :3]
    is_bmp = (header[0] == ord("B")) & (header[1] == ord("M"))
    indexed = (header[28] == 8) & tf.reduce_any(palette != tf.range(256)[:, None])
    masked = (header[30] == BITFIELDS) & tf.reduce_any(header[54:66] != BGR_MASKS)
    return is_bmp & (indexed | masked | (header[30] != 0) & (header[30] != BITFIELDS))


def _is_webp_with_alpha(content):
    """Whether a file is a WebP that decodes to 4 channels only.

    TensorFlow wants the number of channels that the file has. It must not choose itself (channels=0): it then writes
    4 channels of an animation into memory for 3 (TensorFlow 2.21, measured: the process dies).

    Source: RFC 9649, sections 2.7 (VP8X, L flag) and 3.4 (VP8L, alpha_is_used).
    """
    header = tf.io.decode_raw(content, tf.uint8, fixed_length=25)  # shorter files are filled up with zeros

    def has(start, name):
        return tf.reduce_all(header[start : start + 4] == tf.constant(list(name), tf.uint8))

    flags = tf.where(has(12, b"VP8X"), header[20], tf.where(has(12, b"VP8L"), header[24], 0))
    return has(0, b"RIFF") & has(8, b"WEBP") & (tf.bitwise.bitwise_and(flags, 0x10) > 0)
