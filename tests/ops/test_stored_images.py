"""What an image file says of itself, and its pixels as Pillow shows them."""

import io
import os
import struct
import warnings

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import png, png_of_16_bits, tiff_of
from PIL import Image, ImageOps

from mask_rcnn_tf.ops import image_bytes, stored_images
from mask_rcnn_tf.ops.decode_image import cut_to_8_bits, decode_image
from mask_rcnn_tf.pixels import PixelKind

RANDOM = np.random.default_rng(0)
RGB = Image.fromarray(RANDOM.integers(0, 256, (20, 33, 3), np.uint8))
DEEP = RANDOM.integers(0, 4096, (20, 33), np.uint16)


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("form", ["JPEG", "PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_pixels_and_shape(form, tmp_path):
    turned = form in ("JPEG", "PNG", "TIFF", "WEBP")
    image = RGB.convert("P") if form == "GIF" else RGB
    options = {"exif": exif(6)} if turned else {}
    content = encoded(image, form, **options, **({"lossless": True} if form == "WEBP" else {}))
    stored = stored_images.inspect(content)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB")
    pixels, highest = stored_images.pixels(stored, stored.orientation)
    np.testing.assert_array_equal(pixels, wanted)
    assert highest == 0 and stored.form == form and not stored.deep
    if form != "TIFF":  # which Pillow turns by itself
        assert stored.shape == (20, 33) and stored.orientation == (6 if turned else 1)
    path = tmp_path / "no_suffix"
    path.write_bytes(content)
    np.testing.assert_array_equal(stored_images.load(path)[0], wanted)


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA", "CMYK"])
@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate"])
def test_tiff(mode, compression):
    image = RGB.convert(mode)
    stored = stored_images.inspect(encoded(image, "TIFF", compression=compression))
    np.testing.assert_array_equal(stored_images.pixels(stored, 1)[0], image.convert("RGB"))
    found = stored_images.levels(stored)
    content = stored_images.graph_content(stored, found)  # lossless, and what a graph decodes
    np.testing.assert_array_equal(decode_image(tf.constant(content)), image.convert("RGB"))


def test_jpeg_in_tiff_and_pages():
    stored = stored_images.inspect(encoded(RGB, "TIFF", compression="jpeg"))
    assert np.abs(stored_images.levels(stored).astype(int).mean((0, 1)) - np.asarray(RGB).mean((0, 1))).max() < 12
    stored = stored_images.inspect(encoded(RGB, "TIFF", save_all=True, append_images=[RGB.convert("L")] * 2))
    assert stored.pages == 3
    np.testing.assert_array_equal(stored_images.pixels(stored, 1)[0], RGB)


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
@pytest.mark.parametrize("white", [4095, 3000, 65535])
def test_16_bits_of_grey(form, white):
    stored = stored_images.inspect(encoded(Image.fromarray(DEEP), form))
    pixels, highest = stored_images.pixels(stored, 1, PixelKind(white_level=white))
    wanted = np.minimum(DEEP.astype(float) * 256 // (white + 1), 255)  # of 65535: the upper 8 bits
    np.testing.assert_array_equal(pixels, np.repeat(wanted[..., None], 3, -1))
    assert stored.deep and highest == DEEP.max()
    content = stored_images.graph_content(stored, stored_images.levels(stored))
    in_graph = tf.function(lambda text: decode_image(text, PixelKind(white_level=white)))
    np.testing.assert_array_equal(in_graph(tf.constant(content)), pixels)


def test_16_bits_of_colour_and_8_bits_beside():
    colours = RANDOM.integers(0, 4096, (20, 33, 3), np.uint16)
    stored = stored_images.inspect(png_of_16_bits(colours))
    kind = PixelKind(white_level=4095)
    np.testing.assert_array_equal(stored_images.pixels(stored, 1, kind)[0], colours >> 4)
    np.testing.assert_array_equal(decode_image(tf.constant(stored.content), kind), colours >> 4)
    np.testing.assert_array_equal(decode_image(tf.constant(encoded(RGB, "PNG")), kind), RGB)  # 8 bits: nothing to cut
    assert cut_to_8_bits(tf.constant([0, 254, 255, 256], tf.uint16), 255).numpy().tolist() == [0, 254, 255, 255]


def test_bmp_with_a_palette_and_animated_webp():
    """TensorFlow refuses both, or takes them for something else."""
    image = RGB.convert("P")
    stored = stored_images.inspect(encoded(image, "BMP"))
    np.testing.assert_array_equal(stored_images.pixels(stored, 1)[0], image.convert("RGB"))
    content = encoded(RGB, "WEBP", save_all=True, append_images=[RGB.rotate(180)], lossless=True)
    np.testing.assert_array_equal(stored_images.pixels(stored_images.inspect(content), 1)[0], RGB)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "does not decode as an image.$"),
        (b"II*\0 no image", "does not decode as an image"),
        (tiff_of((32,), 3, 1), "is a TIFF of mode F with 32 bits"),
        (tiff_of((16,), 1, 0), "is a TIFF of 16 bits whose 0 is white"),
        (
            png(23000, 23000, 8, 2, b""),
            "has more than 178 megapixels, .*; allowed: at most 67.1 megapixels",
        ),
        (png(20000, 20000, 8, 2, b""), "says that it has more than 178 megapixels"),
        (png(10000, 9000, 8, 2, b""), "says that it has 10000 x 9000 pixels .h x w.; allowed: 1 to 65536 on a side"),
        (png(70000, 1, 8, 2, b""), "says that it has 70000 x 1 pixels"),
        (encoded(RGB, "PNG")[:-300], "does not decode as an image"),
        (encoded(RGB, "TIFF")[:-300], "does not decode as an image"),
    ],
)
def test_refusals(content, reason):
    with pytest.raises(ValueError, match=reason) as error:
        stored_images.levels(stored_images.inspect(content))
    assert "\n" not in str(error.value)


