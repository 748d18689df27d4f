"""The programs and commands of docs/first_model.md run as printed, in a folder with scenes as somebody's data."""

import json
import os
import re
import sys

import forked
import pytest
from test_readme import ROOT, blocks, folder, run  # noqa: F401, the fixture

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.data import shape_drawing

TEXT = (ROOT / "docs" / "first_model.md").read_text()


@pytest.fixture(scope="module")
def data(folder):  # noqa: F811
    """Both files as one, as somebody has them who has not split theirs."""
    parts = [json.loads((folder / "my_data" / f"{split}.json").read_text()) for split in ("train", "val")]
    whole = dict(parts[0], images=[], annotations=[])
    for part, first in zip(parts, (0, 1000), strict=True):
        whole["images"] += [row | {"id": first + row["id"]} for row in part["images"]]
        whole["annotations"] += [row | {"image_id": first + row["image_id"]} for row in part["annotations"]]
    whole["annotations"] = [row | {"id": number} for number, row in enumerate(whole["annotations"], 1)]
    (folder / "my_data" / "all.json").write_text(json.dumps(whole))
    return folder


@pytest.mark.slow  # three models are built and trained a few steps
def test_programs(data):
    first, second = blocks("python", TEXT)
    printed = run_program(first.replace('"runs/first")', '"runs/first", epochs=0.5)'), data)
    assert len(re.findall(r"^\(\d+, 4\)", printed, re.MULTILINE)) == 2
    names = {path.name for path in (data / "runs" / "first").iterdir()}
    assert {"suggested.py", "data", "best.keras", "model.keras", "metrics.json"} <= names
    held_out = json.loads((data / "runs" / "first" / "data" / "val.json").read_text())["images"]
    assert len(held_out) == 5  # of 24
    assert mrcnn.load(data / "runs" / "first").config.class_names == shape_drawing.CLASS_NAMES
    (own,) = (block for block in blocks("python") if "mrcnn.train(" in block)  # of README.md
    run_program(own.replace('"runs/first")', '"runs/readme", epochs=0.5)'), data)
    assert (data / "runs" / "readme" / "best.keras").is_file()
    run_program(second.replace("steps_per_epoch=100, epochs=2", "steps_per_epoch=1, epochs=1"), data)
    assert (data / "first.keras").exists()


def run_program(text, folder):  # noqa: F811
    environment = os.environ | {"TFDS_DATA_DIR": str(folder / "cache")}
    done = forked.run([sys.executable, "-c", text], cwd=folder, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.mark.slow
def test_commands(data):
    for line in "".join(blocks("bash", TEXT)).splitlines():
        run(line.replace("--folds 5", "--folds 2"), data)
    assert json.loads((data / "runs" / "second" / "metrics.json").read_text())["segm"]
    assert set(json.loads((data / "runs" / "folds" / "folds.json").read_text())["mean"]["segm"]) > {"AP", "AP50"}
    assert list((data / "runs" / "second" / "pictures").glob("*.jpg"))
