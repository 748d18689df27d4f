"""The commands and the program of docs/augmentation.md run as printed, and its options of training, all together."""

import json
import re

import numpy as np
import pytest
from PIL import Image
from test_readme import ROOT, SMALL, blocks, run

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.config import DataConfig
from mask_rcnn_tf.data.repeats import repeat_factors
from mask_rcnn_tf.explained import comments

TEXT = (ROOT / "docs" / "augmentation.md").read_text()


def test_pictures():
    """One of each option, as small as the page needs."""
    named = re.findall(r"!\[(\w+)\]\((augmentation/\w+\.jpg)\)", TEXT)
    files = sorted((ROOT / "docs" / "augmentation").glob("*.jpg"))
    assert sorted(ROOT / "docs" / path for _, path in named) == files and len(files) == 14
    for name, path in named:
        assert name in comments(DataConfig) and name in path
        assert (ROOT / "docs" / path).stat().st_size < 60_000 and min(Image.open(ROOT / "docs" / path).size) > 150


def test_table_of_rare_classes():
    classes = [np.array([kind]) for kind, count in ((1, 200), (2, 20), (3, 5)) for _ in range(count)]
    table = re.findall(r"^\| ([\d.]+)(?: \(off\))? \| ([\d., ]+) \| ([\d%, ]+) \|$", TEXT, re.MULTILINE)
    assert [float(row[0]) for row in table] == [0, 0.1, 0.3, 1]
    for threshold, times, shares in table:
        factors = repeat_factors(classes, float(threshold))
        of_class = factors[[0, 200, 220]]
        seen = of_class * [200, 20, 5] / factors.sum()
        assert times == ", ".join(f"{factor:.2g}" for factor in of_class)
        assert shares == ", ".join(f"{100 * share:.0f} %" for share in seen)


@pytest.mark.slow  # eight processes
def test_commands(tmp_path, monkeypatch):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    flags = [flag for flag in re.findall(r"`(--config[^`]*)`", TEXT) if "=" in flag and "canvases" not in flag]
    assert len(flags) == 4
    fields = re.findall(r"\| `(data\.(?!scale_jitter|copy_paste)\w+=[^`]*)` \|", TEXT)
    flags += [f"--config.{field}" for field in fields]
    assert len(flags) == 4 + 12
    train = "python tools/train.py --config mask_rcnn_shapes --model_dir runs/demo " + " ".join(flags)
    overrides = [*SMALL, "--config.train.batch_size=2", "--config.data.shapes.train_scenes=8"]
    run(train, tmp_path, [*overrides, "--config.data.shapes.val_scenes=2"])
    printed = [run(command, tmp_path) for block in blocks("bash", TEXT) for command in block.splitlines()]
    metrics = json.loads((tmp_path / "runs" / "val" / "augmented.json").read_text())
    assert {"AP", "AP50"} <= metrics["segm"].keys()
    assert len(list((tmp_path / "runs" / "val" / "pictures").glob("*.jpg"))) == 40
    assert (tmp_path / "runs" / "augmented" / "augmented.jpg").is_file()
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
