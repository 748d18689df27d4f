"""tools/export.py: one format as a process, and what it says of wrong arguments."""

import pathlib
import sys

import forked
import pytest
from tiny import finding_model, tiny_model

from mask_rcnn_tf.export.check_images import drawn_scenes
from mask_rcnn_tf.visualize import write_image

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "export.py"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with `named.keras`, `unnamed.keras` and `photos`."""
    folder = tmp_path_factory.mktemp("export")
    model = finding_model()
    model.save(folder / "named.keras")
    tiny_model().save(folder / "unnamed.keras")
    for index, image in enumerate(drawn_scenes(model.config, 2)):
        write_image(image, folder / "photos" / f"{index}.png")
    return folder


def run(folder, **flags):
    arguments = [f"--{name}={value}" for name, value in flags.items()]
    return forked.run([sys.executable, str(TOOL), *arguments], cwd=folder)


def test_file_appears(folder):
    ended = run(folder, model="named.keras", format="onnx", output="new/m.onnx", images="photos", limit=1)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert ended.stdout.splitlines()[-1] == "onnx: new/m.onnx"
    assert [path.name for path in (folder / "new").iterdir()] == ["m.onnx"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"format": "onnx", "dtype": "bfloat16"}, "--dtype is not for --format onnx"),
        (
            {"model": "unnamed.keras", "format": "saved_model"},
            "class_names is () and num_classes is 3; allowed: a name",
        ),
        ({"format": "tflite", "canvas": "96,100"}, "canvas is (96, 100); allowed: (H, W), positive multiples of 32"),
        (
            {"format": "saved_model", "output": "named.keras/1"},
            "output is 'named.keras/1'; its folder cannot be written",
        ),
    ],
)
def test_one_line_for_what_is_wrong(folder, flags, message):
    before = sorted(path.name for path in folder.iterdir())
    ended = run(folder, **{"model": "named.keras", "output": "wrong/m", "images": "photos", **flags})
    assert ended.returncode == 1
    last = ended.stderr.strip().splitlines()[-1]
    assert last.startswith("export: ") and message in last, ended.stderr[-2000:]
    assert sorted(path.name for path in folder.iterdir()) == before
