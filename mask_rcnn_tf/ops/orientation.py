"""EXIF orientation: how the pixels of a file are turned and mirrored so that people see them upright."""

import tensorflow as tf

from mask_rcnn_tf.ops.metadata_blocks import metadata_blocks, numbers, text

TAG = 0x0112
SHORT, LONG = 3, 4  # kinds of an entry
XMP_BYTES = 2**20  # that are searched
XMP_PATTERN = r"""\C*?tiff:Orientation(?:="|>)([0-9])\C*"""  # \C: a byte, also of broken UTF-8
SWAPPED = 5  # from this orientation on, height and width change places


def displayed_shape(shape: tuple[int, int], orientation: int) -> tuple[int, int]:
    """(h, w) as people see an image that is stored with `shape` (h, w), pixels."""
    return (shape[1], shape[0]) if orientation >= SWAPPED else shape


def orient(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors the stored pixels of an image.

    Args:
      image: any dtype [h, w, C].
      orientation: int32 [], EXIF's, 1 to 8; 1 leaves the image as it is.

    Returns:
      The dtype of image, [h, w, C], or [w, h, C] from orientation 5 on.

    Source: EXIF 2.32, 4.6.4 A, Orientation; `PIL.ImageOps.exif_transpose`.
    """
    orientation = tf.convert_to_tensor(orientation)

    def turned():
        pixels = tf.cond(orientation >= SWAPPED, lambda: tf.transpose(image, [1, 0, 2]), lambda: image)
        for axis, mirrored in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
            flips = tf.reduce_any(orientation == tf.constant(mirrored, orientation.dtype))
            pixels = tf.cond(flips, lambda p=pixels, a=axis: tf.reverse(p, [a]), lambda p=pixels: p)
        return pixels

    oriented = tf.cond(orientation > 1, turned, lambda: image)
    oriented.set_shape([None, None, image.shape[-1]])
    return oriented


def stored_orientation(content: tf.Tensor) -> tf.Tensor:
    """The orientation of an image file by its EXIF, else by its XMP, in operators that a served graph can have.

    Args:
      content: string [], bytes of a file.

    Returns:
      int32 [], 1 to 8; 1 where none is said, or something else, and of formats other than JPEG, PNG and WebP.

    Source: EXIF 2.32, 4.5.2 and 4.6.2; TIFF 6.0, section 2; `PIL.Image.Image.getexif`.
    """
    exif, xmp = metadata_blocks(content)
    found = tf.concat([_exif_values(exif), _xmp_values(xmp), [1]], 0)[0]
    return tf.where((found >= 1) & (found <= 8), found, 1)


def _exif_values(exif):
    """What the first directory of a TIFF structure says of the orientation, int32 [n], [] if nothing."""
    exif = tf.strings.regex_replace(exif, r"^(?:Exif\x00\x00){1,2}", "")
    header = text(exif, 0, 4)
    return tf.case(
        [(header == b"II*\0", lambda: _entries(exif, True)), (header == b"MM\0*", lambda: _entries(exif, False))],
        default=lambda: tf.zeros([0], tf.int32),
    )


def _entries(exif, little):
    place = numbers(text(exif, 4, 4), tf.int32, 1, little)[0]
    place = tf.where(place < 0, tf.strings.length(exif), place)
    count = numbers(text(exif, place, 2), tf.uint16, 1, little)[0]
    rows = text(exif, place + 2, 12 * count)
    rows = text(rows, 0, tf.strings.length(rows) // 12 * 12)  # a directory that is cut
    shorts = tf.reshape(tf.cast(tf.io.decode_raw(rows, tf.uint16, little_endian=little), tf.int32), [-1, 6])
    longs = tf.reshape(tf.io.decode_raw(rows, tf.int32, little_endian=little), [-1, 3])
    kind, repeats = shorts[:, 1], longs[:, 1]
    values = tf.where(kind == SHORT, shorts[:, 4], longs[:, 2])
    wanted = (shorts[:, 0] == TAG) & ((kind == SHORT) | (kind == LONG)) & (repeats == 1)
    return values[wanted]


def _xmp_values(xmp):
    xmp = text(xmp, 0, XMP_BYTES)
    known = tf.strings.regex_full_match(xmp, XMP_PATTERN)
    value = tf.strings.regex_replace(xmp, XMP_PATTERN, r"\1", replace_global=False)
    return tf.strings.to_number(tf.where(known, value, "1")[None], tf.int32)
