"""What nobody would train on, sent to a SavedModel: a clear error or a sane answer, and the process lives on."""

import collections
import io
import json
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import EITHER, ERROR, KINDS, encode, pixels, png_of_16_bits, requests, write
from PIL import Image, ImageOps
from tiny import finding_model

from mask_rcnn_tf import predict_images

CHILD = pathlib.Path(__file__).parents[1] / "answer_requests.py"
GROWTH_MB = 64  # of the process, from when every kind of request was answered once
# An error that names what is wrong with the request. Others are failures somewhere in the graph.
CLEAR = re.compile(
    r"Unknown image file format|Input is empty|[Ii]nvalid (PNG|JPEG|GIF)|Failed to decode (WebP|JXL)"
    r"|WebP Animation must|Input size should match|Total possible pixel bytes|(Width|Height) must be"
    r"|Number of channels inherent in the image|B, h, w of the images are|is not compatible with expected shape"
    r"|expected to be a uint8 tensor but|the BMP has a palette|the first frame of the GIF"
)


def answers(saved_model, good, paths, log):
    """Lines of `answer_requests.py`: of the good image, of each request, and of the good image again."""
    # -I: neither the checkout nor PYTHONPATH is searched.
    command = [sys.executable, "-I", str(CHILD), str(saved_model), str(good), *map(str, paths)]
    with log.open("w") as stderr:
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=stderr, text=True, check=False)
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"ended with {done.returncode} after {lines[-1:]}: {log.read_text()[-2000:]}"
    return lines


@pytest.mark.parametrize("count", [100, pytest.param(500, marks=pytest.mark.slow)])
def test_malformed_requests(served_models, tmp_path, count, record_property):
    good = tmp_path / "good.png"
    good.write_bytes(encode(pixels(np.random.default_rng(5), 90, 120), "PNG"))
    (tmp_path / "requests").mkdir()
    made = requests(count, cheap=count < 500)
    paths = write(made, tmp_path / "requests")
    first, *lines, last = answers(served_models / "mask_rcnn" / "1", good, paths, tmp_path / "log")
    assert len(lines) == len(made) and first["count"] > 0
    assert last["detections"] == first["detections"]
    kinds = collections.defaultdict(collections.Counter)
    for request, line in zip(made, lines, strict=True):
        assert ("error" in line) == (request.wanted == ERROR) or request.wanted == EITHER, (request.kind, line)
        assert "error" not in line or CLEAR.search(line["error"]), (request.kind, line["error"])
        kinds[request.kind][line["error"].split("\n\t")[0].split("\n")[-1] if "error" in line else "answered"] += 1
    growth = last["rss_mb"] - lines[99]["rss_mb"]
    record_property("growth_mb", growth)
    record_property("answers", json.dumps(kinds))
    assert growth < GROWTH_MB


def test_requests_are_the_same_for_the_same_seed():
    first, second, other = (requests(60, seed) for seed in (1, 1, 2))
    for ours, theirs in zip(first, second, strict=True):
        assert ours.kind == theirs.kind and np.array_equal(ours.content, theirs.content)
    assert any(not np.array_equal(ours.content, theirs.content) for ours, theirs in zip(first, other, strict=True))
    assert {request.kind for request in requests(len(KINDS), cheap=True)} < set(KINDS)


def images_and_pixels():
    """{name: (file, uint8 [96, 128, 3] that it shows)}; Pillow says what, but of 16 bits, which it clips."""
    random = np.random.default_rng(7)
    forms = [("JPEG", mode) for mode in ("RGB", "L", "CMYK")]
    forms += [("PNG", mode) for mode in ("L", "LA", "P", "1", "RGBA")]
    forms += [("WEBP", "RGB"), ("WEBP", "RGBA"), ("GIF", "P"), ("BMP", "RGB"), ("BMP", "L")]
    made = {}
    for form, mode in forms:
        content = encode(pixels(random, 96, 128), form, mode)
        made[f"{form} {mode}"] = content, np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    for orientation in (3, 6):
        tags = Image.Exif()
        tags[0x0112] = orientation
        content = encode(pixels(random, 96, 128) if orientation < 5 else pixels(random, 128, 96), "JPEG", exif=tags)
        shown = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
        made[f"JPEG turned {orientation}"] = content, np.asarray(shown)
    for channels in (1, 2, 3, 4):
        deep = pixels(random, 96, 128, channels, 65536)
        colours = deep[..., :3] if channels > 2 else np.repeat(deep[..., :1], 3, -1)
        made[f"PNG 16 bits {channels}"] = png_of_16_bits(deep), (colours >> 8).astype(np.uint8)
    return made


def test_rare_images_are_seen_as_pillow_sees_them(served_signatures):
    """The SavedModel on the files finds what the Keras model finds on the pixels."""
    model, made = finding_model(), images_and_pixels()
    outputs = served_signatures["serving_bytes"](image_bytes=tf.constant([content for content, _ in made.values()]))
    expected = predict_images(model, [shown for _, shown in made.values()])
    for index, (name, theirs) in enumerate(zip(made, expected, strict=True)):
        count = int(outputs["num_detections"][index])
        assert count == len(theirs["detection_scores"]) > 0, name
        for output, tolerance in (("boxes", 1e-2), ("scores", 1e-4), ("masks", 1e-3)):
            ours = outputs[f"detection_{output}"][index][:count]
            np.testing.assert_allclose(ours, theirs[f"detection_{output}"], atol=tolerance, err_msg=name)
