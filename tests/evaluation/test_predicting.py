"""Predicting files: each by itself, written as it comes."""

import io
import json
import os
import pathlib

import numpy as np
import pytest
import tensorflow as tf
from malformed_images import encode, pixels, png, png_of_16_bits
from PIL import Image

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import predicting
from mask_rcnn_tf.evaluation.image_files import find_images, list_images

CONFIG = ModelConfig(num_classes=1, category_ids=(7,))


def find_all(images):
    """One detection: the whole image."""
    (image,) = images
    if image.shape[1] == 13:
        raise tf.errors.ResourceExhaustedError(None, None, "OOM when allocating\nmore")
    box = np.array([[0, 0, *image.shape[:2]]], np.float32)
    found = {"detection_boxes": box, "detection_scores": np.ones(1), "detection_classes": np.ones(1, np.int32)}
    return [found | {"detection_masks": np.ones((1, 28, 28), np.float32)}]


def odd_images():
    """{name: (bytes, (h, w) as people see it; None where it is not read)}."""
    random, exif = np.random.default_rng(0), Image.Exif()
    exif[0x0112] = 6
    picture = pixels(random, 30, 40)
    made = {f"{mode}.png": (encode(picture, "PNG", mode), (30, 40)) for mode in ("RGB", "RGBA", "L", "LA", "P", "1")}
    made |= {f"{mode}.jpg": (encode(picture, "JPEG", mode), (30, 40)) for mode in ("RGB", "L", "CMYK")}
    made |= {f"{mode}.tif": (encode(picture, "TIFF", mode), (30, 40)) for mode in ("RGB", "RGBA", "L", "P", "CMYK")}
    made |= {f"{form}.{form.lower()}": (encode(picture, form), (30, 40)) for form in ("BMP", "GIF", "WEBP")}
    made["turned.jpg"] = encode(picture, "JPEG", exif=exif), (40, 30)
    made["deep.png"] = png_of_16_bits(pixels(random, 30, 40, 1, 4096)), (30, 40)
    for height, width in ((1, 1), (10, 2000), (1, 5000), (5000, 1), (60, 3000)):
        made[f"{height}x{width}.png"] = encode(pixels(random, height, width), "PNG"), (height, width)
    made["bomb.png"] = png(23000, 23000, 8, 2, b"\0" * 50), None
    for name, content in {"cut.jpg": made["RGB.jpg"][0][:400], "empty.jpg": b"", "text.jpg": b"text"}.items():
        made[name] = content, None
    made["memory.png"] = encode(pixels(random, 9, 13), "PNG"), None
    return made


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    folder = tmp_path_factory.mktemp("odd")
    for name, (content, _) in odd_images().items():
        (folder / name).write_bytes(content)
    return folder


def test_every_file_is_in_the_results_or_named(odd, tmp_path):
    drawn, wanted = [], {name: shape for name, (_, shape) in odd_images().items()}

    def draw(file, image, results):
        drawn.append(file.file_name)
        if file.file_name == "L.png":
            raise OSError("no space for it")

    path = tmp_path / "out" / "results.json"
    failures, undrawn, text = predicting.write_predictions(find_all, find_images(odd), CONFIG, path, draw)
    results = {result["file_name"]: result for result in json.loads(path.read_text())}
    assert {name: tuple(row["segmentation"]["size"]) for name, row in results.items()} == {
        name: shape for name, shape in wanted.items() if shape
    }
    assert all(result["bbox"] == [0, 0, *result["segmentation"]["size"][::-1]] for result in results.values())
    assert sorted(os.path.basename(line.split(": ")[0]) for line in failures) == sorted(set(wanted) - set(results))
    (memory,) = [line for line in failures if "memory.png" in line]
    assert memory.endswith("memory.png: cannot be predicted, 9 x 13 pixels (h x w): OOM when allocating")
    assert not any("\n" in line for line in failures)
    assert drawn == sorted(results) and undrawn == [f"{odd / 'L.png'}: no picture: OSError: no space for it"]
    assert (
        "1 of 1 images of 16 bits have levels up to" in text and "set config.model.preprocess.white_level=4095" in text
    )
    assert text.endswith(f"{len(results)} detections on {len(results)} images: {path}")
    assert list(path.parent.iterdir()) == [path]


def test_a_run_that_ends_early_leaves_what_it_found(odd, tmp_path):
    path = tmp_path / "results.json"
    path.write_text("of an earlier run")

    def stop(file, image, results):
        if file.image_id == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predicting.write_predictions(find_all, find_images(odd), CONFIG, path, stop)
    lines = [json.loads(line) for line in (tmp_path / "results.partial.jsonl").read_text().splitlines()]
    assert [line["image_id"] for line in lines] == [1, 2, 3, 4, 5] and not path.exists()


def test_no_results_are_a_list_too(tmp_path):
    written = predicting.ResultsFile(tmp_path / "new" / "r.json")
    written.finish()
    assert json.loads((tmp_path / "new" / "r.json").read_text()) == []


def test_scoring_uses_the_rule_of_training(tmp_path, caplog):
    """Where the annotation file says so, images are turned, or not."""
    exif, seen = Image.Exif(), []
    exif[0x0112] = 6
    Image.fromarray(np.full((30, 40, 3), 9, np.uint8)).save(tmp_path / "a.jpg", exif=exif)
    sizes = ((40, 30), (30, 40))
    images = [{"id": i, "file_name": "a.jpg", "height": h, "width": w} for i, (h, w) in enumerate(sizes, start=1)]

    def predict(batch):
        seen.append(batch[0].shape[:2])
        return find_all(batch)

    files = list_images({"images": images}, str(tmp_path))
    results, failures = predicting.predict_files(predict, files, CONFIG, verbose=0)
    assert tuple(seen) == sizes and not failures and [result["image_id"] for result in results] == [1, 2]
    assert "1 images have an EXIF orientation that is not applied" in caplog.text


def test_the_white_level_is_the_models(tmp_path):
    levels, seen = np.full((20, 30, 1), 4095, np.uint16), []
    pathlib.Path(tmp_path, "a.png").write_bytes(png_of_16_bits(levels))
    for white in (65535, 4095):
        config = ModelConfig()
        config.preprocess.white_level = white
        predict = lambda batch: seen.append(int(batch[0].max())) or find_all(batch)  # noqa: E731
        list(predicting.predict_each(predict, find_images(tmp_path), config))
    assert seen == [15, 255]


def test_limit_of_pixels(tmp_path):
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((50, 40, 3), np.uint8)).save(buffer, "PNG")
    (tmp_path / "a.png").write_bytes(buffer.getvalue())
    (outcome,) = predicting.predict_each(find_all, find_images(tmp_path), CONFIG, 1999)
    assert "says that it has 50 x 40 pixels" in outcome.error and outcome.image is None
