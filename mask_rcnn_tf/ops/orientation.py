"""EXIF orientation: how the pixels of a file are turned and mirrored so that people see them upright."""

import tensorflow as tf

TAG = 0x0112
HEAD = 2**17  # bytes that are looked at: EXIF is the first segment, or the second, and a segment has less than 2**16
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


def jpeg_orientation(content: tf.Tensor) -> tf.Tensor:
    """The EXIF orientation of a JPEG, in operators that a served graph can have.

    Args:
      content: string [], bytes of a file.

    Returns:
      int32 [], 1 to 8; 1 for other formats and where EXIF is missing or broken.

    Source: JPEG (ITU T.81) B.1.1.4, marker segments; EXIF 2.32, 4.5.2 and 4.6.2; TIFF 6.0, section 2.
    """
    head = tf.strings.substr(content, 0, HEAD)
    head = tf.cast(tf.io.decode_raw(head, tf.uint8, fixed_length=HEAD), tf.int32)  # filled up with zeros

    def number(places, first, length, little=False):
        """Numbers of `length` bytes at `places` + `first`; nothing lies beyond the head."""
        order = range(length) if little else range(length - 1, -1, -1)
        at = tf.clip_by_value(places + first, 0, HEAD - length)
        return sum(tf.gather(head, at + place) * 256**power for power, place in enumerate(order))

    def is_exif(at):
        return (number(at, 0, 2) == 0xFFE1) & tf.reduce_all(head[at + 4 : at + 10] == list(b"Exif\0\0"))

    def goes_on(at):  # other segments, up to where the image's data start
        marker = number(at, 0, 2)
        return (at < HEAD - 20) & (marker >= 0xFFC0) & (marker != 0xFFDA) & ~is_exif(at)

    at = tf.while_loop(goes_on, lambda at: [at + 2 + number(at, 2, 2)], [tf.constant(2)])[0]
    start = tf.minimum(at, HEAD - 20) + 10  # of the TIFF inside, whose places count from here
    little = head[start] == ord("I")

    def read(places, first, length):
        return tf.where(little, number(places, first, length, little=True), number(places, first, length))

    directory = start + tf.clip_by_value(read(start, 4, 4), 0, HEAD)
    entries = directory + 2 + 12 * tf.range(tf.minimum(read(directory, 0, 2), 2**10))
    found = tf.where(read(entries, 0, 2) == TAG, read(entries, 8, 2), 0)
    value = tf.reduce_max(tf.concat([[0], found], 0))
    known = tf.io.is_jpeg(content) & is_exif(tf.minimum(at, HEAD - 20)) & (value >= 1) & (value <= 8)
    return tf.where(known, value, 1)
