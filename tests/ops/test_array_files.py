"""Files whose channels are no colours: as NumPy, Pillow and rasterio wrote them."""

import io
import sys

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import tiff_of
from PIL import Image
from spectral import write_bands, write_npy, write_pages

from mask_rcnn_tf.ops import array_files, stored_images
from mask_rcnn_tf.ops.decode_image import cut_to_8_bits, decode_image, stacked, unstacked
from mask_rcnn_tf.pixels import PixelKind

RANDOM = np.random.default_rng(0)


def levels(channels, bits=16, shape=(20, 33)):
    return RANDOM.integers(0, 2**bits, (*shape, channels), np.uint16 if bits == 16 else np.uint8)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("channels", [2, 5])
@pytest.mark.parametrize("write", [write_npy, write_pages, write_bands])
def test_any_channels(tmp_path, write, channels, bits):
    if write is write_bands:
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    image, kind = levels(channels, bits), PixelKind(channels, bits)
    path = tmp_path / "a.npy"
    write(path, image)
    found, highest = stored_images.load(path, kind)
    np.testing.assert_array_equal(found, image)
    assert found.dtype == kind.dtype and highest == (image.max() if bits == 16 else 0)
    stored = stored_images.inspect(path.read_bytes())
    content = stored_images.graph_content(stored, stored_images.levels(stored, kind), kind)
    np.testing.assert_array_equal(tf.function(lambda text: unstacked(text, kind))(tf.constant(content)), image)


@pytest.mark.parametrize("options", [{"interleave": "pixel"}, {"compress": "lzw"}, {"tiled": True, "compress": "zstd"}])
def test_layouts_of_bands(tmp_path, options):
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    image = levels(6, shape=(64, 48))
    write_bands(tmp_path / "a.tif", image, **options)
    np.testing.assert_array_equal(stored_images.load(tmp_path / "a.tif", PixelKind(6, 16))[0], image)


def test_levels_of_16_bits_are_cut_where_8_are_asked_for(tmp_path):
    image, kind = levels(5), PixelKind(5, 8, white_level=4095)
    np.save(tmp_path / "a.npy", image)
    wanted = np.minimum(image.astype(np.int64) * 256 // 4096, 255)
    np.testing.assert_array_equal(stored_images.load(tmp_path / "a.npy", kind)[0], wanted)
    np.testing.assert_array_equal(unstacked(stacked(tf.constant(image)), kind), wanted)
    np.testing.assert_array_equal(wanted, cut_to_8_bits(tf.constant(image), 4095))


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("dtype", [">u2", "<u2", "u1"])
def test_orders_of_numpy(tmp_path, order, dtype):
    image = np.array(levels(4, 8), dtype, order=order)
    np.save(tmp_path / "a.npy", image)
    found = array_files.npy_levels((tmp_path / "a.npy").read_bytes())
    np.testing.assert_array_equal(found, image)
    assert found.dtype.isnative


@pytest.mark.parametrize("bits", [8, 16])
def test_grey_and_colours_stand_for_each_other(tmp_path, bits):
    colours, kind = levels(3, bits), PixelKind(1, bits)
    np.save(tmp_path / "colours.npy", colours)
    found = stored_images.load(tmp_path / "colours.npy", kind)[0]
    weighted = np.rint(colours @ np.array([19595, 38470, 7471]) / 65536)
    assert np.abs(found[..., 0] - weighted).max() <= (bits == 16)
    if bits == 8:
        np.testing.assert_array_equal(found[..., 0], Image.fromarray(colours).convert("L"))
    np.save(tmp_path / "grey.npy", colours[..., :1])
    thrice = stored_images.load(tmp_path / "grey.npy", PixelKind(3, bits))[0]
    np.testing.assert_array_equal(thrice, np.repeat(colours[..., :1], 3, -1))
    np.testing.assert_array_equal(stored_images.load(tmp_path / "grey.npy", kind)[0], colours[..., :1])


def test_colours_of_16_bits_in_a_tiff(tmp_path, monkeypatch):
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    image = levels(3)
    write_bands(tmp_path / "a.tif", image, photometric="rgb")
    np.testing.assert_array_equal(stored_images.load(tmp_path / "a.tif", PixelKind(3, 16))[0], image)
    found = stored_images.load(tmp_path / "a.tif")[0]  # RGB of 8 bits
    np.testing.assert_array_equal(found, image >> 8)
    stored = stored_images.inspect((tmp_path / "a.tif").read_bytes())
    content = stored_images.graph_content(stored, stored_images.levels(stored))
    np.testing.assert_array_equal(decode_image(tf.constant(content)), image >> 8)
    monkeypatch.setitem(sys.modules, "rasterio", None)
    with pytest.raises(ValueError, match="is a TIFF of mode RGB with 16/16/16 bits; allowed: 8 bits, or 16 of grey"):
        stored_images.inspect(tiff_of((16, 16, 16), 1, 2))
    write_pages(tmp_path / "pages.tif", levels(5))
    assert stored_images.load(tmp_path / "pages.tif", PixelKind(5, 16))[0].shape == (20, 33, 5)


@pytest.mark.parametrize("form", ["PNG", "WEBP", "TIFF"])
def test_alpha_is_a_channel_where_four_are_asked_for(form):
    if form == "TIFF":
        pytest.importorskip("rasterio", reason="the extra geo is not installed")
    image, buffer = levels(4, 8), io.BytesIO()
    Image.fromarray(image, "RGBA").save(buffer, form, **({"lossless": True, "exact": True} if form == "WEBP" else {}))
    stored = stored_images.inspect(buffer.getvalue())
    np.testing.assert_array_equal(stored_images.pixels(stored, 1, PixelKind(4))[0], image)
    np.testing.assert_array_equal(stored_images.pixels(stored, 1)[0], image[..., :3])
    if form != "TIFF":
        in_graph = decode_image(tf.constant(buffer.getvalue()), PixelKind(4))
        np.testing.assert_array_equal(in_graph, image)


def test_alpha_of_what_pillow_decodes():
    """A GIF with a transparent colour, an animated WebP."""
    palette, buffer = Image.fromarray(levels(3, 8)).quantize(16), io.BytesIO()
    palette.save(buffer, "GIF", transparency=3)
    stored = stored_images.inspect(buffer.getvalue())
    assert stored.by_pillow
    wanted = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGBA"))
    assert set(np.unique(wanted[..., 3])) == {0, 255}
    np.testing.assert_array_equal(stored_images.pixels(stored, 1, PixelKind(4))[0], wanted)
    image, buffer = levels(4, 8), io.BytesIO()
    frames = [Image.fromarray(np.roll(image, turn, 0), "RGBA") for turn in (0, 3)]
    frames[0].save(buffer, "WEBP", save_all=True, append_images=frames[1:], lossless=True, exact=True)
    stored = stored_images.inspect(buffer.getvalue())
    assert stored.by_pillow
    wanted = np.asarray(Image.open(io.BytesIO(buffer.getvalue())).convert("RGBA"))
    np.testing.assert_array_equal(stored_images.pixels(stored, 1, PixelKind(4))[0], wanted)
    np.testing.assert_array_equal(wanted[..., 3], image[..., 3])


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_16_bits_of_a_png(channels):
    image, kind = levels(channels), PixelKind(channels, 16)
    content = tf.io.encode_png(image)
    np.testing.assert_array_equal(decode_image(content, kind), image)
    found, highest = stored_images.pixels(stored_images.inspect(content.numpy()), 1, kind)
    np.testing.assert_array_equal(found, image)
    assert highest == image.max()


def png(image):
    return tf.io.encode_png(image).numpy()


def npy(image):
    buffer = io.BytesIO()
    np.save(buffer, image)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        (npy(levels(5)), PixelKind(), "has 5 channels; the model takes 3 .config.model.preprocess.channels."),
        (npy(levels(5)), PixelKind(4, 16), "has 5 channels; the model takes 4"),
        (
            npy(levels(5, 8)),
            PixelKind(5, 16),
            "has levels of 8 bits; the model takes 16 .config.model.preprocess.bits.",
        ),
        (png(levels(3, 8)), PixelKind(3, 16), "has levels of 8 bits"),
        (png(levels(3, 8)), PixelKind(4), "has 3 channels; the model takes 4"),
        (png(levels(3, 8)), PixelKind(5), "has 3 channels; the model takes 5"),
        (npy(levels(5).astype(np.float32)), PixelKind(5, 16), r"is an array float32 \[20, 33, 5\]; allowed: uint8 or"),
        (npy(levels(5)[None]), PixelKind(5, 16), r"is an array uint16 \[1, 20, 33, 5\]"),
        (npy(levels(5)[:0]), PixelKind(5, 16), r"is an array uint16 \[0, 33, 5\]"),
        (npy(levels(5))[:-1], PixelKind(5, 16), "it is cut off"),
        (npy(levels(5))[:40], PixelKind(5, 16), "does not decode as an array .* in its header"),
        (
            npy(levels(5)).replace(b"}", b" "),
            PixelKind(5, 16),
            "does not decode as an array .* in its header",
        ),
        (npy(np.array([{}], object)), PixelKind(5, 16), "is an array object"),
    ],
)
def test_refusals(content, kind, reason):
    with pytest.raises(ValueError, match=reason) as error:
        stored_images.pixels(stored_images.inspect(content), 1, kind)
    assert "\n" not in str(error.value)


