"""Rasters read by windows, and places on the ground, against rasterio's own transforms and hand-made polygons."""

import json
import sys

import forked
import numpy as np
import pytest

from mask_rcnn_tf.evaluation import rasters, tiles
from mask_rcnn_tf.evaluation.tiles import Piece, Tiling
from mask_rcnn_tf.pixels import PixelKind

rasterio = pytest.importorskip("rasterio", reason="the extra geo is not installed")
SHAPE = (300, 400)


def write(path, levels, crs="EPSG:32633", **options):
    """A GeoTIFF of bands [n, h, w], half a metre a pixel."""
    transform = rasterio.Affine(0.5, 0, 500_000.0, 0, -0.5, 5_500_000.0)
    place = {"crs": crs, "transform": transform} if crs else {}
    count, height, width = levels.shape
    profile = {"driver": "GTiff", "dtype": levels.dtype, "count": count, "height": height, "width": width}
    with rasterio.open(path, "w", **profile, **place, **options) as file:
        file.write(levels)
    return path


def noise(bands=3, dtype=np.uint8):
    return np.random.default_rng(0).integers(0, np.iinfo(dtype).max, (bands, *SHAPE), endpoint=True).astype(dtype)


@pytest.mark.parametrize(
    ("bands", "chosen", "wanted"), [(1, (), (0, 0, 0)), (4, (), (0, 1, 2)), (4, (4, 2, 2), (3, 1, 1))]
)
def test_windows_are_the_files_pixels(tmp_path, bands, chosen, wanted):
    levels = noise(bands)
    with rasters.Raster(write(tmp_path / "a.tif", levels, tiled=True, blockxsize=64, blockysize=64), chosen) as raster:
        assert raster.shape == (*SHAPE, 3)
        window = raster[50:213, 100:399]
        assert window.dtype == np.uint8
        np.testing.assert_array_equal(window, np.moveaxis(levels[list(wanted)], 0, -1)[50:213, 100:399])


def test_sixteen_bits_are_cut_at_the_white_level(tmp_path):
    levels = np.minimum(noise(3, np.uint16), 4000)
    with rasters.Raster(write(tmp_path / "a.tif", levels), kind=PixelKind(white_level=4095)) as raster:
        expected = np.moveaxis(levels, 0, -1) / 4095 * 255
        assert np.abs(raster[0:300, 0:400] - expected).max() <= 1


def square(origin=(20, 40), is_masked=True):
    """Thirty pixels long and twenty high, with a hole of four."""
    mask = np.ones((20, 30), bool)
    mask[8:10, 10:12] = False
    box = np.array([origin[0], origin[1], origin[0] + 20, origin[1] + 30], np.float32)
    return Piece(box, 0.75, 2, (0, 0, 64, 64), False, mask if is_masked else None, origin)


def area(ring):
    x, y = np.array(ring).T
    return 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])


@pytest.mark.parametrize("is_masked", [True, False])
def test_an_object_lies_where_the_file_says(tmp_path, is_masked):
    """Back in metres: its corners, its hole, its area."""
    with rasters.Raster(write(tmp_path / "a.tif", noise())) as raster:
        geometry = raster.geometry(square(is_masked=is_masked))
    assert geometry["type"] == "Polygon"
    metres = rasterio.warp.transform_geom("EPSG:4326", "EPSG:32633", geometry)["coordinates"]
    outer = np.array(metres[0])
    np.testing.assert_allclose(outer.min(0), (500_020, 5_499_980), atol=1e-3)
    np.testing.assert_allclose(outer.max(0), (500_035, 5_499_990), atol=1e-3)
    assert len(metres) == 1 + is_masked and abs(area(metres[0])) == pytest.approx(150, rel=1e-4)
    assert np.ptp(np.array(geometry["coordinates"][0]), axis=0).max() < 1e-3  # degrees
    assert area(geometry["coordinates"][0]) > 0  # counterclockwise, as RFC 7946 wants it
    if is_masked:
        assert abs(area(metres[1])) == pytest.approx(1.0, rel=1e-4) and area(geometry["coordinates"][1]) < 0


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")  # while it is written
def test_without_a_place_coordinates_are_pixels(tmp_path):
    with rasters.Raster(write(tmp_path / "a.tif", noise(), crs=None)) as raster:
        geometry = raster.geometry(square())
    assert {tuple(corner) for corner in geometry["coordinates"][0]} == {(40, 20), (40, 40), (70, 40), (70, 20)}


def test_parts_are_several_polygons(tmp_path):
    found = square()
    found.mask[:, 14:16] = False
    with rasters.Raster(write(tmp_path / "a.tif", noise())) as raster:
        assert [len(part) for part in raster.geometry(found)["coordinates"]] == [2, 1]
        rasters.write_geojson(tmp_path / "a.geojson", raster, [found, square(is_masked=False)], (7, 9), ("a", 'b"'))
    content = json.loads((tmp_path / "a.geojson").read_text())
    assert content["type"] == "FeatureCollection"
    assert [feature["geometry"]["type"] for feature in content["features"]] == ["MultiPolygon", "Polygon"]
    assert content["features"][0]["properties"] == {"category_id": 9, "category": 'b"', "score": 0.75}


def test_tiles_of_a_raster_are_those_of_its_pixels(tmp_path):
    levels = np.zeros((3, *SHAPE), np.uint8)
    levels[:, 100:150, 180:260] = 200

    def predict(images):
        rows, columns = np.nonzero(images[0][..., 0] > 100)
        if not rows.size:
            return [{name: np.zeros(shape) for name, shape in (("detection_boxes", (0, 4)), ("detection_scores", 0))}]
        box = np.array([[rows.min(), columns.min(), rows.max() + 1, columns.max() + 1]], np.float32)
        ones = {"detection_scores": np.ones(1, np.float32), "detection_classes": np.ones(1, np.int32)}
        return [ones | {"detection_boxes": box, "detection_masks": np.ones((1, 28, 28), np.float32)}]

    from mask_rcnn_tf.config import DetectionConfig

    with rasters.Raster(write(tmp_path / "a.tif", levels)) as raster:
        (found,) = tiles.predict_tiles(predict, raster, Tiling(64, 16), DetectionConfig())
    assert found.box.tolist() == [100, 180, 150, 260] and found.mask.sum() == 50 * 80


def test_mistakes(tmp_path):
    with pytest.raises(ValueError, match="input is '.*none.tif'; there is no such file"):
        rasters.Raster(tmp_path / "none.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ValueError, match="input is '.*text.tif'; it cannot be read"):
        rasters.Raster(tmp_path / "text.tif")
    path = write(tmp_path / "a.tif", noise())
    with pytest.raises(ValueError, match=r"bands is \(1, 2, 4\); allowed: 3 numbers from 1 to 3"):
        rasters.Raster(path, (1, 2, 4))
    with pytest.raises(ValueError, match="whose bands are float32; allowed: uint8 or uint16"):
        rasters.Raster(write(tmp_path / "f.tif", noise().astype(np.float32)))


def test_without_rasterio_it_is_one_line(tmp_path):
    program = (
        "import sys; sys.modules['rasterio'] = None\nfrom mask_rcnn_tf.evaluation import rasters as r\nr.Raster('a')"
    )
    done = forked.run([sys.executable, "-c", program], cwd=tmp_path)
    assert done.returncode and "ValueError: rasterio is missing; allowed: pip install" in done.stderr
