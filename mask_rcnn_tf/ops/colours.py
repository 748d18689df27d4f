"""Changes of colour as torchvision's ColorJitter defines them for floats, and of gamma, on levels 0..255."""

import tensorflow as tf

GREY = (0.2989, 0.587, 0.114)  # torchvision's weights of red, green and blue
WHITE = 255.0


def brightness(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Multiplies the levels.

    Args:
      image: float32 [h, w, 3], RGB, levels 0..255.
      factor: float32 [], not negative; 1 changes nothing.

    Returns:
      float32 [h, w, 3], levels 0..255.

    Source: torchvision/transforms/_functional_tensor.py `adjust_brightness`.
    """
    return _clipped(image * factor)


def contrast(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Moves the levels from the mean of the image in grey, or towards it; arguments as in `brightness`.

    Where there are other channels than three each moves from its own mean: those of other sensors have no grey.

    Source: torchvision/transforms/_functional_tensor.py `adjust_contrast`.
    """
    is_coloured = image.shape[-1] == 3
    mean = tf.reduce_mean(_grey(image)) if is_coloured else tf.reduce_mean(image, [0, 1])
    return _clipped(_blend(image, mean, factor))


def saturation(image: tf.Tensor, factor: tf.Tensor) -> tf.Tensor:
    """Moves the levels of each pixel from its grey, or towards it; arguments as in `brightness`.

    Source: torchvision/transforms/_functional_tensor.py `adjust_saturation`.
    """
    return _clipped(_blend(image, _grey(image), factor))


def hue(image: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Turns the hue of each pixel; its value and its saturation stay.

    Args:
      image: float32 [h, w, 3], RGB, levels 0..255.
      turn: float32 [], from -0.5 to 0.5 of a full turn, from red to green to blue.

    Returns:
      float32 [h, w, 3], levels 0..255.

    Source: torchvision/transforms/_functional_tensor.py `adjust_hue`.
    """
    return _clipped(tf.image.adjust_hue(image, turn))


def grey(image: tf.Tensor) -> tf.Tensor:
    """The image in grey, in three equal channels, float32 [h, w, 3].

    Source: torchvision/transforms/_functional_tensor.py `rgb_to_grayscale`.
    """
    return tf.repeat(_grey(image), 3, axis=-1)


def gamma(image: tf.Tensor, exponent: tf.Tensor) -> tf.Tensor:
    """Raises the levels, as shares of white, to a power: above 1 darker, below 1 lighter; black and white stay.

    Args:
      image: float32 [h, w, 3], levels 0..255.
      exponent: float32 [], above 0.

    Returns:
      float32 [h, w, 3], levels 0..255.

    Source: torchvision/transforms/_functional_tensor.py `adjust_gamma`.
    """
    return _clipped(tf.pow(image / WHITE, exponent) * WHITE)


def _grey(image):
    return tf.reduce_sum(image * tf.constant(GREY), axis=-1, keepdims=True)


def _blend(image, other, factor):
    return image * factor + other * (1.0 - factor)


def _clipped(image):
    return tf.clip_by_value(image, 0.0, WHITE)
