"""Requests that a server may get and nobody would train on: broken, huge, tiny and rare images, and wrong tensors.

`requests(count, seed)` goes through every kind in turn, each time with other random content, the same for the same
seed. A request is what one client sends: the bytes of image files, or a tensor.
"""

import base64
import dataclasses
import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image

DETECTIONS, ERROR, EITHER = "detections", "error", "either"


@dataclasses.dataclass(frozen=True)
class Request:
    """One request: `kind`, a key of `KINDS`; `content`; what must come back: `wanted`.

    `content` is bytes (one image file to serving_bytes), an array (to serving_default as it is), or a nested list of
    bytes (to serving_bytes, as a string tensor of that rank).
    """

    kind: str
    content: bytes | np.ndarray | list
    wanted: str


def requests(count: int, seed: int = 0, cheap: bool = False) -> list[Request]:
    """`count` requests of all kinds in turn; `cheap`: without those that take seconds and hundreds of MB."""
    random = np.random.default_rng(seed)
    names = [name for name in KINDS if not (cheap and name in DEAR)]
    made = []
    for number in range(count):
        name = names[number % len(names)]
        make, wanted = KINDS[name]
        made.append(Request(name, make(random), wanted))
    return made


def write(requests: list[Request], folder: pathlib.Path) -> list[pathlib.Path]:
    """Writes requests as files, so that another process reads them: `.img`, `.npy`, or `.json` of base64 strings."""
    paths = []
    for number, request in enumerate(requests):
        path = folder / f"{number:04d}_{request.kind}"
        if isinstance(request.content, bytes):
            path = path.with_suffix(".img")
            path.write_bytes(request.content)
        elif isinstance(request.content, np.ndarray):
            path = path.with_suffix(".npy")
            np.save(path, request.content)
        else:
            path = path.with_suffix(".json")
            path.write_text(json.dumps(_as_base64(request.content)))
        paths.append(path)
    return paths


def _as_base64(value):
    return [_as_base64(part) for part in value] if isinstance(value, list) else base64.b64encode(value).decode()


