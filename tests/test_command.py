"""`mrcnn`: every tool by a short name, its own help, its own exit status."""

import ast
import configparser
import os
import pathlib
import re
import subprocess
import sys

import forked
import pytest

from mask_rcnn_tf import command

ROOT = pathlib.Path(__file__).parents[1]
TOOLS = {path.stem: path for path in (ROOT / "tools").glob("[!_]*.py")}


def test_every_tool_has_a_name():
    assert sorted(command.COMMANDS.values()) == sorted(TOOLS)
    assert all(re.fullmatch("[a-z-]+", name) for name in command.COMMANDS)


def test_it_is_installed_by_its_name():
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    assert parser["options.entry_points"]["console_scripts"].strip() == "mrcnn = mask_rcnn_tf.command:main"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_overview(monkeypatch, capsys, arguments):
    monkeypatch.setattr(sys, "argv", ["mrcnn", *arguments])
    command.main()
    printed = capsys.readouterr().out
    for name, tool in command.COMMANDS.items():
        about = ast.get_docstring(ast.parse(TOOLS[tool].read_text())).splitlines()[0]
        assert re.search(rf"^  {name} +{re.escape(about)}$", printed, re.MULTILINE), name


def test_another_name_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mrcnn", "trian", "--config", "x"])
    with pytest.raises(SystemExit) as end:
        command.main()
    said = capsys.readouterr().err
    assert end.value.code == 2 and said.count("\n") == 1
    assert said.startswith("mrcnn: 'trian' is no command; allowed: convert, split, check, suggest, train, ")
    assert said.endswith("Did you mean 'train'?\n")


def test_every_docstring_in_the_words_of_the_command():
    for tool, path in TOOLS.items():
        text = command.in_its_words(ast.get_docstring(ast.parse(path.read_text())))
        assert "tools/" not in text, tool
    assert (
        command.in_its_words("python tools/check_data.py --a x, of tools/train.py")
        == "mrcnn check --a x, of mrcnn train"
    )


def test_a_tool_runs_as_it_does_alone(tmp_path):
    started = [sys.executable, "-m", "mask_rcnn_tf", "shapes", "--split", "val", "--output", "by_name", "--count", "2"]
    done = subprocess.run(started, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0 and done.stderr == ""  # nothing of what TensorFlow says of itself either
    written = sorted(path.name for path in (tmp_path / "by_name").iterdir())
    assert written == ["annotations.json", "val_000001.png", "val_000002.png"]


def forked_mrcnn(*arguments):
    """The command in a process that need not import TensorFlow."""
    program = f"import sys; sys.argv = {['mrcnn', *arguments]!r}; from mask_rcnn_tf import command; command.main()"
    return forked.run([sys.executable, "-c", program])


def test_a_wrong_flag_is_the_tools_own_line():
    wrong = forked_mrcnn("train", "--config", "mask_rcnn_shapes", "--model_dri", "x")
    assert wrong.returncode == 2 and "model_dri" in wrong.stderr
    assert wrong.stderr.splitlines()[-1].startswith("train: ")


def test_help():
    told = forked_mrcnn("train", "--help")
    assert told.returncode == 0 and "mrcnn train --config" in told.stdout and "--model_dir: folder" in told.stdout
    assert "tools/" not in told.stdout.split("flags:")[0] and "\n  --config.train.steps=90000\n" in told.stdout


def test_version(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["mrcnn", "--version"])
    command.main()
    assert re.fullmatch(r"mrcnn \d+\.\d+\.\d+\n", capsys.readouterr().out)


def test_ctrl_c_while_it_starts():
    """TensorFlow takes seconds to import; the signal comes within the first of them."""
    program = f"""
import os, signal, sys
sys.path.insert(0, {str(ROOT / "mask_rcnn_tf")!r})
sys.argv[0] = "/somewhere/bin/mrcnn"
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test that runs in the background has inherited another
import starting
os.kill(os.getpid(), signal.SIGINT)
print("went on")
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        env=dict(os.environ),
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "mrcnn: interrupted\n")
