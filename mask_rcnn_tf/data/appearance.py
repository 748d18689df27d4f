"""How an image looks in training: its colours, blur, noise and JPEG, drawn anew in each epoch.

In the order in which a picture is made: light, lens, sensor, file. Boxes and masks stay what they are.
"""

import math

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.ops import colours, degradations

APPEARANCE_SEED = (0, 2**44)  # added to the seed of the other draws
NOISE_SEED = (0, 2**45)
BEST_QUALITY = 100  # of a JPEG
WHITE = 255.0  # of the levels that are changed
COLOURS = {
    "brightness": colours.brightness,
    "contrast": colours.contrast,
    "saturation": colours.saturation,
    "hue": colours.hue,
    "gamma": colours.gamma,
}


def appearance_draws(config: Config, seed: tf.Tensor) -> dict[str, tf.Tensor]:
    """Draws how one image looks in one epoch.

    Args:
      config: of `data` the fields from `brightness` to `jpeg_quality` are read.
      seed: int64 [2], of `transforms.draw_seed`.

    Returns:
      For each of these fields that is on, by its name, what `varied` needs of it: float32 [], but `grey` bool [] and
      `jpeg_quality` int32 []; and with `noise` its `noise_seed` int64 [2]. What one field draws, others do not change.
    """
    data = config.data
    names = (*COLOURS, "grey", "blur", "noise")
    on = [name for name in names if getattr(data, name)] + ["jpeg_quality"] * (data.jpeg_quality < BEST_QUALITY)
    if not on:
        return {}
    drawn = tf.unstack(tf.random.stateless_uniform([9], seed + APPEARANCE_SEED, alg="philox"))
    of_half = [tf.maximum(1.0 - 2.0 * number, 0.0) for number in drawn[6:]]  # of half of the images above 0, up to 1
    found = {
        "brightness": lambda: 1.0 + data.brightness * _either_way(drawn[0]),
        "contrast": lambda: 1.0 + data.contrast * _either_way(drawn[1]),
        "saturation": lambda: 1.0 + data.saturation * _either_way(drawn[2]),
        "hue": lambda: data.hue * _either_way(drawn[3]),
        "grey": lambda: drawn[4] < data.grey,
        "gamma": lambda: (1.0 + data.gamma) ** _either_way(drawn[5]),
        "blur": lambda: data.blur * of_half[0],
        "noise": lambda: data.noise * of_half[1],
        "jpeg_quality": lambda: BEST_QUALITY - _whole(of_half[2] * (BEST_QUALITY - data.jpeg_quality)),
    }
    seeds = {"noise_seed": seed + NOISE_SEED} if data.noise else {}
    return {name: found[name]() for name in on} | seeds


def _either_way(drawn):
    return 2.0 * drawn - 1.0


def _whole(number):
    return tf.cast(tf.round(number), tf.int32)


def is_varied(draws: dict[str, tf.Tensor]) -> bool:
    """Whether `varied` changes anything."""
    return any(name in draws for name in (*COLOURS, "grey", "blur", "noise", "jpeg_quality"))


def varied(config: Config, image: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """An image as it was drawn to look.

    Args:
      config: `data.blur`, the highest, and `model.preprocess.pixels` are read.
      image: float32 [h, w, C], levels, in pixels of the network.
      draws: of `appearance_draws`; others are left alone.

    Returns:
      float32 [h, w, C], levels.
    """
    white = config.model.preprocess.pixels.white
    if white == WHITE or not any(name in draws for name in (*COLOURS, "blur", "noise")):
        return _varied(config, image, draws)
    return _varied(config, image * (WHITE / white), draws) * (white / WHITE)


def _varied(config: Config, image: tf.Tensor, draws: dict[str, tf.Tensor]) -> tf.Tensor:
    """The same, where white is 255."""
    for name, change in COLOURS.items():
        if name in draws:
            image = change(image, draws[name])
    if "grey" in draws:
        image = _where(draws["grey"], colours.grey, image)
    if "blur" in draws:
        radius = math.ceil(3 * config.data.blur)
        image = _where(draws["blur"] > 0, lambda given: degradations.blur(given, draws["blur"], radius), image)
    if "noise" in draws:
        seed = draws["noise_seed"]
        image = _where(draws["noise"] > 0, lambda given: degradations.noise(given, draws["noise"], seed), image)
    if "jpeg_quality" in draws:
        quality = draws["jpeg_quality"]
        image = _where(quality < BEST_QUALITY, lambda given: degradations.jpeg(given, quality), image)
    return image


def _where(chosen, change, image):
    return tf.cond(chosen, lambda: change(image), lambda: image)
