"""Damaged image files: read, or refused with one line, in prediction, in training and in the check of a data set."""

import collections
import json
import pathlib
import subprocess
import sys

import pytest
from image_mutations import BAND_FORMS, CHANNELS, FORMS, SHAPE, mutations, whole_band_files

CHILD = pathlib.Path(__file__).parent / "read_images.py"


@pytest.mark.parametrize("count", [120, pytest.param(3000, marks=pytest.mark.slow)])
def test_damaged_images(tmp_path, count, record_property):
    check_outcomes(tmp_path, list(mutations(count)), len(FORMS), (3, 8), record_property)


@pytest.mark.parametrize("count", [70, pytest.param(2000, marks=pytest.mark.slow)])
def test_damaged_images_of_many_channels(tmp_path, count, record_property):
    pytest.importorskip("rasterio", reason="the extra geo is not installed")
    files = list(mutations(count, make=whole_band_files))
    check_outcomes(tmp_path, files, len(BAND_FORMS), (CHANNELS, 16), record_property)


def check_outcomes(tmp_path, files, whole, kind, record_property):
    """Files are (name, bytes), the first `whole` ones undamaged; `kind` is (channels, bits) of the model."""
    folder, count = tmp_path / "images", len(files)
    folder.mkdir()
    for number, (name, content) in enumerate(files):
        (folder / f"{number:05d}_{name}").write_bytes(content)
    command = [sys.executable, str(CHILD), str(folder), *map(str, SHAPE + kind)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + count, check=False)
    *lines, checked = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0 and len(lines) == count, f"after {lines[-1:]}: {done.stderr[-3000:]}"
    outcomes = collections.Counter()
    for line in lines:
        assert "\n" not in line["predict"] and "\n" not in line["train"], line
        assert 1 <= line["orientation"] <= 8
        outcomes[f"predict {'read' if line['predict'] == 'read' else 'refused'}"] += 1
        outcomes[f"train {'read' if line['train'] == 'read' else 'refused'}"] += 1
    assert all(line["predict"] == "read" for line in lines[:whole])  # the whole ones
    assert checked["used"] == outcomes["train read"] and checked["bad"] == outcomes["train refused"]
    assert 0 < outcomes["predict refused"] < count
    record_property("outcomes", json.dumps(outcomes))


def test_the_same_seed_gives_the_same_files():
    assert list(mutations(60, 1)) == list(mutations(60, 1)) != list(mutations(60, 2))
