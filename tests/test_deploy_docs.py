"""The commands and programs of docs/deploy.md run as they are printed, on a trained model and on a ResNet-50."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
from recipe_models import fill, golden_config
from test_readme import blocks
from trained import trained_model

import mask_rcnn_tf as mrcnn

ROOT = pathlib.Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "deploy.md").read_text()


@pytest.fixture(scope="module")
def workplace(tmp_path_factory):
    """A folder with the tools, and a function that gives it `runs/demo/model.keras`."""
    folder = tmp_path_factory.mktemp("deploy")
    (folder / "tools").symlink_to(ROOT / "tools")
    shutil.copytree(ROOT / "deploy", folder / "deploy", ignore=shutil.ignore_patterns("build", "__pycache__"))
    (folder / "runs" / "demo").mkdir(parents=True)
    return folder


def place(model, folder):
    """Saves the model of `make demo`'s place and clears what another left."""
    model.save(folder / "runs" / "demo" / "model.keras")
    for left in ("export", "runs/val"):
        shutil.rmtree(folder / left, ignore_errors=True)


def resnet50_model():
    """R50-FPN with the recipe's weights, on images as small as the scenes."""
    config = golden_config("d2A")
    config.class_names, config.category_ids = tuple("abcdef"), ()
    config.preprocess.short_side = config.preprocess.max_side = 192
    config.preprocess.round_resized = config.preprocess.antialias = True
    return fill(mrcnn.MaskRCNN(config))


def run(arguments, folder):
    """What a command prints."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    arguments = [
        re.sub(r"^python$", sys.executable, part).replace("PYTHON=python", f"PYTHON={sys.executable}")
        for part in arguments
    ]
    environment = os.environ | {"PYTHONPATH": path}
    done = subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{arguments}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def commands():
    return [line for block in blocks("bash", TEXT) for line in block.splitlines()]


@pytest.mark.slow  # trains for a minute, then a dozen processes
def test_commands_and_programs_as_printed(workplace, tmp_path):
    place(trained_model(tmp_path), workplace)
    printed = {line: run(shlex.split(line), workplace) for line in commands()}
    programs = blocks("python", TEXT)
    assert len(printed) == 16 and len(programs) == 3
    for program in programs:
        assert re.search(r"\d", run(["python", "-c", program], workplace))
    (table,) = (text for line, text in printed.items() if "compare_exports" in line)
    assert all(name in table for name in ("mask_rcnn/1", "model.onnx", "int8.onnx", "float16.tflite", "int8.tflite"))
    exported = (
        "bfloat16 canvas.onnx dynamic.tflite float16.tflite heads.tflite hlo int8.onnx int8.tflite mask_rcnn model.onnx"
    )
    assert {path.name for path in (workplace / "export").iterdir()} == {*exported.split(), "model.tflite", "pasted"}


@pytest.mark.slow  # a ResNet-50 in eight processes
def test_commands_with_resnet50(workplace):
    """Without the forms that round: recipe weights leave scores so close that rounding decides everything."""
    place(resnet50_model(), workplace)
    exact = [line for line in commands() if not re.search("bfloat16|quantization|pasted|compare", line)]
    for line in exact:
        run(shlex.split(line), workplace)
    assert len([line for line in exact if "--format" in line]) == 6
    pairs = [line for line in ("mask_rcnn/1", "model.onnx", "model.tflite") if (workplace / "export" / line).exists()]
    flags = [flag for name in pairs for flag in ("--b", f"export/{name}")]
    compare = ["python", "tools/compare_exports.py", "--a", "runs/demo/model.keras", *flags]
    table = run([*compare, "--images", "runs/val", "--limit", "3"], workplace)
    assert all(name in table for name in pairs)


def test_commands_of_the_readme_are_among_them():
    (section,) = re.findall(r"^## Deploy it\n(.*?)^## ", (ROOT / "README.md").read_text(), re.M | re.S)
    lines = [line for block in blocks("bash", section) for line in block.splitlines()]
    assert len(lines) == 5 and set(lines) <= set(commands())


def test_what_is_not_run_needs_what_is_not_here():
    """Blocks without a language are not run: an installation, a server, clients of that server."""
    unlabelled = re.sub(r"```(bash|python)\n.*?```\n", "", TEXT, flags=re.DOTALL)
    lines = [line for body in re.findall(r"^```\n(.*?)^```$", unlabelled, re.M | re.S) for line in body.splitlines()]
    assert all(re.search(r"^pip install|docker compose|client_(rest|grpc)|load\.py", line) for line in lines), lines
    for path in re.findall(r"deploy/[\w/]+\.(?:py|yaml|sh)", TEXT):
        assert (ROOT / path).is_file(), path


def test_links_lead_somewhere():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", re.sub(r"```python\n.*?```\n", "", TEXT, flags=re.DOTALL)):
        assert (ROOT / "docs" / target).exists(), target
