"""The commands and the program of docs/augmentation.md run as printed, and its options of training, all together."""

import json
import re

import pytest
from test_readme import ROOT, SMALL, blocks, run

import mask_rcnn_tf as mrcnn

TEXT = (ROOT / "docs" / "augmentation.md").read_text()


@pytest.mark.slow  # six processes
def test_commands(tmp_path, monkeypatch):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    flags = [flag for flag in re.findall(r"`(--config[^`]*)`", TEXT) if "=" in flag and "canvases" not in flag]
    assert len(flags) == 4
    train = "python tools/train.py --config mask_rcnn_shapes --model_dir runs/demo " + " ".join(flags)
    overrides = [*SMALL, "--config.train.batch_size=2", "--config.data.shapes.train_scenes=8"]
    run(train, tmp_path, [*overrides, "--config.data.shapes.val_scenes=2"])
    printed = [run(command, tmp_path) for block in blocks("bash", TEXT) for command in block.splitlines()]
    metrics = json.loads((tmp_path / "runs" / "val" / "augmented.json").read_text())
    assert {"AP", "AP50"} <= metrics["segm"].keys()
    assert len(list((tmp_path / "runs" / "val" / "pictures").glob("*.jpg"))) == 40
    both = json.loads((tmp_path / "runs" / "both.json").read_text())
    names = [image["file_name"].partition("/")[0] for image in both["images"]]
    assert names == ["val"] * 40 + ["unlabelled"] * 40
    assert f"with the labelled ones, for --config.data.train_images={tmp_path}/runs: runs/both.json" in printed[-1]
    monkeypatch.chdir(tmp_path / "runs" / "val")
    images = sorted(path.name for path in (tmp_path / "runs" / "val").glob("*.png"))[:2]
    program = blocks("python", TEXT)[0].replace('["first.png", "second.jpg"]', str(images))
    values = {"mrcnn": mrcnn, "model": mrcnn.load_model(tmp_path / "runs" / "demo" / "model.keras")}
    exec(program.replace("640, 800, 960", "96, 128"), values)
    assert len(values["detections"]) == 2
