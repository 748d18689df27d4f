"""What lenses, sensors and files do to an image: blur, noise, JPEG. On levels 0..255."""

import tensorflow as tf


def blur(image: tf.Tensor, sigma: tf.Tensor, radius: int) -> tf.Tensor:
    """Gaussian blur, an axis after the other; beyond a border its pixels go on.

    Args:
      image: float32 [h, w, C], levels 0..255.
      sigma: float32 [], standard deviation in pixels, above 0.
      radius: pixels, of the window; 3 sigma hold all but 0.3 %. The weights sum to 1.

    Returns:
      float32 [h, w, C].
    """
    steps = tf.range(-radius, radius + 1)
    weights = tf.exp(-0.5 * tf.square(tf.cast(steps, tf.float32) / sigma))
    weights /= tf.reduce_sum(weights)
    channels = tf.shape(image)[-1]
    for axis, window in ((0, (-1, 1)), (1, (1, -1))):
        side = tf.shape(image)[axis]
        # tf.pad mirrors at most as many pixels as there are
        spread = tf.gather(image, tf.clip_by_value(tf.range(-radius, side + radius), 0, side - 1), axis=axis)
        kernel = tf.tile(tf.reshape(weights, [*window, 1, 1]), [1, 1, channels, 1])
        image = tf.nn.depthwise_conv2d(spread[tf.newaxis], kernel, [1, 1, 1, 1], "VALID")[0]
    return image


def noise(image: tf.Tensor, sigma: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Adds Gaussian noise, another in each pixel and channel.

    Args:
      image: float32 [h, w, C], levels 0..255.
      sigma: float32 [], standard deviation in levels.
      seed: int64 [2]; the same one gives the same noise.

    Returns:
      float32 [h, w, C], levels 0..255.
    """
    drawn = tf.random.stateless_normal(tf.shape(image), seed, alg="philox")
    return tf.clip_by_value(image + sigma * drawn, 0.0, 255.0)


def jpeg(image: tf.Tensor, quality: tf.Tensor) -> tf.Tensor:
    """The image as a JPEG file would give it back, with colours at half the resolution, libjpeg's default.

    Args:
      image: float32 [h, w, 3], RGB, levels 0..255, rounded first.
      quality: int32 [], libjpeg's, 1 to 100.

    Returns:
      float32 [h, w, 3], whole levels 0..255.
    """
    levels = tf.cast(tf.clip_by_value(tf.round(image), 0.0, 255.0), tf.uint8)
    return tf.cast(tf.image.adjust_jpeg_quality(levels, quality, "INTEGER_ACCURATE"), tf.float32)
