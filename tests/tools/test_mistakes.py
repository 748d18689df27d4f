"""Every tool ends in one line, and not in a traceback, for the mistakes that people make with it."""

import copy
import json
import os
import pathlib
import runpy
import sys
import zipfile

import numpy as np
import pytest
from absl import flags
from PIL import Image
from tiny import finding_model
from tool_mistakes import CHECK, COMPARE, EVALUATE, EXPORT, MISTAKES, PREDICT, RESULTS, with_flag

from mask_rcnn_tf import MaskRCNN
from mask_rcnn_tf.data import check
from mask_rcnn_tf.evaluation import files
from mask_rcnn_tf.export.runners import keras_model

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a good model, image and COCO file, and with one of each kind of wrong file."""
    folder = tmp_path_factory.mktemp("mistakes")
    model = finding_model()
    model.save(folder / "m.keras")
    config = copy.deepcopy(model.config)
    config.mask_head.enabled = False
    MaskRCNN(config).save(folder / "boxes.keras")
    (folder / "images").mkdir()
    (folder / "nothing").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "file").write_text("")
    Image.fromarray(np.full((64, 96, 3), 255, np.uint8)).save(folder / "images" / "a.png")
    box = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [5, 5, 20, 20], "area": 400, "iscrowd": 0}
    truth = {
        "images": [{"id": 1, "file_name": "a.png", "height": 64, "width": 96}],
        "annotations": [box | {"segmentation": [[5, 5, 25, 5, 25, 25, 5, 25]]}],
        "categories": [{"id": 1, "name": "ball"}, {"id": 7, "name": "box"}, {"id": 90, "name": "star"}],
    }
    files = {
        "a.json": truth,
        "more.json": truth | {"categories": [*truth["categories"], {"id": 91, "name": "owl"}]},
        "list.json": [],
        "results.json": [],
        "other.json": {"name": "something"},
        "number.json": 3,
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content))
    os.link(folder / "a.json", folder / "linked.json")
    (folder / "loop").symlink_to("loop")
    (folder / "deep.json").write_text("[" * 10_000 + "]" * 10_000)
    (folder / "digits.json").write_text('{"images": ' + "9" * 5000 + "}")
    for name in ("empty.keras", "empty.json", "empty.pth", "empty.tflite", "empty.onnx", "empty.py"):
        (folder / name).write_bytes(b"")
    for name in ("text.keras", "text.json", "text.pth", "text.tflite", "text.onnx"):
        (folder / name).write_text("hello")
    with zipfile.ZipFile(folder / "weights.pth", "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/version", "3")
    configs = {
        "syntax.py": "def get_config(:\n",
        "raises.py": "from mask_rcnn_tf.config import Config\n\n\ndef get_config():\n    return Config(nam='x')\n",
        "imports.py": "import a_module_that_is_not_there\n",
        "other.py": "def get_config():\n    return {'train': 1}\n",
        "misspelt.py": "from mask_rcnn_tf import Config\n\n\ndef get_config():\n    Config().train.stepps = 3\n",
        "without.py": "x = 1\n",
    }
    for name, text in configs.items():
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="module")
def loaded(folder):
    """Loads models as the tools do, the good one once."""
    model = files.load_model(folder / "m.keras")
    real = files.load_model
    return lambda path, *rest, **options: model if path == "m.keras" else real(path, *rest, **options)


def run(monkeypatch, capsys, folder, line):
    """Exit status and stderr of a command line, run in this process."""
    name, *arguments = line.split()
    known = set(flags.FLAGS)
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "argv", [f"tools/{name}.py", *arguments])
    monkeypatch.setattr(sys, "path", [str(TOOLS), *sys.path])
    capsys.readouterr()
    try:
        runpy.run_path(str(TOOLS / f"{name}.py"), run_name="__main__")
        status = 0
    except SystemExit as ended:
        status = ended.code if isinstance(ended.code, int) else 0 if ended.code is None else 1
        text = ended.code if isinstance(ended.code, str) else ""
    finally:
        for flag in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, flag)
    return status, capsys.readouterr().err + text


@pytest.mark.parametrize(("line", "status", "words"), MISTAKES, ids=lambda value: str(value)[:90])
def test_one_line(monkeypatch, capsys, folder, loaded, line, status, words):
    monkeypatch.setattr(files, "load_model", loaded)
    monkeypatch.setattr(keras_model, "load_model", loaded)
    good = {name: (folder / name).read_bytes() for name in ("a.json", "m.keras", "images/a.png")}
    came, text = run(monkeypatch, capsys, folder, line)
    assert all((folder / name).read_bytes() == content for name, content in good.items())
    lines = [row for row in text.strip().splitlines() if row.startswith(f"{line.split()[0]}: ")]
    assert came == status and len(lines) == 1, text
    assert words in lines[0] and "Traceback" not in text, text


def test_a_flag_that_is_given_twice_is_said(monkeypatch, capsys, folder):
    status, text = run(monkeypatch, capsys, folder, RESULTS + " --mask_iou=0.5 --mask_iou=0.6")
    assert status == 0 and text == "compare_results: warning: --mask_iou is given more than once; the last counts\n"
    status, text = run(monkeypatch, capsys, folder, PREDICT + " --input=a.json --model=none.keras")
    assert "--model is given more than once" in text and "--input" not in text  # of which there may be many


def test_max_dets_are_known_before_the_work(monkeypatch, capsys, folder, loaded):
    monkeypatch.setattr(files, "load_model", loaded)
    monkeypatch.setattr(files, "predict_files", lambda *_, **__: pytest.fail("the work was begun"))
    status, text = run(monkeypatch, capsys, folder, EVALUATE + " --max_dets=0")
    assert status == 1 and "max_dets is (0,)" in text


def test_no_tool_is_left_out():
    assert {line.split()[0] for line, _, _ in MISTAKES} == {path.stem for path in TOOLS.glob("[!_]*.py")}


@pytest.mark.parametrize(
    "line",
    [
        with_flag(EVALUATE, "output", "a.json/new.json"),
        EVALUATE + " --results=a.json/new.json",
        with_flag(PREDICT, "output", "a.json"),
        CHECK + " --usable=a.json/new.json",
    ],
)
def test_a_place_that_cannot_be_written_is_known_before_the_work(monkeypatch, capsys, folder, line):
    def work(*_, **__):
        raise AssertionError("the work was begun")

    monkeypatch.setattr(files, "load_model", work)
    monkeypatch.setattr(check, "check", work)
    status, text = run(monkeypatch, capsys, folder, line)
    assert status == 1 and "a.json" in text and len(text.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("line", "package"),
    [
        (with_flag(EXPORT, "format", "onnx"), "tf2onnx"),
        (with_flag(EXPORT, "format", "onnx"), "onnx"),
        (with_flag(EXPORT, "format", "tflite"), "ai_edge_litert"),
        (with_flag(COMPARE, "b", "text.onnx"), "onnxruntime"),
        (with_flag(COMPARE, "b", "text.tflite"), "ai_edge_litert"),
    ],
)
def test_a_missing_extra_is_named_with_how_to_get_it(monkeypatch, capsys, folder, loaded, line, package):
    monkeypatch.setattr(files, "load_model", loaded)
    monkeypatch.setattr(keras_model, "load_model", loaded)
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    status, text = run(monkeypatch, capsys, folder, line)
    last = text.strip().splitlines()[-1]
    assert status == 1 and package in last and "pip install" in last and "Traceback" not in text, text


def test_a_bug_of_ours_keeps_its_traceback(monkeypatch, capsys, folder):
    def broken(path):
        raise KeyError("a bug")

    monkeypatch.setattr(files, "load_model", broken)
    with pytest.raises(KeyError, match="a bug"):
        run(monkeypatch, capsys, folder, PREDICT)


def test_a_traceback_where_it_is_asked_for(monkeypatch, capsys, folder):
    with pytest.raises(ValueError, match="model is 'x'; there is no such file"):
        run(monkeypatch, capsys, folder, "export_weights --model=x --output=y --verbosity=1")


def test_a_pattern_that_the_shell_has_expanded(monkeypatch, capsys, folder):
    """Paths may stand among the flags of predict; beside those of other tools they are a mistake."""
    line = "predict --model=m.keras images/a.png --output=paths images/a.png"
    assert run(monkeypatch, capsys, folder, line)[0] == 0
    assert (folder / "paths" / "results.json").is_file()
    status, text = run(monkeypatch, capsys, folder, f"{EVALUATE} images/a.png")
    assert status == 2 and text == "evaluate: arguments are ['images/a.png']; allowed: flags only, --name=value.\n"


def test_ctrl_c(monkeypatch, capsys, folder):
    def interrupted(path):
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "load_model", interrupted)
    assert run(monkeypatch, capsys, folder, PREDICT) == (130, "predict: interrupted\n")
