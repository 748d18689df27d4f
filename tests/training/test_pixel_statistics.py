"""What images are, read off them, against NumPy on the arrays that were written."""

import json

import numpy as np
import pytest
from PIL import Image
from spectral import WRITERS, write_set

from mask_rcnn_tf.data import check
from mask_rcnn_tf.pixels import RGB, PixelKind
from mask_rcnn_tf.training import data_statistics, pixel_statistics, suggestion


@pytest.mark.parametrize("ending", ["npy", "tif", "tiff"])
@pytest.mark.parametrize("bits", [8, 16])
def test_mean_and_deviation(tmp_path, ending, bits):
    if ending == "tiff":
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    path = write_set(tmp_path, 3, bits=bits, ending=ending)
    found = pixel_statistics.read(path, tmp_path)
    write_set(tmp_path / "arrays", 3, bits=bits)
    arrays = np.stack([np.load(file) for file in sorted((tmp_path / "arrays").glob("*.npy"))]).astype(np.float64)
    assert found.kind == PixelKind(5, bits) and found.num_images == 3
    np.testing.assert_allclose(found.mean, arrays.mean((0, 1, 2)), rtol=1e-3)
    np.testing.assert_allclose(found.std, arrays.std((0, 1, 2)), rtol=1e-3)


def pictures(folder, images):
    """A COCO file of images that are written as PNGs."""
    rows = []
    for number, image in enumerate(images, 1):
        Image.fromarray(image).save(folder / f"{number}.png")
        rows.append({"id": number, "file_name": f"{number}.png", "height": image.shape[0], "width": image.shape[1]})
    path = folder / "a.json"
    path.write_text(json.dumps({"images": rows, "annotations": [], "categories": [{"id": 1, "name": "a"}]}))
    return path


def test_kinds_of_pictures(tmp_path):
    rng = np.random.default_rng(0)
    deep, grey = (rng.integers(0, 4000, (9, 9), np.uint16) for _ in range(2))
    shallow = rng.integers(0, 256, (9, 9, 3), np.uint8)
    assert pixel_statistics.read(pictures(tmp_path, [deep, grey]), tmp_path).kind == PixelKind(1, 16)
    assert pixel_statistics.read(pictures(tmp_path, [shallow, shallow]), tmp_path).kind == RGB
    found = pixel_statistics.read(pictures(tmp_path, [shallow, deep]), tmp_path)  # not alike: as ever
    assert found == pixel_statistics.PixelStatistics(RGB, (), (), 0)
    for file in tmp_path.glob("*.png"):
        file.unlink()
    assert pixel_statistics.read(tmp_path / "a.json", tmp_path).kind == RGB  # training says what is wrong with them


def test_nothing_to_read(tmp_path):
    path = write_set(tmp_path, 1)
    (tmp_path / "0001.npy").write_bytes((tmp_path / "0001.npy").read_bytes()[:-1])
    with pytest.raises(ValueError, match="images is .*; none of the 1 that were tried can be read"):
        pixel_statistics.read(path, tmp_path)


def test_large_images_are_summed_in_parts(tmp_path, monkeypatch):
    path = write_set(tmp_path, 2)
    whole = pixel_statistics.read(path, tmp_path)
    monkeypatch.setattr(pixel_statistics, "AT_ONCE", 1000)
    assert pixel_statistics.read(path, tmp_path) == whole


def test_what_is_suggested_is_trained_with(tmp_path):
    path = write_set(tmp_path, 5)
    levels = pixel_statistics.read(path, tmp_path)
    config = suggestion.configured(suggestion.suggest(data_statistics.read(path), levels=levels))
    preprocess = config.model.preprocess
    assert preprocess.pixels == PixelKind(5, 16) and preprocess.mean == levels.mean and preprocess.std == levels.std
    assert not preprocess.round_resized and config.data.cache
    before = suggestion.suggest(data_statistics.read(path))
    rgb = pixel_statistics.PixelStatistics(RGB, (1.0,) * 3, (1.0,) * 3, 5)
    assert suggestion.suggest(data_statistics.read(path), levels=rgb) == before  # of photos nothing changes


@pytest.mark.parametrize("ending", WRITERS)
def test_check_draws_them(tmp_path, ending):
    if ending == "tiff":
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    text, report, samples = check.check(str(write_set(tmp_path, 3, ending=ending)), str(tmp_path), pictures=2)
    assert not report.bad and len(samples) == 2
    assert text.splitlines()[-1].startswith("images are uint16 [h, w, 5]: config.model.preprocess.channels=5, .bits=16")
    for sample in samples:
        assert sample.image.shape == (64, 64, 3) and sample.image.dtype == np.uint8 and sample.image.max() == 255


def test_check_of_several_kinds(tmp_path):
    path = write_set(tmp_path, 3)
    np.save(tmp_path / "0002.npy", np.zeros((64, 64, 4), np.uint16))
    text, report, _ = check.check(str(path), str(tmp_path))
    assert [bad.kind for bad in report.bad] == ["image is of another kind than the model takes"], text
    assert report.used_images == 2 and "(0002.npy)" in text and "has 4 channels; the model takes 5" in text
