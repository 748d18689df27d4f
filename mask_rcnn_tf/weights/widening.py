"""Weights of a network of photos for images of other channels, or of 16 bits: the first convolution is made anew."""

import numpy as np

from mask_rcnn_tf.config import PreprocessConfig

PHOTO_STD = (58.395, 57.12, 57.375)  # of ImageNet's levels of red, green, blue
PIXEL_FIELDS = tuple(
    f"preprocess.{name}" for name in ("channel_order", "channels", "bits", "pixel_scale", "mean", "std")
)
FIRST = "backbone/stem/kernel"  # the path of the first convolution of a ResNet


def is_needed(ours: PreprocessConfig, theirs: PreprocessConfig) -> bool:
    """Whether two models take images of other channels or bits."""
    return (ours.channels, ours.bits) != (theirs.channels, theirs.bits)


def check_source(theirs: PreprocessConfig) -> None:
    """Raises ValueError: weights are not of RGB images of 8 bits, of which alone it is known what they saw."""
    if not theirs.pixels.is_rgb:
        raise ValueError(
            f"its weights are of images {theirs.pixels}; allowed: RGB of 8 bits, or the same channels and bits."
        )


def widened(kernel: np.ndarray, theirs: PreprocessConfig, channels: int) -> np.ndarray:
    """The kernel of a first convolution for another number of channels.

    The filters of red, green and blue are taken again and again, and shrink so that the sum stays; one channel has
    their sum. They are scaled from what the network of photos saw to channels whose mean is 0 and whose standard
    deviation is 1, which `mean` and `std` of the data make.

    Args:
      kernel: float32 [k, k, 3, filters].
      theirs: of the model that it is from.
      channels: C.

    Returns:
      float32 [k, k, C, filters].

    Source: timm/models/_manipulate.py `adapt_input_conv`.
    """
    is_rgb = theirs.channel_order == "RGB"
    std = np.asarray(theirs.std if is_rgb else theirs.std[::-1])
    kernel = kernel if is_rgb else kernel[:, :, ::-1]
    kernel = kernel * (np.asarray(PHOTO_STD) * theirs.pixel_scale / std)[:, np.newaxis]
    if channels == 1:
        return kernel.sum(2, keepdims=True).astype(np.float32)
    return (kernel[:, :, [channel % 3 for channel in range(channels)]] * (3 / channels)).astype(np.float32)
