"""Arrays from the bytes of a file that nobody vouches for: every size is checked before anything is made of it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError

# Elements by NumPy's codes, and bfloat16, which NumPy lacks.
ELEMENT_BYTES = {"bf16": 2, "b1": 1} | {
    kind + str(size): size
    for kind, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items()
    for size in sizes
}
MOST_TENSORS = 20_000  # of a file; the largest models of the sources have 2000
LARGEST_DIMENSION, MOST_DIMENSIONS = 2**48, 32


class Budget:
    """How many bytes of arrays a file may become.

    A few bytes can name the same memory any number of times, or expand it by strides of 0. Converting to float32 and
    tied weights need a small multiple of the file's size, never more.
    """

    def __init__(self, file_bytes: int):
        self._limit = self._left = 8 * file_bytes + 2**24

    def spend(self, count: int) -> None:
        """Takes `count` bytes.

        Raises:
          CheckpointError: more than what is left.
        """
        self._left -= count
        if self._left < 0:
            raise CheckpointError(f"its arrays would need more than {self._limit} bytes, 8 times the size of the file")


def describe(value: Any) -> str:
    """A value of the file for an error: short and printable, whatever it is."""
    if isinstance(value, str | bytes):
        return ascii(value[:60])
    if value is None or isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**64):
        return repr(value)
    return f"a value of type {type(value).__name__}"


def count_elements(shape: Any) -> int:
    """Number of elements of a shape that a file claims.

    Args:
      shape: anything; allowed is a sequence of at most 32 ints of 0 to 2**48.

    Raises:
      CheckpointError: it is something else.
    """
    if not isinstance(shape, list | tuple) or len(shape) > MOST_DIMENSIONS:
        raise CheckpointError(f"a shape must be a tuple of at most {MOST_DIMENSIONS} numbers, got {describe(shape)}")
    for size in shape:
        check_size("a dimension", size)
    return math.prod(shape)


def check_size(what: str, size: Any) -> None:
    """Raises `CheckpointError` unless `size` is an int of 0 to 2**48."""
    if type(size) is not int or not 0 <= size <= LARGEST_DIMENSION:
        raise CheckpointError(f"{what} must be a number of 0 to {LARGEST_DIMENSION}, got {describe(size)}")


def view_bytes(
    data: bytes | bytearray | memoryview,
    element: str,
    big_endian: bool,
    shape: Sequence[int] | None = None,
    strides: Sequence[int] | None = None,
    offset: int = 0,
) -> np.ndarray:
    """An array over `data`, nothing copied; NumPy refuses what reaches beyond it.

    Args:
      data: bytes, bytearray or memoryview.
      element: a key of `ELEMENT_BYTES`.
      big_endian: byte order of the elements.
      shape: its shape; None for all elements in one dimension.
      strides: elements from one index to the next, for each dimension; None for C order.
      offset: its first element.
    """
    size = ELEMENT_BYTES[element]
    code = {"bf16": "u2", "b1": "u1"}.get(element, element)
    return np.ndarray(
        (len(data) // size,) if shape is None else tuple(shape),
        np.dtype(code).newbyteorder(">" if big_endian else "<"),
        data,
        offset * size,
        None if strides is None else tuple(stride * size for stride in strides),
    )


def convert(array: np.ndarray, element: str) -> np.ndarray:
    """What `view_bytes` gave, in native byte order and C order; bfloat16 becomes float32. Copies only if it must."""
    array = np.asarray(array, array.dtype.newbyteorder("="), order="C")
    if element == "bf16":  # the upper half of a float32
        return np.asarray(array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    return np.asarray(array != 0) if element == "b1" else array
