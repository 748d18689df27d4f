"""RoIAlign over a feature pyramid: one canvas of all levels, sampled by a single `crop_and_resize`.

`prepare` lays the levels out once an image; `pool` samples them for as many sets of RoIs as there are heads. Forms
with the same results are in `roi_gather` (XLA, TFLite) and `roi_onnx`; `kernels` has the table.
"""

import itertools
from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops.crop_and_resize import crop_and_resize, mean_of_crops, zero_outside
from mask_rcnn_tf.ops.gradients import with_gradient
from mask_rcnn_tf.ops.roi_regions import Regions, RoiAlignOptions, adaptive_grid, level_limits, to_regions
from mask_rcnn_tf.ops.shapes import sizes


class Canvas(NamedTuple):
    """All levels of a pyramid on one canvas."""

    pixels: tf.Tensor  # float32 (or uint8) [B, Hc, Wc, C]
    origins: tf.Tensor  # float32 [L, 2], (y, x) of each level's first pixel
    limits: tf.Tensor  # float32 [L, 2], (height, width) of each level


def prepare(features: Sequence[tf.Tensor]) -> Canvas:
    """Lays all levels out on one canvas: the first on top, the others side by side below it.

    Each level has a ring of one replicated pixel, so that samples within a pixel outside it interpolate to its border
    as RoIAlign asks, and never into the neighbour. Around everything runs a margin of one zero pixel: a sample on the
    ring's edge may be rounded to just outside, which crop_and_resize would answer with 0 instead of the ring.
    crop_and_resize takes no bfloat16: the cast happens here.

    Args:
      features: levels, float32, bfloat16 or uint8 [B, Hl, Wl, C], finest first.
    """
    levels = [level if level.dtype == tf.uint8 else tf.cast(level, tf.float32) for level in features]
    origins, size = _layout(levels)
    canvas = with_gradient(_laid_out, tuple(levels))
    known = [side if isinstance(side, int) else None for side in size]
    canvas = tf.ensure_shape(canvas, [features[0].shape[0], *known, features[0].shape[3]])
    return Canvas(canvas, tf.cast(tf.stack(origins), tf.float32), level_limits(features))


def _layout(levels):
    """(y, x) of each level's first pixel, and (height, width) of the canvas; Python integers where they are known."""
    heights, widths = zip(*(sizes(level)[1:3] for level in levels), strict=True)
    lefts = itertools.accumulate([width + 2 for width in widths[1:-1]], initial=2)
    origins = [(2, 2), *((heights[0] + 4, left) for left in lefts)][: len(levels)]
    lowest = 2 + _largest(heights[1:]) if len(levels) > 1 else 0
    return origins, (heights[0] + 4 + lowest, 2 + _largest([widths[0] + 2, sum(width + 2 for width in widths[1:])]))


def _largest(values):
    """Of Python integers a Python integer."""
    return max(values) if all(isinstance(value, int) for value in values) else tf.reduce_max(tf.stack(values))


def _laid_out(*levels):
    """The canvas of `prepare`; rings are written into it in place, which `tf.pad` takes several times as long for."""
    first, *others = levels
    origins, (height, width) = _layout(levels)
    batch, rows, _, channels = sizes(first)
    parts = [_placed(first, rows + (4 if not others else 3), (2, 2), width)]
    if others:
        side_by_side = [_placed(level, height - rows - 3, (1, 1), sizes(level)[2] + 2) for level in others]
        below = tf.concat(side_by_side, 2)
        parts.append(_placed(below, height - rows - 3, (0, 1), width))
    canvas = tf.concat(parts, 1)
    shapes = [sizes(level) for level in levels]  # here, not in the gradient, which would keep the levels for it
    ring, border = _rings(origins, shapes, batch, height, width)
    pixels = tf.reshape(canvas, [-1, channels])
    pixels = tf.tensor_scatter_nd_update(pixels, ring[:, None], tf.gather(pixels, border))

    def gradient(upstream):
        flat = tf.reshape(upstream, [-1, channels])
        flat = tf.tensor_scatter_nd_add(flat, border[:, None], tf.gather(flat, ring))
        flat = tf.reshape(flat, [batch, height, width, channels])
        return tuple(
            flat[:, top : top + shape[1], left : left + shape[2]]
            for (top, left), shape in zip(origins, shapes, strict=True)
        )

    return tf.reshape(pixels, [batch, height, width, channels]), gradient


def _placed(image, height, corner: tuple[int, int], width) -> tf.Tensor:
    """Pads with zeros to height x width, the image starting at `corner` (y, x)."""
    top, left = corner
    _, rows, columns, _ = sizes(image)
    return tf.pad(image, [[0, 0], [top, height - rows - top], [left, width - columns - left], [0, 0]])


