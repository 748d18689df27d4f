"""The commands of docs/experiments.md run as they are printed; only the lengths of training and the data are cut."""

import json
import re
import shlex
import sys

import forked
import pytest
from test_keypoint_docs import write_data
from test_readme import ROOT, blocks

from mask_rcnn_tf.experiments.tables import TABLES

TEXT = (ROOT / "docs" / "experiments.md").read_text()
SHORT = """--seeds=1 --config.train.steps=2 --config.train.evaluate_every=2 --config.train.checkpoint_every=1
    --config.data.shapes.train_scenes=8 --config.data.shapes.val_scenes=2 --config.data.data_dir=cache"""
COMMANDS = [line for block in blocks("bash", TEXT) for line in block.splitlines()]


def run(command, folder):
    """What a command says, cut short."""
    arguments = shlex.split(command)[1:] + ([] if "--config" in command else ["--config=mask_rcnn_tables"])
    done = forked.run([sys.executable, str(ROOT / arguments[0]), *arguments[1:], *SHORT.split()], cwd=folder)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def test_there_is_a_command_for_every_table():
    tables = [re.search(r"--table=(\w+)", command)[1] for command in COMMANDS if "--config" not in command]
    assert tables == list(TABLES)


@pytest.mark.slow  # about twenty small runs
def test_commands(tmp_path):
    write_data(tmp_path, "nuclei", with_masks=True)
    for command in COMMANDS:
        table, output = re.search(r"--table=(\w+)", command)[1], "runs/tables"
        output = re.search(r"--output (\S+)", command)[1] if "--output" in command else output
        printed, folder = run(command, tmp_path), tmp_path / output / table
        lines = [json.loads(line) for line in (folder / "runs.jsonl").read_text().splitlines()]
        assert [line["variant"] for line in lines] == list(TABLES[table].variants)
        for kind, key in TABLES[table].figures:
            assert any(0 <= line[kind][key] <= 1 for line in lines if kind in line)
        assert printed.endswith((folder / "table.md").read_text() + "\n") and (folder / "table.png").is_file()
        assert len(list(folder.glob("*/result.json"))) == len(lines)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("runs/tables/roi_operator/*/*")}
    run(COMMANDS[0], tmp_path)  # finished: nothing is touched
    assert before == {path: path.stat().st_mtime_ns for path in before}
