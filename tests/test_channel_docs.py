"""The commands and the program of docs/channels.md run as printed, on drawn images of five channels of 16 bits."""

import json
import os
import sys

import forked
import pytest
import spectral
from test_readme import ROOT, blocks

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.pixels import PixelKind

TEXT = (ROOT / "docs" / "channels.md").read_text()
SHORT = ["--config.train.steps=150", "--config.train.evaluate_every=75", "--config.train.warmup_steps=20"]


@pytest.mark.slow  # a model is trained until it finds something: an export of one that does not is refused
def test_commands(tmp_path):
    images = tmp_path / "my_data" / "images"
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    spectral.write_set(images, 40).rename(tmp_path / "my_data" / "train.json")
    held_out = json.loads(spectral.write_set(tmp_path / "other", 8, seed=1).read_text())
    for image in held_out["images"]:
        name = f"val_{image['file_name']}"
        (tmp_path / "other" / image["file_name"]).rename(images / name)
        image["file_name"] = name
    (tmp_path / "my_data" / "val.json").write_text(json.dumps(held_out))
    (commands,), (program,) = blocks("bash", TEXT), blocks("python", TEXT)
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "cache")}
    for line in commands.splitlines():
        arguments = [argument.strip("'") for argument in line.split()[1:]]
        more = SHORT if "train.py" in line else []
        done = forked.run([sys.executable, *arguments, *more], cwd=tmp_path, env=environment)
        assert done.returncode == 0, f"{line}\n{done.stdout[-1000:]}{done.stderr[-2000:]}"
    run = tmp_path / "runs" / "mine"
    assert mrcnn.load(run).config.preprocess.pixels == PixelKind(5, 16)
    assert len(list((run / "pictures").glob("*.jpg"))) == 48 and (run / "served" / "saved_model.pb").exists()
    assert json.loads((run / "val.json").read_text())["segm"]["AP"] > 0.1
    done = forked.run([sys.executable, "-c", program], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.startswith("uint16 (64, 64, 5)\n")
