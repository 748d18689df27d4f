"""What the images of a COCO file are: their channels and bits, and the mean and spread of each channel."""

import dataclasses
import os
import pathlib
from collections.abc import Iterator

import numpy as np

from mask_rcnn_tf.coco import pictures, reader
from mask_rcnn_tf.pixels import PixelKind

SAMPLE = 50  # images that are read, spread over the file
AT_ONCE = 2**22  # levels that are summed at once, in eight times their memory


@dataclasses.dataclass(frozen=True)
class PixelStatistics:
    """Of a sample of the images.

    Attributes:
      kind: what the images are; RGB where they are not all alike.
      mean, std: of each channel, float, in levels; () of RGB, for which nothing is read.
      num_images: that were read.
    """

    kind: PixelKind
    mean: tuple[float, ...]
    std: tuple[float, ...]
    num_images: int


def read(annotations: str | os.PathLike, images: str | os.PathLike) -> PixelStatistics:
    """Reads the headers of some of the images, and their levels unless they are RGB of 8 bits.

    Args:
      annotations: path of the JSON.
      images: folder of its images.

    Returns:
      The statistics.

    Raises:
      ValueError: the file is not COCO, or of images that are not RGB none can be read to its end.
    """
    names = [image["file_name"] for image in reader.read_annotations(annotations)["images"]]
    chosen = names[:: max(1, len(names) // SAMPLE)][:SAMPLE]
    paths = [pathlib.Path(images, name) for name in chosen]
    kind = pictures.common_kind(paths)
    if kind.is_rgb:
        return PixelStatistics(kind, (), (), 0)
    count, pixels, total, squares = 0, 0, np.zeros(kind.channels), np.zeros(kind.channels)
    for image in _readable(paths, kind):
        count, pixels = count + 1, pixels + image.shape[0] * image.shape[1]
        for rows in np.array_split(image, min(len(image), -(-image.size // AT_ONCE))):
            levels = rows.reshape(-1, kind.channels).astype(np.float64)
            total, squares = total + levels.sum(0), squares + np.square(levels).sum(0)
    if not count:
        raise ValueError(f"images is {os.fspath(images)!r}; none of the {len(paths)} that were tried can be read.")
    mean = total / pixels
    std = np.sqrt(np.maximum(squares / pixels - np.square(mean), 0.0))
    return PixelStatistics(kind, _rounded(mean), _rounded(np.maximum(std, 1.0)), count)


def _readable(paths: list[pathlib.Path], kind: PixelKind) -> Iterator[np.ndarray]:
    for path in paths:
        try:
            yield pictures.read_pixels(path, None, kind)[0]
        except ValueError:  # training says which, and why
            continue


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """Four digits, which is more than a sample knows."""
    return tuple(float(f"{value:.4g}") for value in values)
