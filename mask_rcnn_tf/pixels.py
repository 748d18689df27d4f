"""What the pixels are that a model takes: how many channels, of how many bits."""

from typing import NamedTuple

import numpy as np

FULL_RANGE = 2**16 - 1  # the highest level of 16 bits
MOST_CHANNELS = 64


class PixelKind(NamedTuple):
    """The pixels of an image as a model takes them, an array [h, w, channels].

    Attributes:
      channels: 3 is RGB, 1 is grey, 4 is RGB and alpha (or whatever a file has there); others mean what they mean.
      bits: of a level, 8 or 16.
      white_level: the level of 16-bit files that becomes white where `bits` is 8.
    """

    channels: int = 3
    bits: int = 8
    white_level: int = FULL_RANGE

    @property
    def dtype(self) -> np.dtype:
        """uint8 or uint16."""
        return np.dtype(np.uint8 if self.bits == 8 else np.uint16)

    @property
    def white(self) -> int:
        """The highest level."""
        return 2**self.bits - 1

    @property
    def is_rgb(self) -> bool:
        """Whether pictures are of this kind as they are: three channels of 8 bits."""
        return (self.channels, self.bits) == (3, 8)

    @property
    def has_files(self) -> bool:
        """Whether picture files, such as PNGs, have such pixels."""
        return self.channels in (1, 3, 4)

    def __str__(self) -> str:
        return f"{self.dtype} [h, w, {self.channels}]" + ", RGB" * self.is_rgb

    def fault(self, image: np.ndarray) -> str:
        """What an array is, if it is no image of this kind; else ""."""
        good = image.dtype == self.dtype and image.ndim == 3 and image.shape[-1] == self.channels and image.size > 0
        return "" if good else f"{image.dtype} {list(image.shape)}"


RGB = PixelKind()


def picture_of(image: np.ndarray) -> np.ndarray:
    """What people are shown of an image of any kind.

    Args:
      image: uint8 or uint16 [h, w, C].

    Returns:
      uint8 [h, w, 3]: the image itself where it has three channels of 8 bits, else the first three channels, or the
      first one thrice where there are fewer; of 16 bits the highest level of the image is white.
    """
    if image.shape[-1] != 3:
        image = image[..., [0, 1, 2] if image.shape[-1] > 3 else [0, 0, 0]]
    if image.dtype != np.uint16:
        return image
    return (image.astype(np.uint32) * 255 // max(1, int(image.max()))).astype(np.uint8)


def of_kind(picture: np.ndarray, kind: PixelKind) -> np.ndarray:
    """A picture as an image of a kind, for scenes that are drawn: its channels again and again, white as white.

    Args:
      picture: uint8 [..., 3].
      kind: what is wanted.

    Returns:
      `kind.dtype` [..., kind.channels].
    """
    levels = picture[..., [channel % 3 for channel in range(kind.channels)]]
    return levels if kind.bits == 8 else levels.astype(np.uint16) * 257
