"""The commands and the program of docs/large_images.md run as printed, with a tiny model of random weights."""

import json
import sys

import forked
from test_readme import ROOT, blocks
from tiny import finding_config, finding_model

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import shapes

TEXT = (ROOT / "docs" / "large_images.md").read_text()


def test_commands(tmp_path):
    config = finding_config()
    config.num_classes, config.class_names, config.category_ids = 6, (), ()
    model = finding_model(config=config)
    model.save(tmp_path / "model.keras")
    (tmp_path / "runs" / "demo").mkdir(parents=True)
    (tmp_path / "model.keras").rename(tmp_path / "runs" / "demo" / "model.keras")
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    shapes.write_folder(Config(), "val", tmp_path / "runs" / "val", 3)
    (commands,), (program,) = blocks("bash", TEXT), blocks("python", TEXT)
    for line in commands.splitlines():
        done = forked.run([sys.executable, *line.split()[1:]], cwd=tmp_path)
        assert done.returncode == 0, f"{line}\n{done.stderr[-2000:]}"
    results = json.loads((tmp_path / "runs" / "tiles" / "results.json").read_text())
    assert {tuple(result["segmentation"]["size"]) for result in results} == {(192, 192)}
    assert "AP" in json.loads((tmp_path / "runs" / "tiles.json").read_text())["segm"]
    done = forked.run([sys.executable, "-c", program], cwd=tmp_path)
    assert done.returncode == 0 and done.stdout.endswith(" objects\n"), done.stderr[-2000:]