def _rings(origins, shapes, batch, height, width) -> tuple[tf.Tensor, tf.Tensor]:
    """The rings' pixels on the canvases, int32 [n], counted over all of a batch, and those that each replicates."""
    found = []
    for (top, left), (_, rows, columns, _) in zip(origins, shapes, strict=True):
        across, down = tf.range(-1, columns + 1), tf.range(rows)
        y = tf.concat([tf.fill([columns + 2], -1), tf.fill([columns + 2], rows), down, down], 0)
        x = tf.concat([across, across, tf.fill([rows], -1), tf.fill([rows], columns)], 0)
        of_border = (top + tf.clip_by_value(y, 0, rows - 1)) * width + left + tf.clip_by_value(x, 0, columns - 1)
        found.append(tf.stack([(top + y) * width + left + x, of_border]))
    of_image = tf.concat(found, 1)
    of_batch = tf.range(batch)[:, None] * (height * width) + of_image[:, None]
    return tuple(tf.unstack(tf.reshape(of_batch, [2, -1])))


def pool(
    canvas: Canvas,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: tuple[int, int],
    options: RoiAlignOptions,
) -> tf.Tensor:
    """Pools every RoI from its level into a grid of bins, each the mean (or the highest) of bilinear samples.

    Differentiable in the features; RoIs get no gradient. Samples more than a pixel outside their level count as 0.

    Args:
      canvas: of `prepare`.
      rois: float32 [n, 4], pixels of the network input; n may be 0.
      batch_indices: int32 [n], the image of each RoI.
      level_indices: int32 [n], the level of each RoI; 0 is the finest.
      output_size: bins, (rows, columns).
      options: `RoiAlignOptions`.

    Returns:
      float32 [n, rows, columns, C].

    Source: Mask R-CNN, section 3; torchvision/csrc/ops/cpu/roi_align_kernel.cpp.
    """
    regions = to_regions(canvas.limits, rois, batch_indices, level_indices, options)
    origin = tf.gather(canvas.origins, regions.levels)
    if options.sampling_ratio:
        grid = (options.sampling_ratio,) * 2
        return _crop_bins(canvas.pixels, origin, regions, output_size, grid, options.reduction)
    return _adaptive_crop_bins(canvas.pixels, origin, regions, output_size, options.reduction)


def _crop_bins(canvas, origin, regions: Regions, output_size, grid, reduction) -> tf.Tensor:
    """Samples all RoIs with one grid (samples a bin, whole numbers or int32 scalars) and reduces each bin to one."""
    (rows, columns), (grid_y, grid_x) = output_size, grid
    counts = tf.stack([rows * grid_y, columns * grid_x])
    step = regions.size / tf.cast(counts, tf.float32)
    first = regions.start + 0.5 * step
    last = regions.start + regions.size - 0.5 * step
    span = tf.cast(tf.shape(canvas)[1:3] - 1, tf.float32)
    boxes = tf.concat([(first + origin) / span, (last + origin) / span], axis=1)
    inside = _inside(first, last, step, counts, regions.limit)
    if isinstance(grid_y, int) and reduction != "max":
        return mean_of_crops(canvas, boxes, regions.images, inside, output_size=output_size, grid=grid)
    samples = zero_outside(crop_and_resize(canvas, boxes, regions.images, counts), inside)
    if isinstance(grid_y, int):
        return tf.nn.max_pool2d(samples, grid, grid, "VALID")
    channels, reduce = canvas.shape[3], tf.reduce_max if reduction == "max" else tf.reduce_mean
    samples = reduce(tf.reshape(samples, [-1, rows, grid_y, columns * grid_x * channels]), axis=2)
    return reduce(tf.reshape(samples, [-1, rows, columns, grid_x, channels]), axis=3)


def _inside(first, last, step, counts, limit) -> tuple[tf.Tensor, tf.Tensor]:
    """Which rows and columns of samples, bool [n, counts], lie within a pixel of their level."""
    axes = []
    for axis in (0, 1):
        at = first[:, axis, tf.newaxis] + tf.range(tf.cast(counts[axis], tf.float32)) * step[:, axis, tf.newaxis]
        axes.append((at >= -1.0) & (at <= limit[:, axis, tf.newaxis]))
    return axes[0], axes[1]


def _adaptive_crop_bins(canvas, origin, regions: Regions, output_size, reduction) -> tf.Tensor:
    """Pools RoIs group by group: those that share a grid share one crop_and_resize. RoIs without a grid stay 0."""
    grid = adaptive_grid(regions, output_size)
    pooled = tf.where(tf.reduce_all(grid > 0, axis=1))[:, 0]
    # tf.unique wants one number; grids are far below 2 ** 31 samples.
    keys, groups = tf.unique(tf.bitcast(tf.gather(grid, pooled), tf.int64))
    grids = tf.bitcast(keys, tf.int32)

    def pool_group(index, total):
        members = tf.gather(pooled, tf.where(tf.equal(groups, index))[:, 0])
        part = Regions(*(tf.gather(field, members) for field in regions))
        shared = (grids[index, 0], grids[index, 1])
        values = _crop_bins(canvas, tf.gather(origin, members), part, output_size, shared, reduction)
        return index + 1, tf.tensor_scatter_nd_add(total, members[:, tf.newaxis], values)

    total = tf.zeros([tf.shape(grid)[0], *output_size, canvas.shape[3]])
    return tf.while_loop(lambda index, _: index < tf.size(keys), pool_group, (0, total))[1]
