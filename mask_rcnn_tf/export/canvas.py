"""Images brought to a fixed canvas outside the graph, for formats whose shapes are constants."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.arguments import check_kind
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.ops import images as image_ops

Canvas = tuple[int, int]


def default_canvas(config: ModelConfig) -> Canvas:
    """(H, W) of the square that holds every image the model's preprocessing can give."""
    side = int(image_ops.canvas_shape(config.preprocess.max_side, config.preprocess.size_divisor))
    return side, side


def check_canvas(config: ModelConfig, canvas: Canvas) -> Canvas:
    """Returns (H, W) as it came. Raises ExportError unless both are positive multiples of `preprocess.size_divisor`."""
    divisor = config.preprocess.size_divisor
    check_kind("canvas", canvas, (list, tuple), "(H, W)", ExportError)
    if len(canvas) != 2 or any(not isinstance(side, int) or side <= 0 or side % divisor for side in canvas):
        raise ExportError(f"canvas is {canvas!r}; allowed: (H, W), positive multiples of {divisor}.")
    return canvas


def parse_canvas(sides: Sequence[str]) -> Canvas:
    """(H, W) of a command line's "H,W", split at the comma. Raises ExportError: not two whole numbers."""
    if len(sides) != 2 or not all(side.strip().isdecimal() for side in sides):
        raise ExportError(f"canvas is {','.join(sides)!r}; allowed: H,W in whole pixels, e.g. 800,1344.")
    return int(sides[0]), int(sides[1])


def image_dtype(config: ModelConfig) -> tf.DType:
    """What the canvas holds: uint8 where the model's preprocessing rounds to whole levels, else float32."""
    return tf.uint8 if config.preprocess.round_resized else tf.float32


def place_on_canvas(config: ModelConfig, image: np.ndarray, canvas: Canvas) -> tuple[np.ndarray, np.ndarray]:
    """Resizes an image as the model does, smaller where it would not fit, and puts it into the upper left corner.

    Where `round_resized` and `antialias` are set this is `PIL.Image.resize(BILINEAR)`, bit for bit.

    Args:
      config: the model's.
      image: of `config.preprocess.pixels`, [h, w, C].
      canvas: (H, W), pixels.

    Returns:
      image `image_dtype` [H, W, C], levels, 0 beyond the image; image_shape int32 [2], (h, w) on the canvas.
    """
    preprocess = config.preprocess
    shape = image_ops.resized_shape(
        image.shape[:2], preprocess.short_side, preprocess.max_side, preprocess.size_rounding
    ).numpy()
    shrink = min(1.0, canvas[0] / shape[0], canvas[1] / shape[1])
    shape = np.maximum((shape * shrink).astype(np.int32), 1)
    resized = image_ops.resize(tf.constant(image), shape, preprocess.antialias, preprocess.round_resized).numpy()
    placed = np.zeros((*canvas, image.shape[-1]), image_dtype(config).as_numpy_dtype)
    placed[: shape[0], : shape[1]] = resized
    return placed, shape
