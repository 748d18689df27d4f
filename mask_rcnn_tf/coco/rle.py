"""Masks as run lengths: COCO's RLE, read, written and measured without painting images.

Runs are int32 [n]: lengths down the columns of the image, the first of zeros; they sum to height * width.
"""

import math

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco.errors import Rejected

ABSURD = 2**40  # longer than any image, and summed without overflow


def decode_counts(text: str | bytes) -> np.ndarray:
    """Run lengths of a compressed RLE, without going through the bitmap.

    Args:
      text: COCO's compressed counts.

    Returns:
      int64 [n]: lengths of runs down the columns, the first of zeros.

    Raises:
      Rejected: the text is not such an encoding.

    Source: `rleFrString` in cocoapi `common/maskApi.c`: six bits a character from "0" on, five of them payload with the
      lowest first, then a flag that more follow; from the fourth run on the difference to the run two before.
    """
    data = text.encode("utf-8", "replace") if isinstance(text, str) else text  # not ASCII: out of range below
    codes = np.frombuffer(data, np.uint8).astype(np.int64) - 48
    ends = np.flatnonzero((codes & 32) == 0)
    if codes.size == 0 or codes.min() < 0 or codes.max() > 63 or ends.size == 0 or ends[-1] != codes.size - 1:
        raise Rejected("RLE counts cannot be decoded")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > 8:
        raise Rejected("RLE counts cannot be decoded")
    shifts = 5 * (np.arange(codes.size) - np.repeat(starts, lengths))
    runs = np.add.reduceat((codes & 31) << shifts, starts)
    runs -= np.where(codes[ends] & 16, np.int64(1) << (5 * lengths), 0)  # sign extension
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def runs_of_rle(rle: dict, height: int, width: int) -> np.ndarray:
    """Runs of a compressed or an uncompressed RLE.

    Args:
      rle: `size` [h, w] and `counts`, text or a list of numbers.
      height: of the image, pixels.
      width: of the image, pixels.

    Returns:
      int32 [n], of which only the first may be 0.

    Raises:
      Rejected: malformed, or of another image.
    """
    counts = rle.get("counts")
    if not isinstance(counts, str | bytes | list) or not counts:
        raise Rejected("RLE without counts")
    if rle.get("size") not in ([height, width], (height, width)):
        raise Rejected(
            "RLE of another size than the image", f"{rle.get('size')!r:.60}, the image has [{height}, {width}]"
        )
    runs = _whole_numbers(counts) if isinstance(counts, list) else decode_counts(counts)
    # Runs that are longer than the image first: the sum of such may overflow and come out right.
    if runs.min() < 0 or runs.max() > height * width or runs.sum() != height * width:
        negative = "; some are negative" if runs.min() < 0 else ""
        raise Rejected(
            "RLE counts do not add up to the image", f"to {sum(runs.tolist())}, not {height * width}{negative}"
        )
    return _without_empty(runs.astype(np.int32))


def _without_empty(runs: np.ndarray) -> np.ndarray:
    """The same mask without runs of no pixel behind the first: where two masks have one, pycocotools stops."""
    if (runs[1:] > 0).all():
        return runs
    kept = np.flatnonzero(runs)
    starts = np.flatnonzero(np.diff(kept % 2, prepend=-1))
    joined = np.add.reduceat(runs[kept], starts)
    return np.concatenate([[0], joined] if kept[0] % 2 else [joined]).astype(np.int32)


def _whole_numbers(counts: list) -> np.ndarray:
    try:
        array = np.asarray(counts)
    except ValueError as error:  # rows of different lengths
        raise Rejected("RLE counts cannot be decoded") from error
    if array.ndim != 1 or array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array == np.round(array))).all():
        raise Rejected("RLE counts cannot be decoded", "they are no list of whole numbers")
    return np.clip(array, -1, ABSURD).astype(np.int64)


