"""The command of docs/reports.md is one that README.md's test runs; its program runs as printed, on random results."""

import json
import re

import tide_scenes
from test_readme import ROOT, TEXT, blocks

from mask_rcnn_tf import explained
from mask_rcnn_tf.report import words

PAGE = (ROOT / "docs" / "reports.md").read_text()


def test_the_command_is_the_readmes():
    (command,) = [line for block in blocks("bash", PAGE) for line in block.splitlines()]
    assert command in [line for block in blocks("bash", TEXT) for line in block.splitlines()]


def test_program(tmp_path, monkeypatch, capsys):
    (tmp_path / "my_data").mkdir()
    (tmp_path / "runs" / "mine").mkdir(parents=True)
    truth, results = tide_scenes.scene(0)
    (tmp_path / "my_data" / "val.json").write_text(json.dumps(truth))
    (tmp_path / "runs" / "mine" / "results.json").write_text(json.dumps(results))
    monkeypatch.chdir(tmp_path)
    (program,) = blocks("python", PAGE)
    exec(compile(program, "docs/reports.md", "exec"), {})
    printed = capsys.readouterr().out
    assert printed.startswith("Threshold(score=0.") and "'loc': 0." in printed and printed.count("ImageErrors(") == 3


def test_names_in_the_text_exist():
    keys = {key.name for group in explained.groups() for key in group.keys}
    assert set(re.findall(r"--(?:no)?config\.([\w.]+)", PAGE)) <= keys
    for name, _ in words.ERRORS.values():
        assert f"`{name}`" in PAGE or name == "wrong and badly placed"
