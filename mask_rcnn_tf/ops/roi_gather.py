"""RoIAlign in constant shapes: gathers the four corners of every sample from the flattened pyramid (XLA, TFLite)."""

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.ops.gradients import with_gradient
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
    *,
    wide: bool = False,
) -> tf.Tensor:
    """The mean (or the highest) of the samples of a bin, one (row, column) of its grid at a time: `roi_align.pool`.

    Args:
      pyramid: of `prepare`.
      rois, batch_indices, level_indices, output_size, options: see `roi_align.pool`.
      wide: the mean gathers 64 bits at a time, four channels in bfloat16. For XLA: it would join the pyramid's levels
        anew in every gather, and find every gather's place once a channel. On a GPU that took ten times as long as
        both heads' RoIAlign takes now (benchmarks/gpu).

    Returns:
      float32 [n, rows, columns, C].
    """
    limits = tf.cast(pyramid.shapes[:, 1:], tf.float32)
    regions = to_regions(limits, rois, batch_indices, level_indices, options)
    if options.sampling_ratio:
        grid = tf.fill(tf.shape(regions.size), options.sampling_ratio)
    else:
        grid = tf.minimum(adaptive_grid(regions, output_size), options.max_sampling)
    pixels = pyramid.pixels
    if options.reduction == "max":
        pixels = with_gradient(_summed, pixels)
        corner, over_samples = _corner_indices(pyramid.shapes, regions), _samples(regions, grid, output_size, options)
        lowest = tf.fill([tf.shape(grid)[0], *output_size, pixels.shape[1]], -float("inf"))
        return over_samples(functools.partial(_highest, pixels, corner), lowest)
    count = tf.cast(tf.maximum(grid[:, 0] * grid[:, 1], 1), tf.float32)[:, tf.newaxis, tf.newaxis, tf.newaxis]
    constants = {"output_size": tuple(output_size), "options": options, "wide": wide}
    return with_gradient(_total, pixels, pyramid.shapes, grid, *regions, **constants) / count


def _samples(regions, grid, output_size, options):
    """Returns a function that goes through the samples of all bins, one of each bin at a time."""
    ratio = options.sampling_ratio

    def over_samples(step, total):
        """The total after `step(total, y, x, exists)` for each sample of a bin; `exists` is bool [n]."""

        def one(row, column, total):
            y = _axis_samples(regions, 0, output_size[0], grid, row)
            x = _axis_samples(regions, 1, output_size[1], grid, column)
            return step(total, y, x, (row < tf.maximum(grid[:, 0], 1)) & (column < tf.maximum(grid[:, 1], 1)))

        if ratio:  # few samples: unrolled, because ONNX runtimes are poor at loops
            return functools.reduce(lambda total, at: one(*at, total), np.ndindex(ratio, ratio), total)
        side = options.max_sampling
        return tf.while_loop(
            lambda index, _: index < side * side,
            lambda index, total: (index + 1, one(index // side, index % side, total)),
            (0, total),
            maximum_iterations=side * side,
        )[1]

    return over_samples


def _total(pixels, shapes, grid, *regions, output_size, options, wide):
    """The sum of the samples, with a gradient that adds each corner's share to the pyramid.

    TensorFlow would join the gradients of all gathers, 800,000 rows, before it adds them up: that was a third of a
    training step on a GPU.
    """
    regions = Regions(*regions)
    corner, over_samples = _corner_indices(shapes, regions), _samples(regions, grid, output_size, options)
    channels = pixels.shape[1]
    words, parts = _pack(pixels) if wide else (pixels, 1)

    def add(totals, y, x, _):
        for indices, weights in _corners(corner, y, x):
            values = _unpack(tf.gather(words, indices), pixels.dtype, parts)
            totals = tuple(
                total + value * weights[..., tf.newaxis] for total, value in zip(totals, values, strict=True)
            )
        return totals

    def gradient(upstream):
        def scatter(total, y, x, _):
            for indices, weights in _corners(corner, y, x):
                shares = upstream * weights[..., tf.newaxis]
                total = tf.tensor_scatter_nd_add(total, indices[..., tf.newaxis], shares)
            return total

        return tf.cast(over_samples(scatter, tf.zeros(tf.shape(pixels))), pixels.dtype)

    none = tf.zeros([tf.shape(grid)[0], *output_size, channels // parts])
    return tf.concat(over_samples(add, (none,) * parts), axis=-1), gradient


def _pack(pixels):
    """Words of 64 bits [N, C / parts] of float [N, C], and `parts`: word i holds the channels i, i + C / parts, ..."""
    channels, parts = pixels.shape[1], {tf.float32: 2, tf.bfloat16: 4}.get(pixels.dtype, 1)
    if parts == 1 or channels % parts:
        return pixels, 1
    apart = tf.transpose(tf.reshape(pixels, [-1, parts, channels // parts]), [0, 2, 1])
    return tf.bitcast(apart, tf.uint64), parts


def _unpack(words, dtype, parts):
    """The parts of words, each float32 of the words' shape."""
    if parts == 1:
        return [tf.cast(words, tf.float32)]
    places = [tf.constant(8 * dtype.size * part, tf.uint64) for part in range(parts)]
    shifted = [tf.cast(tf.bitwise.right_shift(words, place), tf.uint32) for place in places]
    if dtype == tf.bfloat16:  # the upper half of a float32
        shifted = [tf.bitwise.left_shift(part, tf.constant(16, tf.uint32)) for part in shifted]
    return [tf.bitcast(part, tf.float32) for part in shifted]


def _summed(pixels):
    """The pixels in float32, in which gradients of all gathers from them are added up before they are taken apart.

    TensorFlow would split those of `tf.gather`, 800,000 rows of a batch, by level with a `where`: their number is not
    known in advance, so that XLA sorts and copies all of them for each level. A function's gradients are no slices.
    """
    return tf.cast(pixels, tf.float32), lambda upstream: tf.cast(upstream, pixels.dtype)


def _highest(pixels, corner, total, y: "_Axis", x: "_Axis", exists):
    values = _bilinear(pixels, corner, y, x)
    return tf.maximum(total, tf.where(exists[:, tf.newaxis, tf.newaxis, tf.newaxis], values, -float("inf")))


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


def _corners(corner, y: _Axis, x: _Axis):
    """Yields the flat pixels, int32 [n, rows, columns], and their weights of the four corners of one sample a bin."""
    for rows, row_weights in ((y.low, y.low_weight), (y.high, y.high_weight)):
        for columns, column_weights in ((x.low, x.low_weight), (x.high, x.high_weight)):
            yield corner(rows, columns), row_weights[:, :, tf.newaxis] * column_weights[:, tf.newaxis, :]


def _bilinear(pixels, corner, y: _Axis, x: _Axis) -> tf.Tensor:
    """Interpolates one sample a bin: float32 [n, rows, columns, C]."""
    return tf.add_n(
        [
            tf.cast(tf.gather(pixels, indices), tf.float32) * weights[..., tf.newaxis]
            for indices, weights in _corners(corner, y, x)
        ]
    )
