"""What the pixels are that a model takes: how many channels, of how many bits."""

from typing import NamedTuple

import numpy as np

FULL_RANGE = 2**16 - 1  # the highest level of 16 bits


class PixelKind(NamedTuple):
    """The pixels of an image as a model takes them, array [h, w, channels].

    Attributes:
      channels: 3 is RGB, 1 is grey, 4 is RGB and alpha (or whatever a file has there).
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

    def __str__(self) -> str:
        return f"{self.dtype} [h, w, {self.channels}]" + (", RGB" if self.is_rgb else "")

    def fault(self, image: np.ndarray) -> str:
        """What an array is, if it is no image of this kind; else ""."""
        good = image.dtype == self.dtype and image.ndim == 3 and image.shape[-1] == self.channels and image.size > 0
        return "" if good else f"{image.dtype} {list(image.shape)}"


RGB = PixelKind()
