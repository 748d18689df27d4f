"""Every cell of docs/first_model.ipynb runs, in order; only the length of training is cut."""

import json
import os
import sys

import forked
import pytest
from test_readme import ROOT

BOOK = json.loads((ROOT / "docs" / "first_model.ipynb").read_text())
CELLS = ["".join(cell["source"]) for cell in BOOK["cells"] if cell["cell_type"] == "code"]


def test_it_is_stored_without_outputs():
    assert BOOK["nbformat"] == 4 and len({cell["id"] for cell in BOOK["cells"]}) == len(BOOK["cells"])
    assert all(not cell.get("outputs") and not cell.get("execution_count") for cell in BOOK["cells"])


@pytest.mark.slow  # a model is trained, saved and exported
def test_cells(tmp_path):
    program = "\n".join(CELLS)
    cut = program.replace("epochs=20", "epochs=0.1").replace("count=200", "count=20")
    assert cut.count("epochs=0.1") == cut.count("count=20") == 1
    environment = os.environ | {"TFDS_DATA_DIR": str(tmp_path / "cache")}
    done = forked.run([sys.executable, "-c", cut], cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    assert (tmp_path / "notebook" / "run" / "report.html").is_file()
    assert (tmp_path / "notebook" / "export" / "1" / "saved_model.pb").is_file()
