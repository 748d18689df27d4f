"""Image files whose channels are no colours: arrays of NumPy (.npy), and TIFFs of many bands, or of a page a channel.

Bands that Pillow does not read are read by rasterio (GDAL), where the extra `geo` is installed.
"""

import io
import tokenize
import types
import warnings
from typing import NamedTuple

import numpy as np
from PIL import Image

NUMPY = b"\x93NUMPY"
KINDS = ("uint8", "uint16")
GREYS = {"L": np.uint8, "I;16": np.uint16, "I;16B": np.uint16, "I;16L": np.uint16}  # Pillow's modes of one channel
# of a header that NumPy reads as Python source
PARSING = (
    ValueError,
    KeyError,
    TypeError,
    SyntaxError,
    tokenize.TokenError,
    OverflowError,
    RecursionError,
    MemoryError,
)
BY_RASTERIO = "a TIFF of bands that rasterio reads; allowed: with `pip install 'mask_rcnn_tf[geo]'`, or as .npy."


class ArrayHeader(NamedTuple):
    """What a file says of its array: (h, w), channels, and "uint8" or "uint16"."""

    shape: tuple[int, int]
    channels: int
    dtype: str


def npy_header(content: bytes) -> ArrayHeader:
    """Of a .npy file; its array is not read.

    Args:
      content: the file's bytes.

    Raises:
      ValueError: it is damaged, or no array [h, w] or [h, w, C] of `KINDS`.
    """
    shape, _, dtype, _ = _npy(content)
    if len(shape) not in (2, 3) or min(shape) < 1 or dtype.name not in KINDS:
        raise ValueError(f"is an array {dtype.name} {list(shape)}; allowed: uint8 or uint16 [h, w, C].")
    return ArrayHeader(tuple(shape[:2]), shape[2] if len(shape) == 3 else 1, dtype.name)


def _npy(content):
    file = io.BytesIO(content)
    readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
    try:
        version = np.lib.format.read_magic(file)
        shape, is_fortran, dtype = readers[version](file, max_header_size=10_000)
    except PARSING as error:
        raise ValueError(f"does not decode as an array ({type(error).__name__} in its header).") from None
    return shape, is_fortran, dtype, file.tell()


def npy_levels(content: bytes) -> np.ndarray:
    """The array of a .npy file that `npy_header` has passed, [h, w, C] of its dtype.

    Raises:
      ValueError: it is shorter than it says.
    """
    shape, is_fortran, dtype, start = _npy(content)
    count = int(np.prod(shape, dtype=np.int64))
    if len(content) - start < count * dtype.itemsize:
        raise ValueError("does not decode as an array (it is cut off).")
    flat = np.frombuffer(content, dtype, count, start)
    array = flat.reshape(shape[::-1]).T if is_fortran else flat.reshape(shape)
    return np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(*shape[:2], -1)


def band_header(content: bytes) -> ArrayHeader:
    """Of a TIFF, its bands being channels.

    Args:
      content: the file's bytes.

    Raises:
      ValueError: rasterio is missing or does not read it, or its bands are not of `KINDS`.
    """
    with _opened(content) as file:
        kinds = sorted(set(file.dtypes))
        if len(kinds) > 1 or kinds[0] not in KINDS:
            raise ValueError(f"is a TIFF of {file.count} bands of {', '.join(kinds)}; allowed: uint8 or uint16.")
        return ArrayHeader((file.height, file.width), file.count, kinds[0])


def band_levels(content: bytes) -> np.ndarray:
    """The bands of a TIFF that `band_header` has passed, [h, w, C]. Raises ValueError: it is damaged."""
    with _opened(content) as file:
        return np.ascontiguousarray(np.moveaxis(file.read(), 0, -1))


class _opened:
    """A TIFF as rasterio's dataset; what GDAL says of a damaged one is a ValueError."""

    def __init__(self, content: bytes):
        self._rasterio, self._memory = _rasterio(), None
        try:
            self._memory = self._rasterio.io.MemoryFile(content)
            self._file = self._memory.open(driver="GTiff")
        except self._rasterio.errors.RasterioError as error:
            self._close()
            raise ValueError(f"does not decode as an image ({type(error).__name__} of GDAL).") from None

    def __enter__(self):
        return self._file

    def __exit__(self, kind, error, _):
        self._file.close()
        self._close()
        if kind is not None and issubclass(kind, self._rasterio.errors.RasterioError):
            raise ValueError(f"does not decode as an image ({kind.__name__} of GDAL).") from None

    def _close(self):
        if self._memory is not None:
            self._memory.close()


def _rasterio() -> types.ModuleType:
    try:
        import rasterio
        import rasterio.io
    except ImportError:
        raise ValueError(f"is {BY_RASTERIO}") from None
    # It need not lie on the ground. For the process: filters that are put back would be those of other threads.
    warnings.filterwarnings("ignore", category=rasterio.errors.NotGeoreferencedWarning)
    return rasterio


def page_levels(image: Image.Image) -> np.ndarray:
    """All pages of a TIFF as channels, [h, w, pages].

    Args:
      image: of Pillow, opened.

    Raises:
      ValueError: pages are of several sizes or kinds, or not grey of 8 or 16 bits.
    """
    pages = []
    for number in range(image.n_frames):
        image.seek(number)
        if image.mode not in GREYS:
            raise ValueError(f"has a page of mode {image.mode}; allowed: grey of 8 or 16 bits, a page a channel.")
        pages.append(np.asarray(image).astype(GREYS[image.mode]))
    found = sorted({f"{page.dtype} {list(page.shape)}" for page in pages})
    if len(found) > 1:
        raise ValueError(f"has pages of {' and '.join(found)}; allowed: of one size and depth, a page a channel.")
    return np.stack(pages, -1)
