"""Decoding equals Pillow bit for bit."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from mask_rcnn_tf.ops.images import decode_image


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
