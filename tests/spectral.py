"""Images of any channels and bits, and a COCO set whose two classes differ in one channel alone."""

import json
import pathlib
import warnings

import numpy as np
from PIL import Image


def write_npy(path: pathlib.Path, image: np.ndarray):
    """[h, w, C], as NumPy writes it."""
    np.save(path, image)


def write_pages(path: pathlib.Path, image: np.ndarray):
    """A grey page a channel, as microscopes' programs write it."""
    first, *others = (Image.fromarray(np.ascontiguousarray(image[..., i])) for i in range(image.shape[-1]))
    first.save(path, "TIFF", save_all=True, append_images=others)


def write_bands(path: pathlib.Path, image: np.ndarray, **options):
    """Bands, as GDAL writes them."""
    import rasterio

    height, width, count = image.shape
    size = {"height": height, "width": width, "count": count, "dtype": image.dtype.name}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)
        with rasterio.open(path, "w", driver="GTiff", **size, **options) as file:
            file.write(np.moveaxis(image, -1, 0))


WRITERS = {"npy": write_npy, "tif": write_pages, "tiff": write_bands}  # by a file's ending


def scene(rng: np.random.Generator, side: int, channels: int, white: int) -> tuple[np.ndarray, list[tuple]]:
    """An image with squares that are brighter than the rest; those of class 2 are dark in the last channel.

    Returns:
      The image [side, side, channels], and (class, x, y, side) of each square.
    """
    image = rng.normal(0.3, 0.03, (side, side, channels))
    squares = []
    for corner in ((0, 0), (0, 1), (1, 0), (1, 1)):
        if rng.random() < 0.75:
            size = int(rng.integers(side // 5, side * 2 // 5))
            y, x = (int(half * side // 2 + rng.integers(1, side // 2 - size)) for half in corner)
            kind = int(rng.integers(1, 3))
            level = np.full(channels, 0.7)
            level[-1] = 0.7 if kind == 1 else 0.1
            image[y : y + size, x : x + size] += level - 0.3
            squares.append((kind, x, y, size))
    return np.clip(image, 0, 1) * white, squares


def write_set(
    folder: pathlib.Path, count: int, *, channels: int = 5, bits: int = 16, side: int = 64, ending: str = "npy", seed=0
) -> pathlib.Path:
    """Writes images and `a.json` beside them.

    Returns:
      The path of the annotations.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng, images, annotations = np.random.default_rng(seed), [], []
    for number in range(1, count + 1):
        image, squares = scene(rng, side, channels, 2**bits - 1)
        name = f"{number:04d}.{ending}"
        WRITERS[ending](folder / name, image.astype(np.uint8 if bits == 8 else np.uint16))
        images.append({"id": number, "file_name": name, "height": side, "width": side})
        for kind, x, y, size in squares:
            ring = [x, y, x + size, y, x + size, y + size, x, y + size]
            row = {"id": len(annotations) + 1, "image_id": number, "category_id": kind, "iscrowd": 0}
            annotations.append(row | {"bbox": [x, y, size, size], "area": size**2, "segmentation": [ring]})
    categories = [{"id": 1, "name": "bright"}, {"id": 2, "name": "dark"}]
    path = folder / "a.json"
    path.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return path
