"""The commands and programs of README.md run as they are printed; only the lengths of training are cut."""

import json
import os
import pathlib
import re
import shlex
import sys

import checkpoint_files
import forked
import numpy as np
import pytest
import recipe
from conftest import GOLDEN
from PIL import Image
from reading_pages import Page

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.data import records, shapes

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text()
SHORT = ["--config.train.steps=2", "--config.train.evaluate_every=2", "--config.train.checkpoint_every=2"]
SMALL = [
    "--config.model.preprocess.short_side=96",
    "--config.model.preprocess.max_side=96",
    "--config.data.train_short_sides=(96,)",
    "--config.data.canvases=((96, 96),)",
]


def blocks(language, text=TEXT):
    """Fenced blocks of a language, without their indentation."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    return [re.sub(rf"^{indent}", "", body, flags=re.MULTILINE) for indent, body in found]


def tool_commands(heading, tools):
    """Command lines of the section with this heading, which must call these tools."""
    (text,) = re.findall(rf"^## {heading}\n(.*?)^## ", TEXT, re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks("bash", text) for line in block.splitlines()]
    assert [re.search(r"^python tools/(\w+)", line)[1] for line in lines] == tools
    return lines


def small_config(name="mask_rcnn_shapes"):
    config = mrcnn.presets.load_config(name)
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
        scenes = shapes.dataset(config, split).map(records.decoded)
        for image, record in zip(truth["images"], scenes.as_numpy_iterator(), strict=True):
            assert image["id"] == record["image_id"]
            image["file_name"] = f"{split}_{image['id']}.png"
            Image.fromarray(record["image"]).save(folder / "my_data" / "images" / image["file_name"])
        (folder / "my_data" / f"{split}.json").write_text(json.dumps(truth))
    return folder


def run(command, folder, overrides=()):
    """What the command prints; training is cut to `SHORT`, with more overrides."""
    arguments = shlex.split(command)[1:] + ([*SHORT, *overrides] if "tools/train" in command else [])
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    environment = os.environ | {"PYTHONPATH": path, "TFDS_DATA_DIR": str(folder / "cache")}
    done = forked.run([sys.executable, *arguments], cwd=folder, env=environment)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout + done.stderr


def test_commands_for_your_own_data(folder):
    commands = tool_commands("Your own images, in COCO format", ["check_data", "train", "evaluate", "predict"])
    printed = [run(command, folder) for command in commands]
    assert "] preparing " in printed[1] and "tf.data.Dataset" not in printed[1]  # our lines, not those of TFDS
    assert any((folder / "runs" / "check").glob("*.png"))
    check_outputs(folder / "runs" / "mine")
    for page, figures in (("report.html", "metrics.json"), ("val.html", "val.json")):
        shown = Page((folder / "runs" / "mine" / page).read_text())
        assert shown.figures["metrics"] == json.loads((folder / "runs" / "mine" / figures).read_text())
        assert "report: runs/mine/" + page in printed[1 if page == "report.html" else 2]
    assert "s/step" not in printed[1] and "AP of a class" in printed[1]  # no bars but on terminals


def check_outputs(run_folder):
    metrics = json.loads((run_folder / "val.json").read_text())
    assert {"AP", "AP50", "AP75", "APs", "APm", "APl", "AR1"} <= set(metrics["segm"])
    results = json.loads((run_folder / "pictures" / "results.json").read_text())
    assert all({"file_name", "category_id", "bbox", "score", "segmentation"} <= set(result) for result in results)
    assert len(list((run_folder / "pictures").glob("*.jpg"))) == 24


@pytest.mark.slow  # five processes with a ResNet-50
def test_commands_for_fine_tuning(folder):
    """As printed, from a file with the names and shapes of the published one, at 96 pixels."""
    shapes_by_name = json.loads((GOLDEN / "torchvision_names.json").read_text())["maskrcnn_resnet50_fpn"]
    published = [name for name in shapes_by_name if not name.endswith("num_batches_tracked")]  # its norms were frozen
    tensors = {name: recipe.fill_array(name, shapes_by_name[name]) for name in published}
    tools = ["import_weights", "check_data", "train", "evaluate", "predict"]
    commands = tool_commands("Your own 500 images, from a COCO checkpoint", tools)
    checkpoint_files.write_torch_zip(folder / re.search(r"--checkpoint (\S+)", commands[0])[1], tensors)
    printed = [run(command, folder, SMALL) for command in commands]
    loaded, total = re.search(r"init_from coco.keras: (\d+) of (\d+) variables loaded", printed[2]).groups()
    assert int(total) - int(loaded) == 6
    assert re.search(r"not loaded, class-dependent.*: 6 \(box_head/class_logits/kernel", printed[2])
    check_outputs(folder / "runs" / "tuned")


def test_make_targets_exist():
    lines = [line for block in blocks("bash") for line in block.splitlines() if line.startswith("make ")]
    assert lines == ["make demo", "make test"]
    makefile = (ROOT / "Makefile").read_text()
    for line in lines:
        assert re.search(rf"^{line.split()[1]}:", makefile, re.MULTILINE)


def test_programs(folder, monkeypatch):
    fit, predict, _ = blocks("python")  # the third is run by test_first_model_docs.py
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
