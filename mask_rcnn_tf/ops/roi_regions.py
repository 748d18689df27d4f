"""What every form of RoIAlign starts from: the level of each RoI, and the RoI in the pixels of that level."""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops.shapes import sizes


class RoiAlignOptions(NamedTuple):
    """How RoIAlign samples.

    Attributes:
      strides: pixels of the network input that a feature pixel of each level covers, finest first.
      sampling_ratio: samples a bin and axis; 0 is adaptive, ceil(RoI side / bins) for each RoI.
      aligned: True shifts RoIs by half a feature pixel (Detectron2's ROIAlignV2). False gives RoIs at least one
        feature pixel of height and width (torchvision's default).
      max_sampling: of forms in constant shapes only: the adaptive grid holds at most this many samples an axis, more
        are clipped to it.
      quantized: RoIs are rounded to whole feature pixels first, as RoIPool rounds them (`quantize`), and not shifted:
        RoIWarp, as the Mask R-CNN paper describes it (section 4.1).
      reduction: "average" or "max" of the samples of a bin.
    """

    strides: tuple[float, ...]
    sampling_ratio: int = 2
    aligned: bool = True
    max_sampling: int = 8
    quantized: bool = False
    reduction: str = "average"


class Regions(NamedTuple):
    """RoIs in the feature pixels of their own level; pixel centres have whole coordinates."""

    start: tf.Tensor  # float32 [n, 2] (y, x) of the upper left corner
    size: tf.Tensor  # float32 [n, 2] (height, width)
    limit: tf.Tensor  # float32 [n, 2] (height, width) of the level
    levels: tf.Tensor  # int32 [n]
    images: tf.Tensor  # int32 [n]


def assign_levels(
    rois: tf.Tensor,
    canonical_size: float,
    canonical_level: int,
    *,
    min_level: int,
    max_level: int,
    rule: str,
) -> tf.Tensor:
    """Chooses the pyramid level each RoI is pooled from.

    The logarithm of the references is turned into comparisons with powers of two, which are exact at the boundaries
    and equal under every compiler.

    Args:
      rois: float [..., 4], pixels of the network input.
      canonical_size: side in pixels of the square box that belongs to `canonical_level`.
      canonical_level: number of that level (4 for P4).
      min_level: lowest level number there is.
      max_level: highest level number there is.
      rule: where the epsilon stands, "detectron2" or "torchvision".

    Returns:
      int32 [...] level numbers from min_level to max_level.

    Raises:
      ValueError: for an unknown rule.

    Source: Feature Pyramid Networks, equation 1; detectron2/modeling/poolers.py `assign_boxes_to_levels`;
      torchvision/ops/poolers.py `LevelMapper`.
    """
    if rule not in ("detectron2", "torchvision"):
        raise ValueError(f'assign_levels: rule is {rule!r}; allowed: "detectron2", "torchvision".')
    rois = tf.stop_gradient(tf.cast(rois, tf.float32))
    y1, x1, y2, x2 = tf.unstack(rois, axis=-1)
    ratio = tf.sqrt(tf.maximum((y2 - y1) * (x2 - x1), 0.0)) / canonical_size
    if rule == "detectron2":
        ratio, exponent_shift = ratio + 1e-8, 0.0
    else:
        exponent_shift = 1e-6
    exponents = [level - canonical_level - exponent_shift for level in range(min_level + 1, max_level + 1)]
    reached = ratio[..., tf.newaxis] >= tf.constant([2.0**exponent for exponent in exponents], tf.float32)
    return min_level + tf.reduce_sum(tf.cast(reached, tf.int32), -1)


def level_limits(features: Sequence[tf.Tensor]) -> tf.Tensor:
    """float32 [L, 2]: (height, width) of each level [B, h, w, C]."""
    return tf.cast(tf.stack([sizes(level)[1:3] for level in features]), tf.float32)


def to_regions(
    limits: tf.Tensor,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    options: RoiAlignOptions,
) -> Regions:
    """Moves RoIs into feature pixels, with the order of operations of the reference (adaptive grids depend on it).

    Args:
      limits: of `level_limits`.
      rois: float32 [n, 4], pixels of the network input.
      batch_indices: int32 [n].
      level_indices: int32 [n], 0 is the first level.
      options: `RoiAlignOptions`.

    Raises:
      ValueError: as many strides as there are not levels.
    """
    if limits.shape[0] != len(options.strides):
        raise ValueError(
            f"roi_align: {limits.shape[0]} features and {len(options.strides)} strides; allowed: one stride a level."
        )
    scales = tf.constant([1.0 / stride for stride in options.strides], tf.float32)
    scale = tf.gather(scales, level_indices)[:, tf.newaxis]
    rois = tf.stop_gradient(tf.cast(rois, tf.float32))
    if options.quantized:
        start, size = quantize(rois, scale)
        return Regions(start, size, tf.gather(limits, level_indices), level_indices, batch_indices)
    offset = 0.5 if options.aligned else 0.0
    start, end = tf.split(rois * scale - offset, 2, 1)
    size = end - start if options.aligned else tf.maximum(end - start, 1.0)
    return Regions(start, size, tf.gather(limits, level_indices), level_indices, batch_indices)


def quantize(rois: tf.Tensor, scale: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """RoIs rounded to whole feature pixels, both corners included.

    Args:
      rois: float32 [n, 4], pixels of the network input.
      scale: float32 [n, 1], feature pixels a pixel.

    Returns:
      start float32 [n, 2] (y, x) and size float32 [n, 2], at least 1.

    Source: Girshick, "Fast R-CNN" (2015), section 2.1; torchvision/csrc/ops/cpu/roi_pool_kernel.cpp, whose `round`
      takes halves away from 0.
    """
    places = rois * scale
    whole = tf.sign(places) * tf.floor(tf.abs(places) + 0.5)
    return whole[:, :2], tf.maximum(whole[:, 2:] - whole[:, :2] + 1.0, 1.0)


def adaptive_grid(regions: Regions, output_size: tuple[int, int]) -> tf.Tensor:
    """Samples a bin and axis, int32 [n, 2]; 0 where the side is not positive."""
    bins = tf.constant(output_size, tf.float32)
    return tf.cast(tf.maximum(tf.math.ceil(regions.size / bins), 0.0), tf.int32)
