"""The commands of docs/data_in.md run as printed, on folders that are made here as each tool writes them."""

import json

from converting import photo, write
from test_readme import ROOT, blocks, run

TEXT = (ROOT / "docs" / "data_in.md").read_text()
SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]


def labelme(folder):
    for name in ("a", "b"):
        photo(folder / f"{name}.png")
        shape = {"label": "dog", "points": SQUARE, "group_id": None, "shape_type": "polygon"}
        write(
            folder / f"{name}.json",
            {"shapes": [shape], "imagePath": f"{name}.png", "imageHeight": 15, "imageWidth": 20},
        )


def test_commands(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    labelme(tmp_path / "labelled")
    printed = [run(command, tmp_path) for block in blocks("bash", TEXT) for command in block.splitlines()]
    assert (
        "2 images (0 without objects), 2 objects (0 with a box alone), 1 categories (dog): runs/labelme.json"
        in printed[0]
    )
    assert "0 bad records" in printed[1]
    assert len(json.loads((tmp_path / "runs" / "labelme.json").read_text())["annotations"]) == 2