def runs_of_polygons(polygons: list, height: int, width: int) -> np.ndarray:
    """Runs int32 [n] of the union of well-formed polygons, lists of x, y in pixels of the image."""
    rle = coco_mask.merge(coco_mask.frPyObjects(polygons, height, width))
    return decode_counts(rle["counts"]).astype(np.int32)


def encode(runs: np.ndarray, height: int, width: int) -> dict:
    """Compressed COCO RLE {"size": [h, w], "counts": str} of runs."""
    rle = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
    return {"size": [height, width], "counts": rle["counts"].decode("ascii")}


def encode_crop(crop: np.ndarray, origin: tuple[int, int], image_shape: tuple[int, int]) -> dict:
    """Encodes a mask that is given inside a window of the image only, without painting the image.

    Args:
      crop: bool [ch, cw], the mask inside the window.
      origin: (y0, x0) of the window in the image, whole pixels; the window lies inside the image.
      image_shape: (h, w) of the image.

    Returns:
      Compressed COCO RLE {"size": [h, w], "counts": str}, byte for byte what `pycocotools.mask.encode` gives for the
      whole image.

    Source: column-major runs that start with zeros, `cocoapi/common/maskApi.c` (rleEncode).
    """
    height, width = (int(side) for side in image_shape)
    rows, columns = crop.shape
    # Down the columns, a zero before the first and one after each, so that every run ends where it begins: one pass.
    pixels = np.zeros(1 + columns * (rows + 1), bool)
    pixels[1:].reshape(columns, rows + 1)[:, :rows] = crop.T
    column, row = np.divmod(np.flatnonzero(pixels[1:] != pixels[:-1]), rows + 1)
    starts, ends = ((column + int(origin[1])) * height + row + int(origin[0])).reshape(-1, 2).T
    if rows == height and starts.size:  # only then may a run go on from the bottom of one column to the top of the next
        separate = ends[:-1] != starts[1:]
        starts, ends = starts[np.r_[True, separate]], ends[np.r_[separate, True]]
    edges = np.stack([starts, ends], axis=1).ravel()
    runs = np.diff(np.r_[0, edges, height * width])
    if edges.size and runs[-1] == 0:  # the mask reaches the last pixel: no run of zeros after it
        runs = runs[:-1]
    return encode(runs, height, width)


def bitmap(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The bitmap, bool [height, width], of a mask given by its runs."""
    values = np.arange(len(runs)) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def crop(runs: np.ndarray, height: int, width: int) -> tuple[np.ndarray, tuple[int, int]]:
    """The part of a mask's bitmap that has pixels, without painting the columns beside it.

    Args:
      runs: int32 [n].
      height: of the image, pixels.
      width: of the image, pixels.

    Returns:
      (bool [ch, cw], (y0, x0) of its corner in the image); [0, 0] where the mask has no pixel.
    """
    ends = np.cumsum(runs, dtype=np.int64)
    covered = np.flatnonzero(runs[1::2]) * 2 + 1
    if not covered.size:
        return np.zeros((0, 0), bool), (0, 0)
    first, last = ends[covered[0] - 1] // height, (ends[covered[-1]] - 1) // height
    inside = np.clip(ends, first * height, (last + 1) * height)
    values = np.arange(len(runs)) % 2 == 1
    columns = np.repeat(values, np.diff(inside, prepend=first * height)).reshape(last + 1 - first, height).T
    rows = np.flatnonzero(columns.any(1))
    return columns[rows[0] : rows[-1] + 1], (int(rows[0]), int(first))


def area(runs: np.ndarray) -> float:
    """Pixels that a mask covers, given its runs."""
    return math.fsum(runs[1::2])


def box(runs: np.ndarray, height: int, width: int) -> np.ndarray:
    """The tight box, float32 [4] [y1, x1, y2, x2], of a mask given by its runs; zeros where it has no pixel."""
    x, y, w, h = coco_mask.toBbox(encode(runs, height, width))
    return np.array([y, x, y + h, x + w], np.float32)
