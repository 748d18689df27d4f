"""Label Studio's brush: a picture of four channels as packed runs, of which the fourth is the mask.

Source: thi.ng/umbrella, `rle-pack` (quoted in label-studio-converter, `brush.py`): 32 bits count the values, 5 the bits
of a value less one, four times 4 the sizes of a length less one; then blocks of one bit, whether a value is repeated,
two bits, which of the sizes, a length less one, and one value or as many as the length.
"""

from typing import Any

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected

HEAD = 32 + 5 + 4 * 4  # bits
BROKEN = "brush RLE cannot be decoded"


def mask(rle: Any, shape: tuple[int, int]) -> np.ndarray:
    """The mask of a brush.

    Args:
      rle: bytes as whole numbers, as the JSON has them.
      shape: (h, w) of the image, pixels.

    Returns:
      bool [h, w].

    Raises:
      Rejected: it is no such encoding, or not of an image of this size.
    """
    array = np.asarray(rle) if isinstance(rle, list) and all(type(value) is int for value in rle) else None
    if array is None or array.size < HEAD // 8 + 1 or array.min() < 0 or array.max() > 255:
        raise Rejected(BROKEN, "it is no list of bytes")
    bits = np.unpackbits(array.astype(np.uint8))
    count, word = _number(bits, 0, 32), _number(bits, 32, 5) + 1
    if count != 4 * shape[0] * shape[1]:
        raise Rejected("brush RLE of another size than the image", f"{count} values, not 4 * {shape[0]} * {shape[1]}")
    sizes = [_number(bits, 37 + 4 * place, 4) + 1 for place in range(4)]
    return _values(bits, count, word, sizes).reshape(*shape, 4)[..., 3]


def _values(bits: np.ndarray, count: int, word: int, sizes: list[int]) -> np.ndarray:
    """Whether each value is above 0."""
    found, filled, place = np.zeros(count, bool), 0, HEAD
    while filled < count:
        if place + 3 > len(bits):
            raise Rejected(BROKEN, f"it ends after {filled} of {count} values")
        is_run, size = bits[place], sizes[_number(bits, place + 1, 2)]
        length = _number(bits, place + 3, size) + 1
        place += 3 + size
        words = 1 if is_run else length
        block = bits[place : place + words * word]
        if len(block) < words * word or filled + length > count:
            raise Rejected(BROKEN, f"it ends after {filled} of {count} values, or has more")
        found[filled : filled + length] = block.reshape(words, word).any(1)
        filled, place = filled + length, place + words * word
    return found


def _number(bits: np.ndarray, place: int, size: int) -> int:
    return int("0" + "".join(map(str, bits[place : place + size])), 2)
