"""RoIAlign in constant shapes: gathers the four corners of every sample from the flattened pyramid (XLA, TFLite)."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops.roi_regions import Regions, RoiAlignOptions, adaptive_grid, to_regions


class FlatPyramid(NamedTuple):
    """All pixels of a pyramid in one list."""

    pixels: tf.Tensor  # [sum of B * h * w over the levels, C]
    shapes: tf.Tensor  # int32 [L, 3], (B, h, w) of each level


class _Axis(NamedTuple):
    """Both neighbours of samples along one axis."""

    low: tf.Tensor  # int32 [n, bins]
    high: tf.Tensor  # int32 [n, bins]
    low_weight: tf.Tensor  # float32 [n, bins], 0 where the sample does not count
    high_weight: tf.Tensor  # float32 [n, bins]


def prepare(features: Sequence[tf.Tensor]) -> FlatPyramid:
    """Flattens levels, float32 or bfloat16 [B, Hl, Wl, C], finest first."""
    channels = features[0].shape[3]
    pixels = tf.concat([tf.reshape(level, [-1, channels]) for level in features], axis=0)
    return FlatPyramid(pixels, tf.stack([tf.shape(level)[:3] for level in features]))


def pool(
    pyramid: FlatPyramid,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: tuple[int, int],
    options: RoiAlignOptions,
) -> tf.Tensor:
    """The mean (or the highest) of the samples of a bin, one (row, column) of its grid at a time: `roi_align.pool`."""
    limits = tf.cast(pyramid.shapes[:, 1:], tf.float32)
    regions = to_regions(limits, rois, batch_indices, level_indices, options)
    corner, ratio = _corner_indices(pyramid.shapes, regions), options.sampling_ratio
    if ratio:
        grid = tf.fill(tf.shape(regions.size), ratio)
    else:
        grid = tf.minimum(adaptive_grid(regions, output_size), options.max_sampling)

    is_max = options.reduction == "max"

    def sample(row, column):
        y = _axis_samples(regions, 0, output_size[0], grid, row)
        x = _axis_samples(regions, 1, output_size[1], grid, column)
        values = _bilinear(pyramid.pixels, corner, y, x)
        if not is_max:
            return values
        exists = (row < tf.maximum(grid[:, 0], 1)) & (column < tf.maximum(grid[:, 1], 1))
        return tf.where(exists[:, tf.newaxis, tf.newaxis, tf.newaxis], values, -float("inf"))

    join = tf.maximum if is_max else tf.add
    if ratio:  # few samples: unrolled, because ONNX runtimes are poor at loops
        total = functools.reduce(join, [sample(row, column) for row in range(ratio) for column in range(ratio)])
    else:
        side = options.max_sampling
        start = tf.fill([tf.shape(grid)[0], *output_size, pyramid.pixels.shape[1]], -float("inf") if is_max else 0.0)
        _, total = tf.while_loop(
            lambda index, _: index < side * side,
            lambda index, total: (index + 1, join(total, sample(index // side, index % side))),
            (0, start),
            maximum_iterations=side * side,
        )
    if is_max:
        return total
    count = tf.cast(tf.maximum(grid[:, 0] * grid[:, 1], 1), tf.float32)
    return total / count[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _corner_indices(shapes: tf.Tensor, regions: Regions) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns a function from whole (y [n, rows], x [n, columns]) to indices [n, rows, columns] of flat pixels."""
    offsets = tf.cumsum(tf.reduce_prod(shapes, 1), exclusive=True)
    heights = tf.gather(shapes[:, 1], regions.levels)
    widths = tf.gather(shapes[:, 2], regions.levels)[:, tf.newaxis]
    image_start = (tf.gather(offsets, regions.levels) + regions.images * heights * widths[:, 0])[:, tf.newaxis]
    return lambda y, x: (image_start + y * widths)[:, :, tf.newaxis] + x[:, tf.newaxis, :]


def _axis_samples(regions: Regions, axis: int, bins: int, grid, index) -> _Axis:
    """Places sample `index` of each bin along an axis (0: y, 1: x); samples beyond the grid weigh 0."""
    count = tf.maximum(tf.cast(grid[:, axis], tf.float32), 1.0)[:, tf.newaxis]
    bin_size = regions.size[:, axis, tf.newaxis] / bins
    limit = regions.limit[:, axis, tf.newaxis]
    within_bin = (tf.cast(index, tf.float32) + 0.5) * bin_size / count
    position = regions.start[:, axis, tf.newaxis] + tf.range(bins, dtype=tf.float32) * bin_size + within_bin
    counts = (position >= -1.0) & (position <= limit) & (index < grid[:, axis, tf.newaxis])
    position = tf.clip_by_value(position, 0.0, limit - 1.0)
    low = tf.floor(position)
    weight = tf.where(counts, 1.0, 0.0)
    high = tf.minimum(low + 1.0, limit - 1.0)
    fraction = position - low
    return _Axis(tf.cast(low, tf.int32), tf.cast(high, tf.int32), (1.0 - fraction) * weight, fraction * weight)


def _bilinear(pixels, corner, y: _Axis, x: _Axis) -> tf.Tensor:
    """Interpolates one sample a bin: float32 [n, rows, columns, C]."""
    terms = []
    for rows, row_weights in ((y.low, y.low_weight), (y.high, y.high_weight)):
        for columns, column_weights in ((x.low, x.low_weight), (x.high, x.high_weight)):
            weights = row_weights[:, :, tf.newaxis] * column_weights[:, tf.newaxis, :]
            values = tf.cast(tf.gather(pixels, corner(rows, columns)), tf.float32)
            terms.append(values * weights[..., tf.newaxis])
    return tf.add_n(terms)
