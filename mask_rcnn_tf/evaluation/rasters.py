"""Maps and other rasters that are read window by window, and what is found on them as GeoJSON.

Needs the extra `geo` (rasterio, which brings GDAL).
"""

import json
import os
import types
import warnings
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.evaluation.tiles import Piece
from mask_rcnn_tf.ops.decode_image import cut_to_8_bits
from mask_rcnn_tf.pixels import RGB, PixelKind

LONGITUDE_LATITUDE = "EPSG:4326"  # of GeoJSON (RFC 7946, section 4)


class Raster:
    """A file that GDAL reads (GeoTIFF, ...), as `tiles.predict_tiles` slices an image: only the window is read.

    Attributes:
      shape: (h, w, C).
    """

    def __init__(self, path: str | os.PathLike, bands: Sequence[int] = (), kind: PixelKind = RGB):
        """Opens the file.

        Args:
          path: of the file.
          bands: numbers from 1 of those that are the model's channels, as red, green, blue; (): the first ones, or the
            one there is for all three.
          kind: what the pixels are to be.

        Raises:
          ValueError: rasterio is missing, or the file is none that it reads, or has not these bands in 8 or 16 bits.
        """
        self._rasterio, self._kind = _rasterio(), kind
        if not os.path.exists(path):
            raise ValueError(f"input is {os.fspath(path)!r}; there is no such file.")
        try:
            with warnings.catch_warnings():  # where it lies nowhere, coordinates are pixels
                warnings.simplefilter("ignore", self._rasterio.errors.NotGeoreferencedWarning)
                self._file = self._rasterio.open(path)
        except self._rasterio.errors.RasterioIOError as error:
            raise ValueError(f"input is {os.fspath(path)!r}; it cannot be read: {error}.") from None
        count = self._file.count
        wanted = kind.channels
        self._bands = list(bands) or ([1] * wanted if count < wanted == 3 else list(range(1, wanted + 1)))
        if len(self._bands) != wanted or not all(1 <= band <= count for band in self._bands):
            came = f"bands is {tuple(self._bands)}" + " by default" * (not bands)
            raise ValueError(f"{came}; allowed: {wanted} numbers from 1 to {count}.")
        kinds = {self._file.dtypes[band - 1] for band in self._bands}
        if kinds not in ([{"uint8"}, {"uint16"}] if kind.bits == 8 else [{"uint16"}]):
            came, allowed = ", ".join(sorted(kinds)), "uint8 or uint16" if kind.bits == 8 else "uint16"
            raise ValueError(f"input is {os.fspath(path)!r}, whose bands are {came}; allowed: {allowed}.")
        self.shape = (self._file.height, self._file.width, wanted)

    def __enter__(self) -> "Raster":
        return self

    def __exit__(self, *_):
        self._file.close()

    def __getitem__(self, window: tuple[slice, slice]) -> np.ndarray:
        """The pixels of a window, of `kind`; slices have a start and a stop inside the raster."""
        levels = self._file.read(self._bands, window=self._rasterio.windows.Window.from_slices(*window))
        levels = np.moveaxis(levels, 0, -1)
        if levels.dtype != self._kind.dtype:
            levels = cut_to_8_bits(tf.constant(levels), self._kind.white_level).numpy()
        return levels

    def geometry(self, found: Piece) -> dict:
        """Where an object is, as GeoJSON's geometry: its mask with its holes, or its box.

        Args:
          found: of `predict_tiles`.

        Returns:
          A polygon, or several, in longitude and latitude; in pixels (x to the right, y down) where the file does not
          say where it lies.
        """
        affine = self._file.transform if self._file.crs else self._rasterio.Affine.identity()
        if found.mask is None or not found.mask.any():
            y1, x1, y2, x2 = map(float, found.box)
            ring = [_placed(affine, *corner) for corner in ((x1, y1), (x1, y2), (x2, y2), (x2, y1), (x1, y1))]
            geometry = {"type": "Polygon", "coordinates": [ring]}
        else:
            (a, b, _, d, e, _), (c, f) = affine[:6], _placed(affine, *found.origin[::-1])
            moved = self._rasterio.Affine(a, b, c, d, e, f)
            mask = found.mask.astype(np.uint8)
            parts = self._rasterio.features.shapes(mask, mask=found.mask, transform=moved)
            rings = [part["coordinates"] for part, _ in parts]
            several = {"type": "MultiPolygon", "coordinates": rings}
            geometry = several if len(rings) > 1 else {"type": "Polygon", "coordinates": rings[0]}
        if not self._file.crs:
            return geometry
        return self._rasterio.warp.transform_geom(self._file.crs, LONGITUDE_LATITUDE, geometry)


def _placed(affine: Sequence[float], x: float, y: float) -> tuple[float, float]:
    """A point in pixels, moved by the transform of a file (versions of `affine` differ in its operator)."""
    a, b, c, d, e, f = affine[:6]
    return a * x + b * y + c, d * x + e * y + f


def _rasterio() -> types.ModuleType:
    try:
        import rasterio
        import rasterio.features
        import rasterio.warp
        import rasterio.windows
    except ImportError:
        raise ValueError("rasterio is missing; allowed: pip install 'mask_rcnn_tf[geo]' beside TensorFlow.") from None
    return rasterio


def write_geojson(
    path: str | os.PathLike, raster: Raster, objects: Sequence[Piece], category_ids: Sequence[int], names: Sequence[str]
):
    """Writes objects as a GeoJSON FeatureCollection, whole or not at all.

    Args:
      path: where to.
      raster: on which they were found.
      objects: of `predict_tiles`.
      category_ids: of classes 1..C; properties of a feature are `category_id`, `category`, `score`.
      names: of classes 1..C; () where there are none.
    """
    with whole_files.replacing(path) as partial, partial.open("w") as file:
        file.write('{"type": "FeatureCollection", "features": [')
        for number, found in enumerate(objects):
            place = found.class_id - 1
            properties = {"category_id": category_ids[place], "score": round(found.score, 6)}
            properties |= {"category": names[place]} if names else {}
            feature = {"type": "Feature", "properties": properties, "geometry": raster.geometry(found)}
            file.write(("," if number else "") + "\n" + json.dumps(feature))
        file.write("\n]}\n")
