"""EXIF orientation: Pillow's answer, from the operators of a graph."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mask_rcnn_tf.ops.orientation import displayed_shape, jpeg_orientation, orient

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8))
in_graph = tf.function(jpeg_orientation, input_signature=[tf.TensorSpec([], tf.string)])


def jpeg(exif=None, **options):
    buffer = io.BytesIO()
    IMAGE.save(buffer, "JPEG", **({"exif": exif} if exif else {}), **options)
    return buffer.getvalue()


def exif_block(orientation, order="<", entries=3):
    """An EXIF block written by hand, the orientation the last of its entries."""
    rows = [struct.pack(order + "HHIHH", 0x0100 + i, 3, 1, 7, 0) for i in range(entries - 1)]
    rows.append(struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0))
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, entries) + b"".join(rows) + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_pixels_are_turned_as_pillow_turns_them(orientation):
    tags = Image.Exif()
    tags[0x0112], tags[0x010F] = orientation, "a maker of cameras"
    buffer = io.BytesIO()
    IMAGE.save(buffer, "PNG", exif=tags)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(buffer)))
    np.testing.assert_array_equal(orient(tf.constant(np.asarray(IMAGE)), tf.constant(orientation)), wanted)
    np.testing.assert_array_equal(tf.function(orient)(np.asarray(IMAGE), orientation), wanted)
    assert displayed_shape((20, 33), orientation) == wanted.shape[:2]
    assert in_graph(jpeg(tags.tobytes())) == orientation


@pytest.mark.parametrize("order", "<>")
def test_both_byte_orders_and_segments_before(order):
    for orientation in (1, 3, 6, 8):
        content = jpeg(exif_block(orientation, order), dpi=(72, 72), comment="of a camera")
        assert in_graph(content) == orientation == Image.open(io.BytesIO(content)).getexif().get(0x0112)
        other = b"http://ns.adobe.com/xap/1.0/\0" + b"x" * 60000  # XMP comes in segments of the same kind
        content = content[:2] + b"\xff\xe1" + struct.pack(">H", len(other) + 2) + other + content[2:]
        assert in_graph(content) == orientation


@pytest.mark.parametrize("block", [b"Exif\0\0", exif_block(9), exif_block(0), exif_block(6)[:20], exif_block(6)[:-9]])
def test_broken_exif_turns_nothing(block):
    assert in_graph(jpeg(block)) == 1


def test_what_is_no_jpeg_or_damaged():
    assert all(
        in_graph(content) == 1 for content in (b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xe1\0\0", b"GIF89a")
    )
    content, random = jpeg(exif_block(6)), np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        damaged[int(random.integers(2, 80))] = int(random.integers(256))
        assert 1 <= int(in_graph(bytes(damaged))) <= 8
