"""The commands and programs of README.md run as they are printed; only the lengths of training are cut."""

import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.data import shapes

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
SHORT = ["--config.train.steps=2", "--config.train.evaluate_every=2", "--config.train.checkpoint_every=2"]


def blocks(language):
    """Fenced blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", TEXT, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def tool_commands():
    """Command lines that call a tool."""
    return [line for block in blocks("bash") for line in block.splitlines() if line.startswith("python ")]


def small_config(name="mask_rcnn_shapes"):
    config = mrcnn.config.load_config(name)
    config.data.shapes.train_scenes, config.data.shapes.val_scenes = 16, 8
    config.data.shuffle_buffer = 16
    return config


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the tools and with scenes as a user's COCO data."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "tools").symlink_to(ROOT / "tools")
    (folder / "my_data" / "images").mkdir(parents=True)
    config = small_config()
    config.data.data_dir = str(folder / "cache")
    for split in ("train", "val"):
        truth = shapes.ground_truth(config, split)
        for image, record in zip(truth["images"], shapes.dataset(config, split).as_numpy_iterator(), strict=True):
            assert image["id"] == record["image_id"]
            image["file_name"] = f"{split}_{image['id']}.png"
            Image.fromarray(record["image"]).save(folder / "my_data" / "images" / image["file_name"])
        (folder / "my_data" / f"{split}.json").write_text(json.dumps(truth))
    return folder


def run(command, folder):
    arguments = command.split()[1:] + (SHORT if "train.py" in command else [])
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "TFDS_DATA_DIR": str(folder / "cache")}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"


def test_commands_for_your_own_data(folder):
    commands = tool_commands()
    assert [re.search(r"tools/(\w+)", command)[1] for command in commands] == [
        "check_data",
        "train",
        "evaluate",
        "predict",
    ]
    for command in commands:
        run(command, folder)
    assert any((folder / "runs" / "check").glob("*.png"))
    metrics = json.loads((folder / "runs" / "mine" / "val.json").read_text())
    assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1"} <= set(metrics["segm"])
    results = json.loads((folder / "runs" / "mine" / "pictures" / "results.json").read_text())
    assert all({"file_name", "category_id", "bbox", "score", "segmentation"} <= set(result) for result in results)
    assert len(list((folder / "runs" / "mine" / "pictures").glob("*.jpg"))) == 24


def test_make_targets_exist():
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")]
    assert lines == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    for line in lines:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


def test_programs(folder, monkeypatch):
    fit, predict = blocks("python")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder / "cache"))
    monkeypatch.setattr(mrcnn, "load_config", small_config)
    for name in ("first.png", "second.jpg"):
        Image.fromarray(np.full((50, 70, 3), 90, np.uint8)).save(folder / name)
    shortened = re.sub(r"steps_per_epoch=\d+, epochs=\d+", "steps_per_epoch=1, epochs=1", fit)
    assert shortened != fit
    exec(compile(shortened, "README: train", "exec"), {})
    assert (folder / "shapes.keras").is_file()
    exec(compile(predict, "README: predict", "exec"), {})


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target
