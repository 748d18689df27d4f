"""tools/compare_exports.py: a table of forms of a model."""

import json
import pathlib
import sys

import forked
from dark_boxes import write_images, write_saved_model

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "compare_exports.py"


def run(**arguments):
    flags = [f"--{name}={value}" for name, values in arguments.items() for value in values]
    return forked.run([sys.executable, str(TOOL), *flags])


def test_table_and_lines(tmp_path):
    write_images(tmp_path / "images", [(10, 20, 40, 60), (30, 30, 60, 70)])
    write_saved_model(tmp_path / "a")
    write_saved_model(tmp_path / "b", shift=0.5)
    lines = tmp_path / "table.jsonl"
    ended = run(
        a=[tmp_path / "a"],
        b=[tmp_path / "b"],
        images=[tmp_path / "images"],
        annotations=[tmp_path / "truth.json"],
        output=[lines],
    )
    assert ended.returncode == 0, ended.stderr
    table = {line.split()[0]: line.split()[1:] for line in ended.stdout.splitlines()}
    assert table["artefact"] == ["a", "b"] and table["detections"] == ["2", "2"]
    assert table["box_px_largest"] == ["-", "0.5"] and table["bbox_AP"][0] == "1"
    records = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [record.get("matched") for record in records] == [None, 2]
    if pathlib.Path("/proc/self/status").exists():
        assert all(record["peak_mb"] > record["above_start_mb"] >= 0 for record in records)


def test_one_line_for_what_is_wrong(tmp_path):
    ended = run(a=[tmp_path / "absent"], b=[tmp_path / "absent"], images=[tmp_path])
    assert ended.returncode == 1
    assert ended.stderr.strip().splitlines()[-1].startswith("compare_exports: model is")