def test_refusals_of_tiffs(tmp_path):
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    path = tmp_path / "a.tif"
    write_bands(path, levels(5).astype(np.float32))
    with pytest.raises(ValueError, match="is a TIFF of 5 bands of float32; allowed: uint8 or uint16"):
        stored_images.load(path, PixelKind(5, 16))
    write_bands(path, levels(5))
    content = path.read_bytes()
    for size in (len(content) // 2, 200):
        with pytest.raises(ValueError, match="does not decode as an image"):
            stored_images.pixels(stored_images.inspect(content[:size]), 1, PixelKind(5, 16))
    write_pages(path, levels(3))
    with pytest.raises(ValueError, match="has 1 channels and 3 pages; the model takes 5"):
        stored_images.load(path, PixelKind(5, 16))
    pages = [Image.fromarray(levels(1)[..., 0]), Image.fromarray(levels(1, shape=(9, 9))[..., 0])]
    pages[0].save(path, "TIFF", save_all=True, append_images=pages[1:])
    with pytest.raises(ValueError, match=r"has pages of uint16 \[20, 33\] and uint16 \[9, 9\]; allowed: of one size"):
        stored_images.load(path, PixelKind(2, 16))


def test_graphs_refuse_what_hosts_refuse():
    for content, kind in ((png(levels(3, 8)), PixelKind(3, 16)), (png(levels(3, 8)), PixelKind(4))):
        with pytest.raises(tf.errors.InvalidArgumentError, match="the image has no"):
            decode_image(tf.constant(content), kind)


def test_what_a_png_cannot_hold():
    wide = np.broadcast_to(np.uint8(0), (20_000, 30_000, 2))  # no memory is taken
    stored = stored_images.StoredImage(b"", "NPY", (20_000, 30_000), 1, 1, False, False, 2, True)
    with pytest.raises(ValueError, match="allowed: fewer than 512 million levels"):
        stored_images.graph_content(stored, wide, PixelKind(2))
