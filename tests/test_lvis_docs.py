"""The commands and the program of docs/lvis.md run as printed on drawn scenes, training with a narrow network."""

import json

import pytest
from PIL import Image
from test_readme import ROOT, blocks, run, small_config

from mask_rcnn_tf.data import records, shapes

TEXT = (ROOT / "docs" / "lvis.md").read_text()
SMALL = [
    "--config.model.preprocess.short_side=96",
    "--config.model.preprocess.max_side=96",
    "--config.data.train_short_sides=(96,)",
    "--config.data.canvases=((96, 96),)",
    "--config.data.repeat_threshold=0.9",
    "--config.model.backbone.norm=batch_norm",
    "--config.model.backbone.stage_blocks=(1, 1, 1, 1)",
    "--config.model.backbone.stage_channels=(8, 8, 16, 16)",
    "--config.model.fpn.channels=32",
    "--config.model.box_head.fc_channels=64",
    "--config.model.detection.max_detections=20",
    "--config.train.batch_size=1",
]


def write(folder):
    """Scenes as LVIS has them: addresses, no crowds; each image was searched for what it shows and one class more."""
    config = small_config()
    config.data.data_dir = str(folder / "cache")
    for split in ("train", "val"):
        images = folder / "coco" / f"{split}2017"
        images.mkdir(parents=True)
        truth = shapes.ground_truth(config, split)
        scenes = shapes.dataset(config, split).map(records.decoded)
        for image, record in zip(truth["images"], scenes.as_numpy_iterator(), strict=True):
            image.pop("file_name", None)
            image["coco_url"] = f"http://images.example.org/{images.name}/{image['id']:012d}.png"
            Image.fromarray(record["image"]).save(images / f"{image['id']:012d}.png")
            absent = sorted({row["id"] for row in truth["categories"]} - set(record["classes"].tolist()))
            image |= {"neg_category_ids": absent[:1], "not_exhaustive_category_ids": []}
        for category in truth["categories"]:
            category["frequency"] = "rcf"[category["id"] % 3]
        for row in truth["annotations"]:
            del row["iscrowd"]
        (folder / f"lvis_v1_{split}.json").write_text(json.dumps(truth))


@pytest.mark.slow  # four processes
def test_commands(tmp_path, monkeypatch, capsys):
    write(tmp_path)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    commands = [line for block in blocks("bash", TEXT) for line in block.splitlines()]
    printed = [run(command, tmp_path, SMALL) for command in commands]
    assert len(printed) == 3 and "0 bad records" in printed[0]
    assert "images come " in printed[1] and "times an epoch" in printed[1]
    lines = (tmp_path / "runs" / "lvis" / "log.jsonl").read_text()
    assert "val_segm_APr" in lines and "val_bbox_AR300" in lines
    scores = json.loads((tmp_path / "runs" / "lvis" / "scores.json").read_text())
    assert list(scores["segm"])[6:10] == ["APr", "APc", "APf", "AR300"]
    trained = json.loads((tmp_path / "runs" / "lvis" / "metrics.json").read_text())
    assert list(trained["segm"]) == list(scores["segm"]) and len(scores["per_category"]["segm"]) == 6
    (program,) = blocks("python", TEXT)
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/lvis.md", "exec"), {})
    table = capsys.readouterr().out
    assert table.strip() in printed[2] and "APr" in table