def test_the_limit_is_an_argument():
    stored_images.inspect(png(6900, 9274, 8, 2, b""))  # 64 megapixels
    assert stored_images.inspect(encoded(RGB, "JPEG"), 660).shape == (20, 33)
    with pytest.raises(ValueError, match="says that it has 20 x 33 pixels"):
        stored_images.inspect(encoded(RGB, "JPEG"), 659)


def damaged_exif():
    """A JPEG whose EXIF says that there are five entries and ends within the first."""
    content, block = encoded(RGB, "JPEG"), b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"
    return content[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + content[2:]


@pytest.mark.parametrize(
    ("content", "warning"),
    [
        (png(9500, 10000, 8, 2, b""), "exceeds limit of 89478485 pixels"),
        (damaged_exif(), "Corrupt EXIF data"),
        (encoded(RGB.convert("P"), "PNG", transparency=bytes(256)), "Palette images with Transparency"),
    ],
)
def test_pillows_warnings_stay_off_the_terminal(content, warning):
    """They repeat what an error says, or what is done by rule."""
    with pytest.warns(Warning, match=warning), Image.open(io.BytesIO(content)) as image:
        if image.size == (33, 20):  # the large one has a header only
            image.getexif()
            image.convert("RGB")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        stored = stored_images.inspect(content, 2**27)
        if stored.shape == (20, 33):
            stored_images._decoded_by_pillow(stored)
    assert stored.orientation == 1
    assert not caught


def test_regular_files_only(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    for path in (tmp_path / "pipe.jpg", tmp_path, "/dev/zero"):
        with pytest.raises(ValueError, match="is no regular file"):
            image_bytes.read_bytes(path)
    with pytest.raises(ValueError, match="there is no such file"):
        image_bytes.read_bytes(tmp_path / "none.jpg")
    with (tmp_path / "hole.jpg").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match="has 1099511627776 bytes; allowed: at most"):
        image_bytes.read_bytes(tmp_path / "hole.jpg")
    with pytest.raises(ValueError, match="cannot be read"):
        image_bytes.read_bytes("nothing://bucket/a.jpg")


def test_a_gif_is_as_large_as_it_says():
    """Its first frame may be smaller: boxes are in the image, as Pillow and browsers show it, not in the frame."""
    content = bytearray(encoded(RGB.quantize(16), "GIF"))
    frame = content.index(b",", 13 + 3 * 2 ** ((content[10] & 7) + 1))
    content[6:10], content[frame + 1 : frame + 5] = struct.pack("<HH", 50, 40), struct.pack("<HH", 9, 5)
    stored = stored_images.inspect(bytes(content))
    found = stored_images.levels(stored)
    assert stored.shape == found.shape[:2] == (40, 50) and stored.by_pillow
    np.testing.assert_array_equal(found[5:25, 9:42], RGB.quantize(16).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(stored_images.graph_content(stored, found))), found)


@pytest.mark.parametrize("mode", ["P", "L"])
def test_what_is_transparent_in_a_gif_has_its_colour(mode):
    """As in Pillow's `convert("RGB")`, which Detectron2 and torchvision read with; TensorFlow gives black."""
    image = RGB.quantize(16) if mode == "P" else Image.fromarray(np.asarray(RGB)[..., 0] // 64 * 64 + 63)
    content = encoded(image, "GIF", transparency=int(np.asarray(image)[3, 4]))
    stored = stored_images.inspect(content)
    found = stored_images.levels(stored)
    np.testing.assert_array_equal(found, image.convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(stored_images.graph_content(stored, found))), found)
    assert not decode_image(tf.constant(content)).numpy()[3, 4].any() and found[3, 4].all()


@pytest.mark.parametrize("orientation", [1, 6])
def test_inks_of_a_jpeg_without_adobes_marker(orientation):
    content = encoded(RGB.convert("CMYK"), "JPEG", exif=exif(orientation))
    at = content.index(b"\xff\xee\0\x0eAdobe")
    content = content[:at] + content[at + 16 :]
    image = Image.open(io.BytesIO(content))
    assert image.mode == "CMYK" and "adobe" not in image.info
    stored = stored_images.inspect(content)
    pixels, _ = stored_images.pixels(stored, stored.orientation)
    np.testing.assert_array_equal(pixels, ImageOps.exif_transpose(image).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(content)), image.convert("RGB"))  # as it is served


@pytest.mark.parametrize("kind", [b"tEXt", b"gAMA", b"prVt"])
def test_a_png_whose_checksum_is_wrong_is_refused_as_by_pillow(kind):
    """Whatever the chunk; libpng, and so `serving_bytes`, passes over what the pixels do not need."""
    content = encoded(RGB, "PNG")
    chunk = struct.pack(">I", 4) + kind + b"\0\1\2\3" + b"\0\0\0\0"
    with pytest.raises(ValueError, match="does not decode as an image"):
        stored_images.inspect(content[:33] + chunk + content[33:])
    np.testing.assert_array_equal(decode_image(tf.constant(content[:33] + chunk + content[33:])), RGB)
