"""EXIF orientation: Pillow's answer, from the operators of a graph; and the one answer for files and served bytes."""

import io
import struct
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from mask_rcnn_tf.export.signatures import upright
from mask_rcnn_tf.ops import stored_images
from mask_rcnn_tf.ops.metadata_blocks import MOST_CHUNKS
from mask_rcnn_tf.ops.orientation import displayed_shape, orient, stored_orientation
from mask_rcnn_tf.pixels import RGB

IMAGE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 33, 3), np.uint8))
XMP = '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation{} /></x:xmpmeta>'
in_graph = tf.function(stored_orientation, input_signature=[tf.TensorSpec([], tf.string)])
served = tf.function(lambda content: upright(content, RGB), input_signature=[tf.TensorSpec([], tf.string)])


def encoded(form, exif=b"", **options):
    buffer = io.BytesIO()
    image = IMAGE.convert("P") if form == "GIF" else IMAGE
    image.save(buffer, form, **({"exif": exif} if exif else {}), **options)
    return buffer.getvalue()


def jpeg(exif=None, **options):
    return encoded("JPEG", exif, **options)


def exif_block(orientation, order="<", entries=3, kind=3, count=1):
    """An EXIF block written by hand, the orientation the last of its entries."""
    rows = [struct.pack(order + "HHIHH", 0x0100 + i, 3, 1, 7, 0) for i in range(entries - 1)]
    value = struct.pack(order + ("HH" if kind == 3 else "I"), *([orientation, 0] if kind == 3 else [orientation]))
    rows.append(struct.pack(order + "HHI", 0x0112, kind, count) + value)
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return b"Exif\0\0" + mark + struct.pack(order + "IH", 8, entries) + b"".join(rows) + bytes(4)


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(block, behind=False, **options):
    """A PNG with an eXIf chunk, in front of the pixels or behind them."""
    content = encoded("PNG", **options)
    place = content.index(b"IEND") - 4 if behind else content.index(b"IDAT") - 4
    return content[:place] + chunk(b"eXIf", block.removeprefix(b"Exif\0\0")) + content[place:]


def webp(block, lossless, prefix=b""):
    """A WebP whose EXIF begins with `prefix`: some writers keep JPEG's."""
    content = encoded("WEBP", b"Exif\0\0" + prefix + block.removeprefix(b"Exif\0\0"), lossless=lossless)
    return content


FILES = {
    "JPEG": lambda block: jpeg(block),
    "progressive JPEG": lambda block: jpeg(block, progressive=True, dpi=(72, 72), comment="of a camera"),
    "PNG": png,
    "PNG, EXIF behind the pixels": lambda block: png(block, behind=True),
    "lossy WebP": lambda block: webp(block, False),
    "lossless WebP": lambda block: webp(block, True),
    "WebP with JPEG's prefix": lambda block: webp(block, True, b"Exif\0\0"),
    "WebP without EXIF": lambda block: encoded("WEBP", lossless=True),
    "GIF": lambda block: encoded("GIF"),
    "BMP": lambda block: encoded("BMP"),
}


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("kind", FILES)
def test_files_and_served_bytes_are_turned_as_pillow_turns_them(kind, order):
    for orientation in range(1, 9):
        content = FILES[kind](exif_block(orientation, order))
        stored = stored_images.inspect(content)
        found = stored_images.pixels(stored, stored.orientation)[0]
        with Image.open(io.BytesIO(content)) as image:
            image.load()  # what stands behind the pixels
            wanted = np.asarray(ImageOps.exif_transpose(image).convert("RGB"))
        said = 1 if kind in ("WebP without EXIF", "GIF", "BMP") else orientation
        assert stored.orientation == int(in_graph(content)) == said
        np.testing.assert_array_equal(served(content), found)
        assert found.shape == wanted.shape == (*displayed_shape((20, 33), stored.orientation), 3)
        np.testing.assert_allclose(found.astype(int), wanted, atol=3 if kind == "lossy WebP" else 0)


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
        for _ in range(3):  # EXIF begins behind 240 KB; fill bytes before a marker are allowed
            content = content[:2] + b"\xff\xff\xff\xed" + struct.pack(">H", 60002) + b"p" * 60000 + content[2:]
        assert in_graph(content) == orientation == Image.open(io.BytesIO(content)).getexif().get(0x0112)


