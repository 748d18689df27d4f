"""RoIAlign over a feature pyramid, and the pyramid level each RoI is pooled from.

Kernels with the same results. "native" lays the levels out on one canvas and samples it with a single
`tf.image.crop_and_resize` whose grid is placed as RoIAlign places its samples. "xla" gathers the four corners of every
sample from the flattened pyramid, in static shapes. "onnx" and "tensorrt" have ONNX's RoiAlign for each level.
"""

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from mask_rcnn_tf.ops import onnx_operators


class _Regions(NamedTuple):
    """RoIs in the feature pixels of their own level; pixel centres have whole coordinates."""

    start: tf.Tensor  # float32 [n, 2] (y, x) of the upper left corner
    size: tf.Tensor  # float32 [n, 2] (height, width)
    limit: tf.Tensor  # float32 [n, 2] (height, width) of the level
    levels: tf.Tensor  # int32 [n]
    images: tf.Tensor  # int32 [n]


def assign_levels(
    rois: tf.Tensor, canonical_size: float, canonical_level: int, min_level: int, max_level: int, rule: str
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
    sides = rois[..., 2:] - rois[..., :2]
    ratio = tf.sqrt(tf.maximum(sides[..., 0] * sides[..., 1], 0.0)) / canonical_size
    if rule == "detectron2":
        ratio, exponent_shift = ratio + 1e-8, 0.0
    else:
        exponent_shift = 1e-6
    exponents = [level - canonical_level - exponent_shift for level in range(min_level + 1, max_level + 1)]
    reached = ratio[..., tf.newaxis] >= tf.constant([2.0**exponent for exponent in exponents], tf.float32)
    return min_level + tf.reduce_sum(tf.cast(reached, tf.int32), -1)


def roi_align(
    features: Sequence[tf.Tensor],
    strides: Sequence[int],
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    level_indices: tf.Tensor,
    output_size: int | tuple[int, int],
    sampling_ratio: int,
    aligned: bool,
    kernels: str,
    max_sampling: int = 8,
) -> tf.Tensor:
    """Pools every RoI from its level into a grid of bins, each the mean of bilinear samples.

    Differentiable in the features; RoIs get no gradient. Samples more than a pixel outside their level count as 0.

    Args:
      features: levels, float32, bfloat16 or (native only) uint8 [B, Hl, Wl, C], finest first.
      strides: pixels of the network input a feature pixel of each level covers.
      rois: float32 [n, 4], pixels of the network input; n may be 0 in the native kernel.
      batch_indices: int32 [n], the image of each RoI.
      level_indices: int32 [n], the level of each RoI; 0 is the first of `features`.
      output_size: bins, one number or (rows, columns).
      sampling_ratio: samples a bin and axis; 0 is adaptive, ceil(RoI side / bins) for each RoI.
      aligned: True shifts RoIs by half a feature pixel (Detectron2's ROIAlignV2). False gives RoIs at least one
        feature pixel of height and width (torchvision's default).
      kernels: "native"; "xla" or "tflite"; or "onnx" or "tensorrt", for export alone.
      max_sampling: xla and tflite only: the adaptive grid holds at most this many samples an axis, more are clipped
        to it.

    Returns:
      float32 [n, rows, columns, C].

    Raises:
      ValueError: for unknown kernels or as many strides as there are not levels.

    Source: Mask R-CNN, section 3; torchvision/csrc/ops/cpu/roi_align_kernel.cpp.
    """
    if kernels not in ("native", "xla", "onnx", "tensorrt", "tflite"):
        raise ValueError(f'roi_align: kernels is {kernels!r}; allowed: "native", "xla", "onnx", "tensorrt", "tflite".')
    if len(features) != len(strides) or not features:
        raise ValueError(
            f"roi_align: {len(features)} features and {len(strides)} strides; allowed: one stride a level."
        )
    rows, columns = (output_size, output_size) if isinstance(output_size, int) else output_size
    if kernels in ("onnx", "tensorrt"):
        pool = _level_operators(features, strides, (rows, columns), sampling_ratio, aligned)
        merge = _align_apart if kernels == "onnx" else _align_all
        return merge(pool, len(features), rois, batch_indices, level_indices)
    regions = _regions(features, strides, rois, batch_indices, level_indices, aligned)
    if kernels != "native":
        return _gather_align(features, regions, (rows, columns), sampling_ratio, max_sampling)
    canvas, origins = _pyramid_canvas(features)
    origin = tf.gather(origins, regions.levels)
    if sampling_ratio:
        return _crop_mean(canvas, origin, regions, (rows, columns), (sampling_ratio, sampling_ratio))
    return _adaptive_crop_mean(canvas, origin, regions, (rows, columns))


def _regions(features, strides, rois, batch_indices, level_indices, aligned) -> _Regions:
    """Moves RoIs into feature pixels, with the order of operations of the reference (adaptive grids depend on it)."""
    scale = tf.gather(tf.constant([1.0 / stride for stride in strides], tf.float32), level_indices)[:, tf.newaxis]
    rois = tf.stop_gradient(tf.cast(rois, tf.float32))
    offset = 0.5 if aligned else 0.0
    start, end = rois[:, :2] * scale - offset, rois[:, 2:] * scale - offset
    size = end - start if aligned else tf.maximum(end - start, 1.0)
    limits = tf.stack([tf.cast(tf.shape(level)[1:3], tf.float32) for level in features])
    return _Regions(start, size, tf.gather(limits, level_indices), level_indices, batch_indices)


def _adaptive_grid(regions: _Regions, output_size: tuple[int, int]) -> tf.Tensor:
    """Samples a bin and axis, int32 [n, 2]; 0 where the side is not positive."""
    bins = tf.constant(output_size, tf.float32)
    return tf.cast(tf.maximum(tf.math.ceil(regions.size / bins), 0.0), tf.int32)


# --- native: one canvas, one crop_and_resize


def _pyramid_canvas(features: Sequence[tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
    """Lays all levels out on one canvas: the first on top, the others side by side below it.

    Each level has a ring of one replicated pixel, so that samples within a pixel outside it interpolate to its border
    as RoIAlign asks, and never into the neighbour. Around everything runs a margin of one zero pixel: a sample on the
    ring's edge may be rounded to just outside, which crop_and_resize would answer with 0 instead of the ring.
    crop_and_resize takes no bfloat16: the cast happens here.

    Returns:
      float32 (or uint8) canvas [B, Hc, Wc, C] and float32 [L, 2] (y, x) of each level's first pixel on it.
    """
    ring = [[0, 0], [1, 1], [1, 1], [0, 0]]
    levels = [level if level.dtype == tf.uint8 else tf.cast(level, tf.float32) for level in features]
    levels = [tf.pad(level, ring, "SYMMETRIC") for level in levels]
    if len(levels) == 1:
        return tf.pad(levels[0], ring), tf.constant([[2.0, 2.0]])
    shapes = [tf.shape(level)[1:3] for level in levels]
    below_height = tf.reduce_max(tf.stack([shape[0] for shape in shapes[1:]]))
    below = tf.concat([_pad_to(level, (0, 0), below_height, tf.shape(level)[2]) for level in levels[1:]], axis=2)
    width = tf.maximum(shapes[0][1], tf.shape(below)[2]) + 2
    above = _pad_to(levels[0], (1, 1), shapes[0][0] + 1, width)
    canvas = tf.concat([above, _pad_to(below, (0, 1), below_height + 1, width)], axis=1)
    canvas = tf.ensure_shape(canvas, [features[0].shape[0], None, None, features[0].shape[3]])
    left = tf.cumsum(tf.stack([shape[1] for shape in shapes[1:]]), exclusive=True)
    top = tf.fill(tf.shape(left), shapes[0][0])
    origins = tf.concat([tf.zeros([1, 2], tf.int32), tf.stack([top, left], axis=1)], axis=0)
    return canvas, tf.cast(origins + 2, tf.float32)


def _pad_to(image, corner: tuple[int, int], height, width) -> tf.Tensor:
    """Pads with zeros to height x width, the image starting at `corner` (y, x)."""
    top, left = corner
    shape = tf.shape(image)
    return tf.pad(image, [[0, 0], [top, height - shape[1] - top], [left, width - shape[2] - left], [0, 0]])


def _crop_mean(canvas, origin, regions: _Regions, output_size, grid) -> tf.Tensor:
    """Samples all RoIs with one grid (samples a bin, whole numbers or int32 scalars) and averages over the bins."""
    (rows, columns), (grid_y, grid_x) = output_size, grid
    counts = tf.stack([rows * grid_y, columns * grid_x])
    step = regions.size / tf.cast(counts, tf.float32)
    first = regions.start + 0.5 * step
    last = regions.start + regions.size - 0.5 * step
    span = tf.cast(tf.shape(canvas)[1:3] - 1, tf.float32)
    boxes = tf.concat([(first + origin) / span, (last + origin) / span], axis=1)
    samples = tf.image.crop_and_resize(canvas, boxes, regions.images, counts)
    samples = _zero_outside(samples, first, last, step, counts, regions.limit)
    if isinstance(grid_y, int):  # many times faster on CPUs than one mean over two axes
        return tf.nn.avg_pool2d(samples, grid, grid, "VALID")
    channels = canvas.shape[3]
    samples = tf.reduce_mean(tf.reshape(samples, [-1, rows, grid_y, columns * grid_x * channels]), axis=2)
    return tf.reduce_mean(tf.reshape(samples, [-1, rows, columns, grid_x, channels]), axis=3)


def _zero_outside(samples, first, last, step, counts, limit) -> tf.Tensor:
    """Zeroes samples more than a pixel outside their level; free when there are none, as with clipped boxes."""

    def masked():
        rows = first[:, :1] + tf.range(tf.cast(counts[0], tf.float32)) * step[:, :1]
        columns = first[:, 1:] + tf.range(tf.cast(counts[1], tf.float32)) * step[:, 1:]
        inside_rows = (rows >= -1.0) & (rows <= limit[:, :1])
        inside_columns = (columns >= -1.0) & (columns <= limit[:, 1:])
        inside = inside_rows[:, :, tf.newaxis] & inside_columns[:, tf.newaxis, :]
        return tf.where(inside[..., tf.newaxis], samples, 0.0)

    ends_inside = (tf.minimum(first, last) >= -1.0) & (tf.maximum(first, last) <= limit)
    return tf.cond(tf.reduce_all(ends_inside), lambda: samples, masked)


def _adaptive_crop_mean(canvas, origin, regions: _Regions, output_size) -> tf.Tensor:
    """Pools RoIs group by group: those that share a grid share one crop_and_resize. RoIs without a grid stay 0."""
    grid = _adaptive_grid(regions, output_size)
    pooled = tf.where(tf.reduce_all(grid > 0, axis=1))[:, 0]
    # tf.unique wants one number; grids are far below 2 ** 31 samples.
    keys, groups = tf.unique(tf.bitcast(tf.gather(grid, pooled), tf.int64))
    grids = tf.bitcast(keys, tf.int32)

    def pool_group(index, total):
        members = tf.gather(pooled, tf.where(tf.equal(groups, index))[:, 0])
        part = _Regions(*(tf.gather(field, members) for field in regions))
        values = _crop_mean(canvas, tf.gather(origin, members), part, output_size, (grids[index, 0], grids[index, 1]))
        return index + 1, tf.tensor_scatter_nd_add(total, members[:, tf.newaxis], values)

    total = tf.zeros([tf.shape(grid)[0], *output_size, canvas.shape[3]])
    return tf.while_loop(lambda index, _: index < tf.size(keys), pool_group, (0, total))[1]


# --- onnx, tensorrt: one operator a level


def _level_operators(features, strides, output_size, sampling_ratio, aligned):
    """A function from (level index, rois, batch_indices) to what is pooled from that level."""

    def pool(index, rois, batch_indices):
        stride = strides[index]

        def compute(level, rois, images):
            levels = tf.zeros_like(images)
            return roi_align([level], [stride], rois, images, levels, output_size, sampling_ratio, aligned, "native")

        level = tf.cast(features[index], tf.float32)
        return onnx_operators.roi_align(
            level, stride, rois, batch_indices, output_size, sampling_ratio, aligned, compute
        )

    return pool


def _align_apart(pool, num_levels, rois, batch_indices, level_indices) -> tf.Tensor:
    """Each level pools its own RoIs: the least work, in shapes that depend on the data."""
    rows = [tf.where(level_indices == index)[:, 0] for index in range(num_levels)]
    parts = [pool(index, tf.gather(rois, of), tf.gather(batch_indices, of)) for index, of in enumerate(rows)]
    order = tf.concat(rows, 0)
    places = tf.scatter_nd(order[:, tf.newaxis], tf.range(tf.shape(rois)[0]), tf.shape(order, tf.int64))
    return tf.gather(tf.concat(parts, 0), places)


def _align_all(pool, num_levels, rois, batch_indices, level_indices) -> tf.Tensor:
    """Each level pools all RoIs, those of the others shrunk to a point and dropped after: shapes stay constant."""
    parts = []
    for index in range(num_levels):
        own = (level_indices == index)[:, tf.newaxis]
        pooled = pool(index, tf.where(own, rois, 0.0), batch_indices)
        parts.append(tf.where(own[:, :, tf.newaxis, tf.newaxis], pooled, 0.0))
    return tf.add_n(parts)


# --- xla: gathers from the flattened pyramid


class _Axis(NamedTuple):
    """Both neighbours of samples along one axis."""

    low: tf.Tensor  # int32 [n, bins]
    high: tf.Tensor  # int32 [n, bins]
    low_weight: tf.Tensor  # float32 [n, bins], 0 where the sample does not count
    high_weight: tf.Tensor  # float32 [n, bins]


def _gather_align(features, regions: _Regions, output_size, sampling_ratio: int, max_sampling: int) -> tf.Tensor:
    """RoIAlign in static shapes: the sum over the samples of a bin, one (row, column) of its grid at a time."""
    channels = features[0].shape[3]
    pixels = tf.concat([tf.reshape(level, [-1, channels]) for level in features], axis=0)
    corner = _corner_indices(features, regions)
    if sampling_ratio:
        grid = tf.fill(tf.shape(regions.size), sampling_ratio)
    else:
        grid = tf.minimum(_adaptive_grid(regions, output_size), max_sampling)

    def sample(row, column):
        y = _axis_samples(regions, 0, output_size[0], grid, row)
        x = _axis_samples(regions, 1, output_size[1], grid, column)
        return _bilinear(pixels, corner, y, x)

    if sampling_ratio:  # few samples: unrolled, because ONNX runtimes are poor at loops
        total = tf.add_n([sample(row, column) for row in range(sampling_ratio) for column in range(sampling_ratio)])
    else:
        side = max_sampling
        total = tf.zeros([tf.shape(grid)[0], *output_size, channels])
        _, total = tf.while_loop(
            lambda index, _: index < side * side,
            lambda index, total: (index + 1, total + sample(index // side, index % side)),
            (0, total),
            maximum_iterations=side * side,
        )
    count = tf.cast(tf.maximum(grid[:, 0] * grid[:, 1], 1), tf.float32)
    return total / count[:, tf.newaxis, tf.newaxis, tf.newaxis]


def _corner_indices(features, regions: _Regions):
    """Returns a function from whole (y [n, rows], x [n, columns]) to indices [n, rows, columns] of flat pixels."""
    shapes = [tf.shape(level) for level in features]
    offsets = tf.cumsum(tf.stack([shape[0] * shape[1] * shape[2] for shape in shapes]), exclusive=True)
    heights = tf.gather(tf.stack([shape[1] for shape in shapes]), regions.levels)
    widths = tf.gather(tf.stack([shape[2] for shape in shapes]), regions.levels)[:, tf.newaxis]
    image_start = (tf.gather(offsets, regions.levels) + regions.images * heights * widths[:, 0])[:, tf.newaxis]
    return lambda y, x: (image_start + y * widths)[:, :, tf.newaxis] + x[:, tf.newaxis, :]


def _axis_samples(regions: _Regions, axis: int, bins: int, grid, index) -> _Axis:
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
