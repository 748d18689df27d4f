"""From images to the network's input, as the model's configuration says."""

import numpy as np
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.config import PreprocessConfig
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops.kernels import Kernels

LARGE = 2**21  # pixels; larger images are shrunk by Pillow, which takes a tenth of the time and memory


def network_input(
    images: tf.Tensor,
    preprocess: PreprocessConfig,
    kernels: Kernels,
    *,
    sizes: tuple[tf.Tensor, tf.Tensor] | None = None,
    mirrored: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Resizes, mirrors, normalises and pads.

    Args:
      images: `preprocess.pixels` [B, h, w, C].
      preprocess: the configuration's section.
      kernels: a set of `ops.kernels`.
      sizes: short side and largest long side, int32 [] each, pixels; None for those of `preprocess`.
      mirrored: bool [], whether left and right change places; None for no.

    Returns:
      image float32 [B, H, W, C], sides multiples of `size_divisor`, and image_shape int32 [B, 2].
    """
    short_side, max_side = sizes or (preprocess.short_side, preprocess.max_side)
    shape = image_ops.resized_shape(tf.shape(images)[1:3], short_side, max_side, preprocess.size_rounding)
    image = image_ops.resize(images, shape, preprocess.antialias, preprocess.round_resized, kernels.resize)
    if mirrored is not None:
        image = tf.where(mirrored, tf.reverse(image, [2]), image)
    image = image_ops.normalize(
        tf.cast(image, tf.float32), preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
    )
    canvas = image_ops.canvas_shape(shape, preprocess.size_divisor)
    image = image_ops.pad_to(image, canvas[0], canvas[1])
    return image, tf.broadcast_to(shape, [tf.shape(images)[0], 2])


def shrunk(image: np.ndarray, preprocess: PreprocessConfig) -> np.ndarray:
    """A large image at the network's size, where Pillow's resize is the graph's bit for bit; the graph leaves it so.

    Args:
      image: `preprocess.pixels` [h, w, C].
      preprocess: the configuration's section.

    Returns:
      The same kind: the image itself where it is not large, or Pillow's resize is another one.
    """
    sizes = preprocess.short_side, preprocess.max_side, preprocess.size_rounding
    height, width = image_ops.resized_shape(image.shape[:2], *sizes).numpy().tolist()
    exact = preprocess.antialias and preprocess.round_resized and preprocess.pixels.is_rgb
    stays = exact and image_ops.resized_shape((height, width), *sizes).numpy().tolist() == [height, width]
    if image.shape[0] * image.shape[1] < LARGE or height > image.shape[0] or width > image.shape[1] or not stays:
        return image
    narrow = Image.fromarray(image).resize((width, image.shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(narrow.resize((width, height), Image.Resampling.BILINEAR))  # axis by axis, in the graph's order
