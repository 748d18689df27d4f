"""A folder as it comes from real disks: 200 files of every mode and format, tiny, long and huge, and broken ones."""

import io
import itertools
import os
import pathlib
import struct

import numpy as np
from malformed_images import encode, pixels, png, png_of_16_bits
from PIL import Image

READ, NAMED, EITHER, PASSED_OVER = "read", "named", "either", "passed over"
PNG_MODES = ("1", "L", "LA", "P", "RGB", "RGBA")
TIFF_MODES = ("1", "L", "P", "RGB", "RGBA", "CMYK")
SIDES = ((1, 1), (2, 1), (1, 5000), (5000, 1), (10, 2000), (60, 3000))
FORMS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF")
LARGE = ((1000, 1000), (3000, 4000), (4000, 6000), (7746, 7746))  # 1, 12, 24 and 60 megapixels
OTHERS = {
    "a.heic": b"\0\0\0\x18ftypheic" + bytes(9),
    "a.avif": b"\0\0\0\x1cftypavif" + bytes(9),
    "a.jp2": b"\0\0\0\x0cjP  \r\n\x87\n",
    "a.fits": b"SIMPLE  =",
    "a.psd": b"8BPS",
    "a.pdf": b"%PDF-1.7",
    "notes.txt": b"text",
}


def odd_pictures() -> dict[str, tuple[bytes, str]]:
    """{name: (bytes, what must become of it)}."""
    random = np.random.default_rng(0)
    picture = pixels(random, 60, 80)
    whole = _modes(picture) | _turned(picture) | _sides(random) | _animated(random)
    return (
        {name: (content, READ) for name, content in (whole | _large(random)).items()}
        | _broken(whole, random)
        | {name: (content, PASSED_OVER) for name, content in OTHERS.items()}
    )


def write(folder: pathlib.Path) -> dict[str, str]:
    """Writes them, and what has no content: a pipe, a link to nothing. Returns what must become of each."""
    wanted = {}
    for name, (content, outcome) in odd_pictures().items():
        (folder / name).write_bytes(content)
        wanted[name] = outcome
    os.mkfifo(folder / "pipe.jpg")
    (folder / "lost.jpg").symlink_to(folder / "nowhere")
    return wanted | {"pipe.jpg": PASSED_OVER, "lost.jpg": NAMED}


def _saved(image: Image.Image, form: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def _modes(picture):
    made = {f"{mode}.png": encode(picture, "PNG", mode) for mode in PNG_MODES}
    made |= {f"{mode}.jpg": encode(picture, "JPEG", mode) for mode in ("L", "RGB", "CMYK")}
    made |= {f"{mode}.tif": encode(picture, "TIFF", mode) for mode in TIFF_MODES}
    made |= {f"{mode}.bmp": encode(picture, "BMP", mode) for mode in ("1", "L", "P", "RGB")}
    made |= {f"{mode}.webp": encode(picture, "WEBP", mode) for mode in ("RGB", "RGBA")}
    made |= {f"{mode}.gif": encode(picture, "GIF", mode) for mode in ("L", "P")}
    made["progressive.jpg"] = encode(picture, "JPEG", progressive=True, quality=30)
    made["lossless.webp"] = encode(picture, "WEBP", lossless=True)
    made["transparent.png"] = encode(picture, "PNG", "P", transparency=3)
    made["transparent_table.png"] = encode(picture, "PNG", "P", transparency=bytes(range(200)))
    made["transparent.gif"] = encode(picture, "GIF", "P", transparency=3)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"):
        made[f"{compression}.tif"] = encode(picture, "TIFF", compression=compression)
    deep = picture[..., :1].astype(np.uint16) * 16
    made["deep.tif"] = _saved(Image.fromarray(deep[..., 0]), "TIFF")
    made |= {f"deep{n}.png": png_of_16_bits(np.repeat(deep, n, -1)) for n in (1, 2, 3, 4)}
    made["names ü 空.png"] = made["two\nlines.png"] = made["RGB.png"]
    made["none"], made["RGB_is_a_png.jpg"] = made["RGB.jpg"], made["RGB.png"]
    return made


def _turned(picture):
    made, exif = {}, Image.Exif()
    for form, orientation in itertools.product(("JPEG", "PNG", "WEBP"), range(1, 10)):  # 9 is no orientation
        exif[0x0112] = orientation
        made[f"turned{orientation}.{form.lower()}"] = encode(picture, form, exif=exif)
    block = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0"
    plain = encode(picture, "JPEG")
    made["damaged_exif.jpg"] = plain[:2] + b"\xff\xe1" + struct.pack(">H", len(block) + 2) + block + plain[2:]
    return made


def _sides(random):
    return {
        f"{height}x{width}.{form.lower()}": encode(pixels(random, height, width), form)
        for form, (height, width) in itertools.product(FORMS, SIDES)
    }


def _animated(random):
    frames = [Image.fromarray(pixels(random, 60, 80), "RGBA").convert("RGB") for _ in range(3)]
    options = {"save_all": True, "append_images": frames[1:]}
    return {f"animated.{form.lower()}": _saved(frames[0], form, **options) for form in ("GIF", "WEBP", "TIFF", "PNG")}


def _large(random):
    scene, made = Image.fromarray(pixels(random, 60, 80), "RGBA"), {}
    for number, (height, width) in enumerate(LARGE):
        image = scene.resize((width, height), Image.Resampling.BICUBIC)
        made[f"large{number}.jpg"] = _saved(image.convert("RGB"), "JPEG")
        made[f"large{number}.png"] = _saved(image, "PNG", compress_level=1)
    made["large_cmyk.jpg"] = _saved(image.convert("CMYK"), "JPEG")
    made["large_grey.tif"] = _saved(Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 200), "TIFF")
    made["large_palette.bmp"] = _saved(image.convert("RGB").convert("P"), "BMP")
    return made


def _broken(whole, random):
    made = {f"empty.{form.lower()}": (b"", NAMED) for form in FORMS}
    made |= {f"text.{form.lower()}": (b"This is no image.", NAMED) for form in FORMS}
    for form in FORMS:
        ending = {"JPEG": "jpg", "TIFF": "tif"}.get(form, form.lower())
        content = whole["P.gif" if form == "GIF" else f"RGB.{ending}"]
        for share in (0.02, 0.2, 0.4, 0.6, 0.8):
            outcome = EITHER if form == "GIF" else NAMED
            made[f"cut{share}.{form.lower()}"] = content[: int(len(content) * share)], outcome
        for number in range(4):
            damaged = bytearray(content)
            for place in random.integers(30, len(content), 10):
                damaged[place] = random.integers(256)
            made[f"damaged{number}.{form.lower()}"] = bytes(damaged), EITHER
    for height, width in ((23000, 23000), (12000, 12000), (9500, 10000), (70000, 1), (0, 0)):
        made[f"says_{height}x{width}.png"] = png(height, width, 8, 2, b"\0" * 50), NAMED
    return made
