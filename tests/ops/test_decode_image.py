"""Decoding equals Pillow bit for bit."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.ops.decode_image import declared_shape, decode_image


def encoded(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def test_jpeg_decoding_equals_pillow():
    random = np.random.default_rng(0)
    noise = Image.fromarray(random.integers(0, 256, (45, 61, 3), np.uint8))
    smooth = noise.resize((333, 251), Image.Resampling.BICUBIC)
    cases = [(smooth, {"quality": 90}), (smooth, {"progressive": True}), (smooth, {"subsampling": 0}), (noise, {})]
    for image, options in [*cases, (smooth.convert("L"), {})]:
        content = encoded(image, "JPEG", **options)
        wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
        np.testing.assert_array_equal(decode_image(tf.constant(content)), wanted)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1"])
def test_png_decoding_equals_pillow(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (15, 20, 4), np.uint8)
    image = Image.fromarray(pixels, "RGBA")
    image = image if mode == "RGBA" else image.convert("RGB").convert(mode)
    content = encoded(image, "PNG")
    np.testing.assert_array_equal(decode_image(tf.constant(content)), np.asarray(image.convert("RGB")))


def test_png_of_16_bits_keeps_the_upper_8():
    pixels = np.random.default_rng(0).integers(0, 2**16, (15, 20), np.uint16)
    decoded = decode_image(tf.constant(encoded(Image.fromarray(pixels), "PNG"))).numpy()
    np.testing.assert_array_equal(decoded, np.repeat((pixels >> 8)[..., None], 3, -1).astype(np.uint8))


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 80}, {"exif": b"Exif\0\0"}])
def test_webp_decoding_equals_pillow(mode, options):
    pixels = np.random.default_rng(0).integers(0, 256, (15, 20, 4), np.uint8)
    content = encoded(Image.fromarray(pixels, "RGBA").convert(mode), "WEBP", **options)
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(content)), wanted)


def test_cmyk_jpeg_decoding_equals_pillow():
    pixels = np.random.default_rng(0).integers(0, 256, (45, 61, 3), np.uint8)
    content = encoded(Image.fromarray(pixels).convert("CMYK"), "JPEG")
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    np.testing.assert_array_equal(decode_image(tf.constant(content)), wanted)


@pytest.mark.parametrize("form", ["GIF", "WEBP"])
def test_first_frame_of_an_animation(form):
    mode = "RGB" if form == "GIF" else "RGBA"
    pixels = np.random.default_rng(0).integers(0, 256, (3, 15, 20, 4), np.uint8)
    pixels[..., 3] = 255  # Pillow leaves the colours of transparent pixels to chance
    frames = [Image.fromarray(frame, "RGBA").convert(mode) for frame in pixels]
    frames[0].putpixel((0, 0), (1, 2, 3, 128)[: len(mode)])  # WebP has an alpha channel only where it is used
    content = encoded(
        frames[0], form, save_all=True, append_images=frames[1:], **({"lossless": True} if mode == "RGBA" else {})
    )
    wanted = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    decoded = decode_image(tf.constant(content)).numpy()
    np.testing.assert_array_equal(decoded[1:], wanted[1:])


def test_animated_webp_without_alpha_is_refused():
    """TensorFlow would write beyond its memory if it were let."""
    frames = [Image.new("RGB", (20, 15), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:])
    with pytest.raises(tf.errors.InvalidArgumentError, match="WebP Animation must be 4 channel"):
        decode_image(tf.constant(content))


@pytest.mark.parametrize("content", [b"", b"R", b"RIFF", b"RIFF\0\0\0\0WEBP", b"RIFF\0\0\0\0WEBPVP8X\0\0\0\0\x10"])
def test_short_files_are_refused(content):
    with pytest.raises(tf.errors.InvalidArgumentError, match="empty|Unknown image file format|WebP header"):
        decode_image(tf.constant(content))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_declared_shape(form):
    content = encoded(Image.new("RGB", (700, 300)), form)
    expected = [300, 700] if form in ("JPEG", "PNG", "GIF") else [1, 1]
    assert declared_shape(tf.constant(content)).numpy().tolist() == expected
    assert declared_shape(tf.constant(b"")).numpy().tolist() == [1, 1]


def test_declared_shape_of_a_png_beyond_int32():
    assert declared_shape(tf.constant(b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff\0\0\0\0\0\0\1")).numpy().tolist() == [
        1,
        -(2**24),
    ]


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_bmp_decoding_equals_pillow(mode):
    pixels = np.random.default_rng(0).integers(0, 256, (15, 21, 4), np.uint8)
    image = Image.fromarray(pixels, "RGBA").convert("RGB").convert(mode)
    content = encoded(image, "BMP")
    np.testing.assert_array_equal(decode_image(tf.constant(content)), np.asarray(image.convert("RGB")))


def test_bmp_with_a_palette_is_refused():
    """TensorFlow would take the indices for greys."""
    pixels = np.random.default_rng(0).integers(0, 256, (15, 21, 3), np.uint8)
    content = encoded(Image.fromarray(pixels).convert("P"), "BMP")
    with pytest.raises(tf.errors.InvalidArgumentError, match="the BMP has a palette"):
        decode_image(tf.constant(content))


def bmp_of_32_bits(masks, compression=3):
    """A BMP of 21 x 15 pixels with masks of red, green and blue."""
    pixels = np.random.default_rng(0).integers(0, 256, (15, 21, 4), np.uint8)
    sizes = struct.pack("<IiiHHIIiiII", 40 + 4 * len(masks), 21, 15, 1, 32, compression, pixels.nbytes, 0, 0, 0, 0)
    header = sizes + struct.pack(f"<{len(masks)}I", *masks)
    start = 14 + len(header)
    return b"BM" + struct.pack("<IHHI", start + pixels.nbytes, 0, 0, start) + header + pixels.tobytes(), pixels[::-1]


def test_bmp_with_masks_of_another_order_is_refused():
    """TensorFlow would take them for blue, green and red."""
    content, pixels = bmp_of_32_bits((0xFF0000, 0xFF00, 0xFF))
    np.testing.assert_array_equal(decode_image(tf.constant(content)), pixels[..., 2::-1])
    for content in (bmp_of_32_bits((0xFF, 0xFF00, 0xFF0000))[0], bmp_of_32_bits((), compression=1)[0]):
        with pytest.raises(tf.errors.InvalidArgumentError, match="the BMP has a palette, other masks or packed rows"):
            decode_image(tf.constant(content))


def test_gif_whose_first_frame_does_not_cover_it_is_refused():
    """TensorFlow would give the frame alone, in which boxes have other places than in the image."""
    content = bytearray(encoded(Image.new("RGB", (20, 15), "red").quantize(4), "GIF"))
    assert decode_image(tf.constant(bytes(content))).shape == (15, 20, 3)
    content[6:10] = struct.pack("<HH", 30, 40)
    with pytest.raises(tf.errors.InvalidArgumentError, match="the first frame of the GIF does not cover it"):
        decode_image(tf.constant(bytes(content)))
