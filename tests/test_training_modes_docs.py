"""The commands of docs/training_modes.md run as they are printed; only the length of training is cut."""

import json

import numpy as np
import pytest
from test_readme import ROOT, SHORT, SMALL, blocks, run

TEXT = (ROOT / "docs" / "training_modes.md").read_text()


@pytest.mark.slow  # eleven runs
def test_commands(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    commands = [line for block in blocks("bash", TEXT) for line in block.splitlines()]
    commands = [command.replace("--count 200", "--count 12").replace("--count 40", "--count 4") for command in commands]
    overrides = [*SMALL, "--config.train.summary_every=1"]  # losses of two steps in the log
    short = " ".join(f"'{flag}'" for flag in (*SHORT, *SMALL))
    printed = [
        run(f"{command} {short}" if "train_four_steps.py" in command else command, tmp_path, overrides)
        for command in commands
    ]
    assert len(printed) == 9
    score = json.loads((tmp_path / "runs" / "rpn" / "val.json").read_text())
    assert list(score) == ["proposals", "per_category"] and {"AR100", "AR1000", "ARs100"} <= set(score["proposals"])
    with np.load(tmp_path / "runs" / "rpn" / "train.npz") as file:
        assert len(file["image_ids"]) == 12 and file["counts"].min() > 0
    losses = json.loads((tmp_path / "runs" / "separate" / "log.jsonl").read_text().splitlines()[0])
    assert "box_class" in losses and "rpn_box" not in losses
    for name in ("separate/val.json", "four/metrics.json"):
        assert {"bbox", "segm"} < set(json.loads((tmp_path / "runs" / name).read_text()))
    folders = {path.name for path in (tmp_path / "runs" / "four").iterdir() if path.is_dir()}
    assert folders == {"1_rpn", "2_detector", "3_rpn", "4_detector"}
