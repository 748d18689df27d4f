"""The commands of docs/cityscapes.md run as printed on a drawn folder, training with a narrow network."""

import json

import drawn_city
import pytest
from test_readme import ROOT, blocks, run

TEXT = (ROOT / "docs" / "cityscapes.md").read_text()
SMALL = [
    "--config.model.preprocess.short_side=96",
    "--config.model.preprocess.max_side=192",
    "--config.data.train_short_sides=(96,)",
    "--config.data.canvases=((96, 192), (192, 96))",
    "--config.model.backbone.norm=batch_norm",
    "--config.model.backbone.stage_blocks=(1, 1, 1, 1)",
    "--config.model.backbone.stage_channels=(8, 8, 16, 16)",
    "--config.model.detection.score_threshold=0.0",
    "--config.train.batch_size=1",
]


@pytest.mark.slow  # seven processes
def test_commands(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    for split in ("train", "val"):
        drawn_city.write(tmp_path / "cityscapes", split)
    printed = [run(command, tmp_path, SMALL) for block in blocks("bash", TEXT) for command in block.splitlines()]
    assert len(printed) == 6
    assert "3 images, 9 objects, 3 groups: runs/cityscapes_train.json" in printed[0]
    results = json.loads((tmp_path / "runs" / "cityscapes" / "results.json").read_text())
    lists = sorted((tmp_path / "runs" / "cityscapes" / "submission").glob("*_pred.txt"))
    assert len(lists) == 3 and sum(len(path.read_text().splitlines()) for path in lists) == len(results) > 0
    assert {result["category_id"] for result in results} <= {24, 25, 26, 27, 28, 31, 32, 33}
