"""Image files as cameras, microscopes and programs write them, and seeded damage to them."""

import io
import struct
import warnings

import numpy as np
from malformed_images import encode, pixels, png_of_16_bits
from PIL import Image

SHAPE = (24, 36)  # (h, w) of every image, as stored
FORMS = (
    ("JPEG", "RGB", {}),
    ("JPEG", "L", {"progressive": True}),
    ("JPEG", "RGB", {"exif": 6}),
    ("PNG", "RGB", {}),
    ("PNG", "P", {}),
    ("PNG", "RGBA", {"exif": 3}),
    ("PNG", "16 bits", {}),
    ("GIF", "P", {}),
    ("BMP", "RGB", {}),
    ("BMP", "P", {}),
    ("TIFF", "RGB", {}),
    ("TIFF", "L", {"compression": "tiff_lzw"}),
    ("TIFF", "RGB", {"compression": "tiff_adobe_deflate", "exif": 8}),
    ("TIFF", "RGB", {"compression": "jpeg"}),
    ("TIFF", "16 bits", {}),
    ("WEBP", "RGB", {}),
    ("WEBP", "RGBA", {"lossless": True, "exif": 5}),
)
CHANNELS = 5
BAND_FORMS = (  # 5 channels of 16 bits
    ("npy", "C", {}),
    ("npy", "F", {}),
    ("pages", "", {}),
    ("pages", "lzw", {"compression": "tiff_lzw"}),
    ("bands", "", {}),
    ("bands", "deflate", {"compress": "deflate", "interleave": "pixel"}),
    ("bands", "tiled", {"compress": "lzw", "interleave": "band", "tiled": True, "blockxsize": 16, "blockysize": 16}),
)
FLAVOURS = ("flip", "noise", "cut", "insert", "repeat", "number", "header", "splice")


def whole_files(random):
    """{name: bytes}, one of each of `FORMS`."""
    return {f"{form}_{mode}_{number}".replace(" ", ""): _file(random, form, mode, dict(options))
            for number, (form, mode, options) in enumerate(FORMS)}  # fmt: skip


def whole_band_files(random):
    """{name: bytes}, one of each of `BAND_FORMS`."""
    return {f"{form}_{mode}_{number}.{'npy' if form == 'npy' else 'tif'}": _band_file(random, form, mode, options)
            for number, (form, mode, options) in enumerate(BAND_FORMS)}  # fmt: skip


def _band_file(random, form, mode, options):
    levels = pixels(random, *SHAPE, CHANNELS, 65536)
    buffer = io.BytesIO()
    if form == "npy":
        np.save(buffer, np.asarray(levels, order=mode))
    elif form == "pages":
        first, *others = (Image.fromarray(np.ascontiguousarray(page)) for page in np.moveaxis(levels, -1, 0))
        first.save(buffer, "TIFF", save_all=True, append_images=others, **options)
    else:
        import rasterio.errors
        import rasterio.io

        profile = {"driver": "GTiff", "dtype": "uint16", "count": CHANNELS, "height": SHAPE[0], "width": SHAPE[1]}
        with rasterio.io.MemoryFile() as memory, warnings.catch_warnings():
            warnings.simplefilter("ignore", rasterio.errors.NotGeoreferencedWarning)  # as an image of a camera is
            with memory.open(**profile, **options) as file:
                file.write(np.moveaxis(levels, -1, 0))
            return memory.read()
    return buffer.getvalue()


def _file(random, form, mode, options):
    if mode == "16 bits":
        deep = pixels(random, *SHAPE, 1, 65536)
        buffer = io.BytesIO()
        Image.fromarray(deep[..., 0]).save(buffer, "TIFF")
        return buffer.getvalue() if form == "TIFF" else png_of_16_bits(deep)
    if "exif" in options:
        tags = Image.Exif()
        tags[0x0112], tags[0x010F] = options.pop("exif"), "maker"
        options["exif"] = tags.tobytes()
    return encode(pixels(random, *SHAPE), form, mode, **options)


def mutations(count, seed=0, make=whole_files):
    """(name, bytes) of `count` files: the whole ones first, then damaged ones, all kinds of damage in turn."""
    random = np.random.default_rng(seed)
    whole = list(make(random).items())
    yield from whole[:count]
    for number in range(count - len(whole)):
        name, content = whole[number % len(whole)]
        flavour = FLAVOURS[number // len(whole) % len(FLAVOURS)]
        yield f"{flavour}_{name}", damage(random, bytearray(content), flavour, whole)


def damage(random, content, flavour, whole):
    """One kind of damage to the bytes of a file."""
    size = len(content)
    at = int(random.integers(size))
    if flavour == "flip":
        for place in random.integers(0, size, 1 + int(random.integers(8))):
            content[place] ^= 1 << int(random.integers(8))
    elif flavour == "noise":
        content[at : at + 20] = random.bytes(len(content[at : at + 20]))
    elif flavour == "cut":
        del content[at:]
    elif flavour == "insert":
        content[at:at] = random.bytes(int(random.integers(1, 9)))
    elif flavour == "repeat":
        content[at:at] = content[at : at + 64] * 3
    elif flavour == "number":  # sizes, counts and places are whole numbers
        value = int(random.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**32 - 1]))
        content[at : at + 4] = struct.pack(">I" if random.integers(2) else "<I", value)
    elif flavour == "header":
        content[int(random.integers(min(size, 64)))] = int(random.integers(256))
    else:  # the end of another file
        other = whole[int(random.integers(len(whole)))][1]
        content[at:] = other[int(random.integers(len(other))) :]
    return bytes(content)