@pytest.mark.parametrize("make", [jpeg, png, lambda block: png(block, True), lambda block: webp(block, True)])
def test_broken_exif_turns_nothing(make):
    blocks = [b"Exif\0\0", exif_block(9), exif_block(0), exif_block(6)[:20], exif_block(6)[:-9]]
    blocks += [b"Exif\0\0II+\0" + exif_block(6)[10:], b"Exif\0\0" + b"\xff" * 40]
    blocks += [exif_block(6)[:10] + b"\xff" * 4 + exif_block(6)[14:], exif_block(6, kind=2), exif_block(6, kind=99)]
    for block in blocks:
        assert in_graph(make(block)) == 1
    assert in_graph(make(exif_block(6, kind=4))) == in_graph(make(exif_block(6, ">", kind=4))) == 6  # a long number


def test_a_webp_says_whether_it_has_exif():
    content = bytearray(webp(exif_block(6), True))
    content[20] &= ~8
    with Image.open(io.BytesIO(bytes(content))) as image:
        assert image.getexif().get(0x0112) is None
    assert in_graph(bytes(content)) == 1


@pytest.mark.parametrize("said", ['="6"', ">6<"])
def test_xmp_counts_where_exif_says_nothing(said):
    xmp, tags = XMP.format(said).encode(), Image.Exif()
    tags[0x010F] = "a maker of cameras"
    text = b"XML:com.adobe.xmp\0\0\0\0\0" + xmp
    content = encoded("PNG")
    place = content.index(b"IDAT") - 4
    files = [jpeg(tags.tobytes(), xmp=xmp), jpeg(xmp=xmp + b"\xff\xfe"), encoded("WEBP", xmp=xmp)]
    files.append(content[:place] + chunk(b"iTXt", text) + content[place:])
    for content in files:
        assert in_graph(content) == 6 == Image.open(io.BytesIO(content)).getexif().get(0x0112)
    assert in_graph(jpeg(exif_block(3), xmp=xmp)) == 3
    assert in_graph(jpeg(xmp=xmp.replace(b"6", b"9"))) == in_graph(jpeg(xmp=b"7")) == 1


def test_what_is_no_image_or_damaged():
    assert all(
        in_graph(content) == 1
        for content in (
            b"",
            b"\xff",
            b"\xff\xd8\xff",
            b"\xff\xd8\xff\xe1\0\0",
            b"GIF89a",
            b"\x89PNG\r\n\x1a\n",
            b"RIFF",
        )
    )
    files, random = [jpeg(exif_block(6)), png(exif_block(6)), webp(exif_block(6), True)], np.random.default_rng(0)
    for number in range(600):
        damaged = bytearray(files[number % 3])
        damaged[int(random.integers(2, 120))] = int(random.integers(256))
        assert 1 <= int(in_graph(bytes(damaged[: int(random.integers(1, len(damaged)))]))) <= 8
        assert 1 <= int(in_graph(bytes(damaged))) <= 8


def test_many_and_wrong_chunks_end():
    """A file of millions of empty chunks is left after 2 ** 15 of them."""
    front, behind = b"\x89PNG\r\n\x1a\n", chunk(b"eXIf", exif_block(6)[6:])
    assert in_graph(front + chunk(b"IDAT", b"") * 1000 + behind) == 6
    assert in_graph(front + chunk(b"IDAT", b"") * MOST_CHUNKS + behind) == 1
    for length in (b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\x3f\xff\xff\xff", bytes(4)):
        assert in_graph(front + (length + b"IDAT") * 100) == 1
        assert in_graph(b"RIFF\0\0\0\0WEBPVP8X" + b"\x0a\0\0\0\x0c" + bytes(9) + (b"ABCD" + length[::-1]) * 100) == 1
    assert in_graph(b"\xff\xd8\xff\xe0\0\2" + b"\xff\xe0\0\2" * 1000 + jpeg(exif_block(6))[2:]) == 6
    assert in_graph(b"\xff\xd8\xff\xe0\0\0" + jpeg(exif_block(6))[2:]) == 1
