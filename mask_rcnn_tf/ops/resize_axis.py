"""One axis of a bilinear resize: the pixels that each new one is made of, and Pillow's pass of whole levels."""

import tensorflow as tf

WEIGHT_BITS = 22  # of Pillow's fixed point: 32 bits less 8 of a level and 2 of overshoot
STRIP = 2**16  # sums that are made at once: they stay in a core's cache, where a whole image's do not


def taps(source: tf.Tensor, target: tf.Tensor, antialias: bool) -> tuple[tf.Tensor, tf.Tensor]:
    """The pixels that each output pixel is made of.

    Args:
      source: int32 [], side of the image, pixels.
      target: int32 [], side of the result, pixels.
      antialias: widen the kernel when shrinking.

    Returns:
      Their indices int32 [target, taps] and their weights float64 [target, taps], a sum of 1 each.
    """
    centres, width = _triangles(source, target, antialias)
    first = tf.maximum(tf.cast(centres - width + 0.5, tf.int32), 0)
    index = first[:, None] + tf.range(2 * tf.cast(tf.math.ceil(width), tf.int32) + 1)
    weights = tf.maximum(1.0 - tf.abs((tf.cast(index, tf.float64) + 0.5 - centres[:, None]) / width), 0.0)
    weights = tf.where(index < source, weights, 0.0)
    return tf.minimum(index, source - 1), weights / tf.reduce_sum(weights, 1, keepdims=True)


def matrix(source: tf.Tensor, target: tf.Tensor, antialias: bool) -> tf.Tensor:
    """The same as a float64 matrix [target, source]; arguments as of `taps`."""
    centres, width = _triangles(source, target, antialias)
    pixels = tf.range(source, dtype=tf.float64) + 0.5
    weights = tf.maximum(1.0 - tf.abs(centres[:, None] - pixels) / width, 0.0)
    return weights / tf.reduce_sum(weights, 1, keepdims=True)


def _triangles(source, target, antialias):
    """Centres, float64 [target], and half width, float64 [], of a bilinear resize's triangles in source pixels."""
    step = tf.cast(source, tf.float64) / tf.cast(target, tf.float64)
    width = tf.maximum(step, 1.0) if antialias else tf.constant(1.0, tf.float64)
    return (tf.range(target, dtype=tf.float64) + 0.5) * step, width


def fixed_point(weights: tf.Tensor) -> tf.Tensor:
    """Weights as Pillow has them: int32, in units of 2^-`WEIGHT_BITS`."""
    return tf.cast(weights * (1 << WEIGHT_BITS) + 0.5, tf.int32)


def rounded(image: tf.Tensor, target: tf.Tensor, axis: int, antialias: bool) -> tf.Tensor:
    """One pass of Pillow's resize.

    Args:
      image: uint8 [h, w, C] or [B, h, w, C].
      target: int32 [], side of the result, pixels.
      axis: -3 or -2.
      antialias: as of `taps`.

    Returns:
      uint8, the shape of image but for `target` pixels along the axis.

    Source: `src/libImaging/Resample.c`, ImagingResampleHorizontal_8bpc.
    """
    shape = tf.shape(image)
    before, after = tf.reduce_prod(shape[:axis]), tf.reduce_prod(shape[axis + 1 :])  # either may be 0
    # what is added lies in whole rows then; two axes are exchanged in half the time of three
    rows = tf.transpose(tf.reshape(image, [before, shape[axis] * after]))
    made = _rounded_rows(tf.reshape(rows, [shape[axis], after * before]), *taps(shape[axis], target, antialias))
    image_shape = tf.concat([shape[:axis], [target], shape[axis + 1 :]], 0)
    made = tf.reshape(tf.transpose(tf.reshape(made, [target * after, before])), image_shape)
    return tf.ensure_shape(made, [*image.shape[:axis], None, *image.shape[axis + 1 :]])


def _rounded_rows(rows, index, weights):
    """From uint8 [source, n] to weighted sums [target, n], rounded; index and weights as of `taps`.

    float64 holds sums of levels and Pillow's weights without error, and TensorFlow is faster with it than with Pillow's
    integers (measured).
    """
    weights = tf.cast(fixed_point(weights), tf.float64) / (1 << WEIGHT_BITS)
    used = tf.reduce_max(tf.where(weights > 0, tf.range(tf.shape(weights)[1]) + 1, 0))  # the last may all be 0
    target = tf.shape(index)[0]
    height = tf.clip_by_value(STRIP // tf.maximum(tf.shape(rows)[1], 1), 1, target)
    strips = (target + height - 1) // height
    places = tf.minimum(tf.range(strips * height), target - 1)
    index, weights = (
        tf.reshape(tf.gather(value[:, :used], places), [strips, height, used]) for value in (index, weights)
    )

    def strip(inputs):
        index, weights = inputs

        def product(tap):
            return tf.cast(tf.gather(rows, index[:, tap]), tf.float64) * weights[:, tap, None]

        start = 1, product(0) + 0.5
        total = tf.while_loop(lambda tap, _: tap < used, lambda tap, total: (tap + 1, total + product(tap)), start)[1]
        return tf.cast(total, tf.uint8)  # which cuts off: weights are not negative, and 255 is not exceeded

    made = tf.map_fn(strip, (index, weights), fn_output_signature=tf.uint8, parallel_iterations=1)
    return tf.reshape(made, [strips * height, tf.shape(rows)[1]])[:target]
