"""Images of cameras and microscopes on the whole way of training: prepared, decoded, and checked."""

import json

import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import check, coco, pipeline, records

PIXELS = np.random.default_rng(0).integers(0, 256, (15, 20, 3), np.uint8)
DEEP = np.random.default_rng(1).integers(0, 4096, (15, 20), np.uint16)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """One image of each kind; sizes as people see them, but of `stored.jpg`."""
    folder, exif = tmp_path_factory.mktemp("pictures"), Image.Exif()
    exif[0x0112] = 6
    image, deep = Image.fromarray(PIXELS), Image.fromarray(DEEP)
    image.save(folder / "turned.png", exif=exif)
    image.save(folder / "stored.png", exif=exif)
    image.save(folder / "colour.tif", compression="tiff_lzw")
    image.save(folder / "photo.jfif", "JPEG")
    deep.save(folder / "deep.png")
    deep.save(folder / "deep.tiff", save_all=True, append_images=[deep])
    names = ["turned.png", "stored.png", "colour.tif", "photo.jfif", "deep.png", "deep.tiff"]
    table, rows = [], []
    for index, name in enumerate(names, start=1):
        height, width = (20, 15) if name == "turned.png" else (15, 20)
        table.append({"id": index, "file_name": name, "height": height, "width": width})
        square = {"bbox": [2, 2, 8, 6], "segmentation": [[2, 2, 10, 2, 10, 8, 2, 8]], "area": 48}
        rows.append({"id": index, "image_id": index, "category_id": 1, "iscrowd": 0} | square)
    content = {"images": table, "annotations": rows, "categories": [{"id": 1, "name": "cell"}]}
    (folder / "a.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="module")
def config(files):
    config = Config()
    data = config.data
    data.data_dir, data.train_annotations, data.train_images = str(files / "cache"), str(files / "a.json"), str(files)
    data.val_annotations, data.val_images = data.train_annotations, data.train_images
    return config


def test_records(files, config):
    config.model.preprocess.white_level = 4095
    stored = list(coco.dataset(config, "train"))
    kind = config.model.preprocess.pixels
    found = [records.decoded(record, kind) for record in stored]
    cut = np.repeat((DEEP >> 4)[..., None], 3, -1)
    jpeg = np.asarray(Image.open(files / "photo.jfif"))
    for record, wanted in zip(found, [np.rot90(PIXELS, -1), PIXELS, PIXELS, jpeg, cut, cut], strict=True):
        np.testing.assert_array_equal(record["image"], wanted)
        assert records.image_shape(record).numpy().tolist() == list(wanted.shape[:2]) and "orientation" not in record
    np.testing.assert_array_equal(records.decoded(stored[4])["image"], np.repeat((DEEP >> 8)[..., None], 3, -1))


def test_batches_have_the_white_level(config):
    config.model.preprocess.white_level, preprocess = 4095, config.model.preprocess
    preprocess.mean, preprocess.short_side, preprocess.max_side = (0.0, 0.0, 0.0), 15, 20
    preprocess.channel_order, config.data.canvases, config.data.train_short_sides = "RGB", ((32, 32),), (15,)
    batches = list(pipeline.val_dataset(config))
    np.testing.assert_array_equal(batches[4]["image"][0, :15, :20, 1], DEEP >> 4)
    assert batches[0]["original_shape"].numpy().tolist() == [[20, 15]]


def test_what_is_said(files, config, caplog):
    text, report, samples = check.check(str(files / "a.json"), str(files), pictures=6)
    lines = [line.strip() for line in text.splitlines() if "warning: " in line]
    assert not report.bad and len(lines) == 4
    assert lines[0] == "warning: 1 images have an EXIF orientation, which is applied"
    assert lines[1].startswith("warning: 1 images have an EXIF orientation that is not applied, because the annotated")
    assert lines[2] == "warning: 1 images are TIFFs of several pages, of which the first is read"
    assert lines[3].startswith(f"warning: 2 of 2 images of 16 bits have levels up to {DEEP.max()} only: white at 65535")
    np.testing.assert_array_equal(samples[0].image, np.rot90(PIXELS, -1))
    config.model.preprocess.white_level = 65535
    coco._say.cache_clear()  # what other tests were told
    coco.dataset(config, "val")
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert [line.split(": ", 1)[1] for line in told] == [line.split(": ", 1)[1] for line in lines]