def pixels(random, height=None, width=None, channels=4, levels=256):
    """Squares on noise, uint8 or uint16 [height, width, channels], of random size where none is given."""
    height, width = height or int(random.integers(20, 120)), width or int(random.integers(20, 120))
    image = random.integers(0, levels // 8, (height, width, channels))
    for _ in range(3):
        top, left = random.integers(0, [height, width])
        image[top : top + height // 3 + 1, left : left + width // 3 + 1] += random.integers(
            0, 7 * levels // 8, channels
        )
    return np.minimum(image, levels - 1).astype(np.uint8 if levels == 256 else np.uint16)


def encode(array, form, mode="RGB", **options):
    """A file of [h, w, 4] uint8 in a mode and format of Pillow."""
    image = Image.fromarray(array, "RGBA")
    if mode in ("L", "P", "1", "CMYK"):
        image = image.convert("RGB")
    buffer = io.BytesIO()
    image.convert(mode).save(buffer, form, **options)
    return buffer.getvalue()


def _file(form, mode="RGB", height=None, width=None, **options):
    return lambda random: encode(pixels(random, height, width), form, mode, **options)


def _animation(form, mode="RGB", frames=4):
    def make(random):
        images = [Image.fromarray(pixels(random, 60, 80), "RGBA").convert(mode) for _ in range(frames)]
        buffer = io.BytesIO()
        images[0].save(buffer, form, save_all=True, append_images=images[1:], duration=50)
        return buffer.getvalue()

    return make


def png(height, width, depth, colour, data):
    """A PNG with any header: `data` is its deflated rows, whether they fit or not."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    parts = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def png_of_16_bits(array):
    """uint16 [h, w, C], C 1 to 4, as a PNG; Pillow writes only one channel of 16 bits."""
    colour = {1: 0, 2: 4, 3: 2, 4: 6}[array.shape[-1]]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in array)
    return png(*array.shape[:2], 16, colour, zlib.compress(rows))


def _deep(channels):
    return lambda random: png_of_16_bits(pixels(random, channels=channels, levels=65536))


def _cut(make):
    """The file without its end."""

    def cut(random):
        content = make(random)
        return content[: int(len(content) * random.uniform(0.1, 0.9))]

    return cut


def _damaged(make, count=8):
    """The file with random bytes after its header."""

    def damage(random):
        content = bytearray(make(random))
        for place in random.integers(min(30, len(content) - 1), len(content), count):
            content[place] = random.integers(256)
        return bytes(content)

    return damage


def _noise(start=b"", length=400):
    return lambda random: start + random.bytes(length)


def _jpeg_that_says(height, width):
    def make(random):
        content = bytearray(encode(pixels(random, 16, 16), "JPEG"))
        frame = content.index(b"\xff\xc0")
        content[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
        return bytes(content)

    return make


def _gif_that_says(height, width):
    def make(random):
        content = bytearray(encode(pixels(random, 16, 16), "GIF"))
        size = struct.pack("<HH", width, height)
        frame = content.index(b",", 13 + 3 * 2 ** ((content[10] & 7) + 1))
        content[6:10] = content[frame + 5 : frame + 9] = size
        return bytes(content)

    return make


def _bmp_that_says(height, width):
    def make(random):
        content = bytearray(encode(pixels(random, 16, 16), "BMP"))
        content[18:26] = struct.pack("<ii", width, height)
        return bytes(content)

    return make


def _webp_that_says(side):
    """An extended WebP whose canvas is `side` x `side`, the file format's largest being 2**24."""

    def make(random):
        content = bytearray(encode(pixels(random, 16, 16), "WEBP", "RGBA", exif=b"Exif\0\0"))
        assert content[12:16] == b"VP8X"
        content[24:30] = struct.pack("<I", side - 1)[:3] * 2
        return bytes(content)

    return make


def _bomb(height, width):
    """A PNG of one colour: some kilobytes that inflate to height * width * 3 bytes."""

    def make(random):
        row, deflate = b"\0" + bytes(random.bytes(1)) * (3 * width), zlib.compressobj()
        return png(height, width, 8, 2, b"".join(deflate.compress(row) for _ in range(height)) + deflate.flush())

    return make


def _tensor(*shape, dtype=np.uint8):
    return lambda random: random.integers(0, 256, shape).astype(dtype)


def _batch(*makers):
    return lambda random: [make(random) for make in makers]


DEAR = ("jpeg_says_12000", "png_bomb_square", "png_bomb_column", "png_bomb_line", "images_long")
JPEG, PNG, WEBP, GIF = _file("JPEG"), _file("PNG"), _file("WEBP"), _file("GIF")

# Kind -> what makes its content from a random generator, and what must come back.
KINDS = {
    # Images that are rare but right.
    "jpeg": (JPEG, DETECTIONS),
    "jpeg_grey": (_file("JPEG", "L"), DETECTIONS),
    "jpeg_cmyk": (_file("JPEG", "CMYK"), DETECTIONS),
    "jpeg_progressive": (_file("JPEG", progressive=True), DETECTIONS),
    "jpeg_1x1": (_file("JPEG", height=1, width=1), DETECTIONS),
    "jpeg_1x20000": (_file("JPEG", height=1, width=20000), DETECTIONS),
    "png": (PNG, DETECTIONS),
    "png_grey": (_file("PNG", "L"), DETECTIONS),
    "png_grey_alpha": (_file("PNG", "LA"), DETECTIONS),
    "png_palette": (_file("PNG", "P"), DETECTIONS),
    "png_palette_transparent": (_file("PNG", "P", transparency=3), DETECTIONS),
    "png_rgba": (_file("PNG", "RGBA"), DETECTIONS),
    "png_bitmap": (_file("PNG", "1"), DETECTIONS),
    "png_16_bit_grey": (_deep(1), DETECTIONS),
    "png_16_bit_grey_alpha": (_deep(2), DETECTIONS),
    "png_16_bit_rgb": (_deep(3), DETECTIONS),
    "png_16_bit_rgba": (_deep(4), DETECTIONS),
    "png_1x1": (_file("PNG", height=1, width=1), DETECTIONS),
    "png_20000x1": (_file("PNG", height=20000, width=1), DETECTIONS),
    "png_1x20000": (_file("PNG", height=1, width=20000), DETECTIONS),
    "png_2x1": (_file("PNG", height=2, width=1), DETECTIONS),
    "webp": (WEBP, DETECTIONS),
    "webp_lossless": (_file("WEBP", lossless=True), DETECTIONS),
    "webp_rgba": (_file("WEBP", "RGBA"), DETECTIONS),
    "webp_rgba_lossless": (_file("WEBP", "RGBA", lossless=True), DETECTIONS),
    "webp_animated": (_animation("WEBP"), ERROR),
    "webp_animated_rgba": (_animation("WEBP", "RGBA"), DETECTIONS),
    "webp_1x1": (_file("WEBP", height=1, width=1), DETECTIONS),
    "gif": (GIF, DETECTIONS),
    "gif_animated": (_animation("GIF"), DETECTIONS),
    "gif_1x1": (_file("GIF", height=1, width=1), DETECTIONS),
    "bmp": (_file("BMP"), DETECTIONS),
    "bmp_grey": (_file("BMP", "L"), DETECTIONS),
    "bmp_palette": (_file("BMP", "P"), ERROR),
    # Files that are none, or not whole.
    "empty": (lambda random: b"", ERROR),
    "one_byte": (_noise(length=1), ERROR),
    "text": (lambda random: b"This is not an image.\n" * int(random.integers(1, 50)), ERROR),
    "noise": (_noise(), ERROR),
    "zeros": (lambda random: bytes(1000), ERROR),
    "tiff": (_file("TIFF"), ERROR),
    "jpeg_magic": (_noise(b"\xff\xd8\xff\xe0"), ERROR),
    "jpeg_magic_alone": (_noise(b"\xff\xd8\xff", 0), ERROR),
    "png_magic": (_noise(b"\x89PNG\r\n\x1a\n"), ERROR),
    "png_magic_alone": (_noise(b"\x89PNG\r\n\x1a\n", 0), ERROR),
    "gif_magic": (_noise(b"GIF89a"), ERROR),
    "bmp_magic": (_noise(b"BM"), ERROR),
    "webp_magic": (_noise(b"RIFF\x90\x01\x00\x00WEBPVP8 "), ERROR),
    "webp_magic_alone": (_noise(b"RIFF\x90\x01\x00\x00WEBP", 0), ERROR),
    "riff_alone": (_noise(b"RIFF", 0), ERROR),
    "jxl_magic": (_noise(b"\x00\x00\x00\x0cJXL \r\n\x87\n"), ERROR),
    "jpeg_cut": (_cut(JPEG), ERROR),
    "png_cut": (_cut(PNG), ERROR),
    "webp_cut": (_cut(WEBP), ERROR),
    "gif_cut": (_cut(GIF), EITHER),
    "gif_animated_cut": (_cut(_animation("GIF")), EITHER),
    "webp_animated_cut": (_cut(_animation("WEBP", "RGBA")), EITHER),
    "bmp_cut": (_cut(_file("BMP")), ERROR),
    "jpeg_damaged": (_damaged(JPEG), EITHER),
    "png_damaged": (_damaged(PNG), EITHER),
    "webp_damaged": (_damaged(WEBP), EITHER),
    "gif_damaged": (_damaged(GIF), EITHER),
    "bmp_damaged": (_damaged(_file("BMP")), EITHER),
    # Files that say they are larger than they are, and files that are larger than they look.
    "png_says_0x0": (lambda random: png(0, 0, 8, 2, zlib.compress(b"")), ERROR),
    "png_says_2g": (lambda random: png(2**31 - 1, 2**31 - 1, 8, 2, random.bytes(30)), ERROR),
    "png_says_20000": (lambda random: png(20000, 20000, 16, 6, random.bytes(30)), ERROR),
    "png_says_12000": (lambda random: png(12000, 12000, 8, 2, random.bytes(30)), ERROR),
    "jpeg_says_65500": (_jpeg_that_says(65500, 65500), ERROR),
    "jpeg_says_12000": (_jpeg_that_says(12000, 12000), ERROR),
    "jpeg_says_0": (_jpeg_that_says(0, 0), ERROR),
    "gif_says_65535": (_gif_that_says(65535, 65535), ERROR),
    "gif_says_0": (_gif_that_says(0, 0), ERROR),
    "bmp_says_2g": (_bmp_that_says(2**31 - 1, 2**31 - 1), ERROR),
    "bmp_says_negative": (_bmp_that_says(-(2**31), -5), ERROR),
    "bmp_says_0": (_bmp_that_says(0, 0), EITHER),
    "webp_says_16m": (_webp_that_says(2**24), ERROR),
    "webp_says_16000": (_webp_that_says(16000), ERROR),
    "png_bomb_square": (_bomb(12000, 12000), ERROR),
    "png_bomb_line": (_bomb(1, 30_000_000), ERROR),
    "png_bomb_column": (_bomb(10_000_000, 1), ERROR),
    # Tensors of files.
    "bytes_batch_of_0": (lambda random: [], DETECTIONS),
    "bytes_batch": (_batch(JPEG, PNG, WEBP), DETECTIONS),
    "bytes_batch_with_a_bad_one": (_batch(JPEG, _noise(), PNG), ERROR),
    "bytes_rank_2": (lambda random: [[JPEG(random)]], ERROR),
    # Tensors of pixels.
    "images": (_tensor(1, 60, 80, 3), DETECTIONS),
    "images_1x1": (_tensor(1, 1, 1, 3), DETECTIONS),
    "images_20000x1": (_tensor(1, 20000, 1, 3), DETECTIONS),
    "images_1x20000": (_tensor(1, 1, 20000, 3), DETECTIONS),
    "images_batch_of_0": (_tensor(0, 60, 80, 3), ERROR),
    "images_height_0": (_tensor(1, 0, 80, 3), ERROR),
    "images_width_0": (_tensor(1, 60, 0, 3), ERROR),
    "images_of_nothing": (_tensor(0, 0, 0, 3), ERROR),
    "images_long": (_tensor(1, 1, 3_000_000, 3), ERROR),
    "images_rank_3": (_tensor(60, 80, 3), ERROR),
    "images_rank_5": (_tensor(1, 1, 60, 80, 3), ERROR),
    "images_rank_0": (_tensor(), ERROR),
    "images_4_channels": (_tensor(1, 60, 80, 4), ERROR),
    "images_1_channel": (_tensor(1, 60, 80, 1), ERROR),
    "images_0_channels": (_tensor(1, 60, 80, 0), ERROR),
    "images_float32": (_tensor(1, 60, 80, 3, dtype=np.float32), ERROR),
    "images_int32": (_tensor(1, 60, 80, 3, dtype=np.int32), ERROR),
    "images_bool": (_tensor(1, 60, 80, 3, dtype=bool), ERROR),
}


def tiff_of(bits, dtype, photometric):
    """An uncompressed TIFF of zeros, 2 x 2, by hand: Pillow writes neither 16 bits of colour nor an inverted grey."""
    channels = len(bits)
    extra = 8 + 2 + 12 * 9 + 4  # where what does not fit into an entry begins
    depth = (258, 3, channels, bits[0] if channels == 1 else extra)
    rows = [(256, 3, 1, 2), (257, 3, 1, 2), depth, (259, 3, 1, 1), (262, 3, 1, photometric), (273, 4, 1, extra + 8)]
    rows += [(277, 3, 1, channels), (279, 4, 1, sum(bits) // 2), (339, 3, 1, dtype)]
    head = b"II*\0" + struct.pack("<IH", 8, 9) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)
    return head + struct.pack("<4H", *bits, *(0,) * (4 - channels)) + bytes(sum(bits) // 2)
