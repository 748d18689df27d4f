"""The commands of docs/keypoints.md run as they are printed; only the length of training is cut."""

import json
import pathlib

import pytest
from PIL import Image
from test_readme import ROOT, blocks, run, small_config

from mask_rcnn_tf.data import records, shapes

TEXT = (ROOT / "docs" / "keypoints.md").read_text()


def write_data(folder: pathlib.Path, name="glue_tubes", with_masks=False):
    """Scenes with two keypoints, with masks or without, where the photographs are."""
    config = small_config()
    config.data.data_dir, config.data.shapes.num_keypoints = str(folder / "cache"), 2
    config.data.flip_horizontal = config.data.flip_vertical = False  # a mirror's top is a bottom
    for split in ("train", "val"):
        images = folder / name / split / "images"
        images.mkdir(parents=True)
        truth = shapes.ground_truth(config, split)
        scenes = shapes.dataset(config, split).map(records.decoded)
        for image, record in zip(truth["images"], scenes.as_numpy_iterator(), strict=True):
            image["file_name"] = f"{image['id']}.png"
            Image.fromarray(record["image"]).save(images / image["file_name"])
        for row in [] if with_masks else truth["annotations"]:
            del row["segmentation"]
        (images.parent / "annotations.json").write_text(json.dumps(truth))


@pytest.mark.slow  # four processes
def test_commands(tmp_path):
    write_data(tmp_path)
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    commands = [line for block in blocks("bash", TEXT) for line in block.splitlines()]
    printed = [run(command, tmp_path) for command in commands]
    scenes = json.loads((tmp_path / "runs" / "scenes" / "annotations.json").read_text())
    assert len(scenes["images"]) == 8 and all(len(row["keypoints"]) == 15 for row in scenes["annotations"])
    assert "keypoint" in printed[0] and "keypoints    2 an instance: top, right" in printed[1]
    assert len(list((tmp_path / "runs" / "tubes" / "truth").glob("*.png"))) == 8
    metrics = json.loads((tmp_path / "runs" / "tubes" / "val.json").read_text())
    assert {"AP", "AP50", "APm", "AR"} <= set(metrics["keypoints"]) and "segm" not in metrics
    results = json.loads((tmp_path / "runs" / "tubes" / "pictures" / "results.json").read_text())
    assert all(len(result["keypoints"]) == 6 for result in results)
