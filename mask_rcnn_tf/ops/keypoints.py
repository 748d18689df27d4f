"""Keypoints as cells of a heat map in the frame of a RoI, and back: what the keypoint head trains on and decodes."""

from typing import NamedTuple

import tensorflow as tf

CUBIC = -0.75  # the free coefficient of cubic convolution, as in torch.nn.functional.interpolate(mode="bicubic")
AROUND = 8  # pixels on every side of the best of a grid that are looked at
SIDE_STEP = 32  # the sides of interpolated heat maps are multiples of it
TAPS = (-1.0, 0.0, 1.0, 2.0)  # of a cubic interpolation, from the cell below its place


class Peaks(NamedTuple):
    """The best place of each keypoint."""

    points: tf.Tensor  # float32 [n, J, 2], (x, y) in the pixels of the RoIs
    logits: tf.Tensor  # float32 [n, J], of the interpolated heat map there


def heatmap_cells(keypoints: tf.Tensor, rois: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """The cell of a RoI's heat map in which each keypoint lies.

    Args:
      keypoints: float32 [..., J, 3] (x, y, v), pixels, v being 0 where a keypoint is not labelled.
      rois: float32 [..., 4], the same pixels.
      size: side of the heat map.

    Returns:
      int32 [..., J], row * size + column, 0 where there is none; and bool [..., J], whether the keypoint is labelled
      and lies in the RoI, its lower and right border included.

    Source: `detectron2/structures/keypoints.py`, _keypoints_to_heatmap.
    """
    start, end = rois[..., None, :2], rois[..., None, 2:]
    points = tf.reverse(keypoints[..., :2], [-1])
    scale = tf.math.divide_no_nan(float(size), end - start)
    cells = tf.where(points == end, float(size - 1), tf.floor((points - start) * scale))
    inside = tf.reduce_all((cells >= 0.0) & (cells < float(size)), -1)
    valid = inside & (keypoints[..., 2] > 0)
    rows, columns = tf.unstack(tf.cast(tf.where(inside[..., None], cells, 0.0), tf.int32), axis=-1)
    return tf.where(valid, rows * size + columns, 0), valid


def double(maps: tf.Tensor) -> tf.Tensor:
    """Doubles heat maps [n, h, w, J], sides known, bilinearly: two products, which every runtime and gradient has.

    Source: `torch.nn.functional.interpolate(scale_factor=2, mode="bilinear", align_corners=False)`.
    """
    rows, columns = (_linear_matrix(side, maps.dtype) for side in maps.shape[1:3])
    return tf.einsum("yh,nhwj,xw->nyxj", rows, maps, columns)


def _linear_matrix(side: int, dtype: tf.DType) -> tf.Tensor:
    place = tf.clip_by_value((tf.range(2 * side, dtype=dtype) + 0.5) / 2 - 0.5, 0.0, side - 1.0)
    return tf.maximum(1.0 - tf.abs(place[:, None] - tf.range(side, dtype=dtype)), 0.0)


def peak_scores(maps: tf.Tensor, peaks: tf.Tensor) -> tf.Tensor:
    """The share of the softmax over a heat map that lies at its peak.

    Args:
      maps: float32 [n, S, S, J], logits.
      peaks: float32 [n, J], `Peaks.logits`.

    Returns:
      float32 [n, J], 0 to 1. A peak between cells may rise above all of them: the share is then cut at 1.

    Source: `detectron2/structures/keypoints.py`, heatmaps_to_keypoints.
    """
    others = tf.reduce_sum(tf.exp(maps - peaks[:, None, None, :]), [1, 2])
    return 1.0 / tf.maximum(others, 1.0)


def find_peaks_native(maps: tf.Tensor, rois: tf.Tensor, grid: int) -> Peaks:
    """The best pixel of each heat map once it has the size of its RoI, by bicubic interpolation.

    Args:
      maps: float32 [n, S, S, J], logits.
      rois: float32 [n, 4], pixels.
      grid: is not needed here, see `find_peaks_grid`.

    Source: `detectron2/structures/keypoints.py`, heatmaps_to_keypoints; torchvision `roi_heads.py` has the same.
    """
    size = maps.shape[1]

    def find(inputs):
        heat, start, side = inputs
        pixels = tf.math.ceil(side)
        # oneDNN compiles a product for each size it meets: few sizes, and what is beyond the RoI is cut off.
        looked_at = tf.math.ceil(pixels / SIDE_STEP) * SIDE_STEP
        matrices = [cubic_matrix(_places(tf.range(looked_at[axis]), pixels[axis], size), size) for axis in (0, 1)]
        full = tf.einsum("yh,hwj,xw->jyx", matrices[0], heat, matrices[1])
        height, width = tf.unstack(tf.cast(pixels, tf.int32))
        return _best(full[:, :height, :width], start, side / pixels)

    start, side = _extent(rois)
    signature = (tf.TensorSpec([maps.shape[3], 2]), tf.TensorSpec([maps.shape[3]]))
    return Peaks(*tf.map_fn(find, (maps, start, side), fn_output_signature=signature))


def find_peaks_grid(maps: tf.Tensor, rois: tf.Tensor, grid: int) -> Peaks:
    """As `find_peaks_native` in constant shapes: looks at a grid of each RoI's pixels, then around the best of them.

    Where RoIs have at most `grid` pixels a side, every pixel is looked at. The interpolated map is smooth over a cell
    of the heat map, which is larger than what lies between two pixels of the grid: only two peaks that are nearly as
    good can be taken for each other. Sides of more than `AROUND * grid` pixels are looked at coarser.

    Args:
      maps: float32 [n, S, S, J], logits.
      rois: float32 [n, 4], pixels.
      grid: pixels a side that are looked at first.
    """
    start, side = _extent(rois)
    count = tf.math.ceil(side)[..., None]
    index = tf.range(float(grid))
    first = tf.where(count <= grid, index, tf.floor((index + 0.5) * (count / grid)))  # [n, 2, grid]
    first_look = _Look(first, count, maps.shape[1])
    points, logits = [], []
    for heat in tf.unstack(maps, axis=-1):  # one after the other: all at once would take J times the memory
        pixel, _ = first_look.best(heat)
        around = pixel[..., None] + tf.range(-float(AROUND), AROUND + 1.0)
        pixel, logit = _Look(around, count, maps.shape[1]).best(heat)
        points.append(tf.reverse(start + (pixel + 0.5) * side / count[..., 0], [-1]))
        logits.append(logit)
    return Peaks(tf.stack(points, 1), tf.stack(logits, 1))


class _Look:
    """Rows and columns of pixels of RoIs, and the weights of the heat map's cells in them.

    Args:
      pixels: float32 [n, 2, k], rows and columns; those that a RoI does not have are not looked at.
      count: float32 [n, 2, 1], pixels of each RoI.
      size: cells of a heat map's side.
    """

    def __init__(self, pixels: tf.Tensor, count: tf.Tensor, size: int):
        self.pixels, self.side = pixels, pixels.shape[-1]
        rows, columns = tf.unstack((pixels >= 0.0) & (pixels < count), axis=1)
        self.hidden = tf.where(rows[:, :, None] & columns[:, None, :], 0.0, -float("inf"))
        self.rows, self.columns = tf.unstack(cubic_matrix(_places(pixels, count, size), size), axis=1)

    def best(self, heat: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The best pixel (row, column) float32 [n, 2] of heat maps [n, S, S], and its logit [n]."""
        full = tf.matmul(tf.matmul(self.rows, heat), self.columns, transpose_b=True) + self.hidden
        flat = tf.reshape(full, [-1, self.side**2])
        place = tf.argmax(flat, -1, output_type=tf.int32)
        cells = tf.stack([place // self.side, place % self.side], -1)[..., None]
        return tf.gather(self.pixels, cells, batch_dims=2)[..., 0], tf.reduce_max(flat, -1)


def cubic_matrix(places: tf.Tensor, size: int) -> tf.Tensor:
    """The weights of `size` cells in values between them, by cubic convolution; beyond the ends the last cell goes on.

    Args:
      places: float32 [...], in cells, cell i having its centre at i.
      size: number of cells.

    Returns:
      float32 [..., size].

    Source: Keys, "Cubic convolution interpolation" (1981); ATen `UpSample.h`, get_cubic_upsample_coefficients.
    """
    below = tf.floor(places)
    taps = tf.constant(TAPS)
    distance = tf.abs((places - below)[..., None] - taps)
    near = ((CUBIC + 2) * distance - (CUBIC + 3)) * distance * distance + 1
    far = ((CUBIC * distance - 5 * CUBIC) * distance + 8 * CUBIC) * distance - 4 * CUBIC
    weights = tf.where(distance <= 1.0, near, far)
    cells = tf.cast(tf.clip_by_value(below[..., None] + taps, 0.0, size - 1.0), tf.int32)
    return tf.reduce_sum(tf.one_hot(cells, size) * weights[..., None], -2)


def _extent(rois):
    """(y, x) of the corners and sides of RoIs, [n, 2] each; sides are at least one pixel."""
    return rois[:, :2], tf.maximum(rois[:, 2:] - rois[:, :2], 1.0)


def _places(pixels, count, size):
    """Where the centres of a RoI's pixels lie, in cells of its heat map."""
    return (pixels + 0.5) * (size / count) - 0.5


def _best(full, start, scale):
    """(x, y) and logit of the best pixel of each of [J, h, w]."""
    width = tf.shape(full)[2]
    flat = tf.reshape(full, [full.shape[0], -1])
    best = tf.argmax(flat, -1, output_type=tf.int32)
    pixel = tf.cast(tf.stack([best // width, best % width], -1), tf.float32)
    return tf.reverse(start + (pixel + 0.5) * scale, [-1]), tf.reduce_max(flat, -1)
