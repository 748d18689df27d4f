"""`references/small_data.py`: which images, what is trained, what is run again, and the tables."""

import json
import pathlib
import sys

import forked
import numpy as np
import pytest

from mask_rcnn_tf.data import shapes
from mask_rcnn_tf.presets import load_config

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "references"))

import small_data  # noqa: E402

CONTENT = {
    "info": {"year": 2026},
    "images": [{"id": 10 * number, "file_name": f"{number}.png"} for number in range(40)],
    "annotations": [{"id": number, "image_id": 10 * (number % 40)} for number in range(100)],
    "categories": [{"id": 3, "name": "nucleus"}],
}


def ids(number, seed):
    return {image["id"] for image in small_data.first_images(CONTENT, number, seed)["images"]}


def test_more_images_are_the_fewer_and_others():
    for seed in range(3):
        assert ids(5, seed) < ids(20, seed) < ids(40, seed) and len(ids(20, seed)) == 20
    assert ids(20, 0) != ids(20, 1)


def test_images_come_with_what_is_on_them():
    part = small_data.first_images(CONTENT, 7, 0)
    chosen = {image["id"] for image in part["images"]}
    wanted = [row["id"] for row in CONTENT["annotations"] if row["image_id"] in chosen]
    assert [row["id"] for row in part["annotations"]] == wanted and len(wanted) >= 14
    assert part["categories"] == CONTENT["categories"] and len(CONTENT["images"]) == 40
    with pytest.raises(ValueError, match=r"numbers has 41; allowed: 1 to 40, the images of --annotations"):
        small_data.first_images(CONTENT, 41, 0)


def line(who, number, seed, mask_ap):
    scores = {"segm": {"AP": mask_ap, "AP50": 0.5}, "bbox": {"AP": 0.3}}
    return {"who": who, "n": number, "seed": seed, "seconds": 90.0, "cpu_seconds": 120.0 + 60 * seed, **scores}


def test_tables():
    found = {("torchvision", 50): (0.30, 0.34), ("suggested", 50): (0.35, 0.37), ("torchvision", 20): (0.2, 0.2)}
    lines = [line(*run, seed, value) for run, values in found.items() for seed, value in enumerate(values)]
    text = small_data.tables(lines)
    assert text.index("20 images") < text.index("50 images")
    # means 0.32 and 0.36; deviations of two numbers are their distance by the root of 2; gains 0.05 and 0.03
    assert f"| torchvision | 2 | 0.320 ± {0.04 / 2**0.5:.3f} |" in text
    (row,) = [part for part in text.splitlines() if part.startswith("| suggested | 2 |")]
    assert row.endswith(f"| +0.040 ± {0.02 / 2**0.5:.3f} |")
    assert text.count("CPU minutes a run: torchvision 2.5") == 2 and "suggested 2.5." in text


def words(folder, *more):
    files = [f"--annotations={folder}/train.json", f"--images={folder}"]
    files += [f"--val_annotations={folder}/train.json", f"--val_images={folder}"]
    return [*files, f"--output={folder}/runs", *more]


def write_annotations(path):
    """Four images of 256 x 256 with five squares each."""
    content = {**CONTENT, "images": [], "annotations": []}
    for number in range(4):
        content["images"].append({"id": number, "file_name": f"{number}.png", "height": 256, "width": 256})
        for x in range(10, 210, 40):
            row = {"image_id": number, "category_id": 3, "bbox": [x, x, 20, 20], "area": 400, "iscrowd": 0}
            outline = [x, x, x + 20, x, x + 20, x + 20, x, x + 20]
            content["annotations"].append(row | {"id": 1000 * number + x, "segmentation": [outline]})
    path.write_text(json.dumps(content))


def test_rows_share_what_they_see(tmp_path):
    write_annotations(tmp_path / "train.json")
    args = small_data.arguments(words(tmp_path, "--torch_python", "python", "--seen", "400"))
    configs = {row: small_data.configured(row, args, tmp_path / "train.json", 1) for row in small_data.ROWS}
    for row, config in configs.items():
        assert config.train.steps * config.train.batch_size == 400, row
        assert config.train.warmup_steps <= config.train.steps / 8 and config.train.seed == config.model.seed == 1
        assert config.model.category_ids == (3,) and config.model.num_classes == 1
    assert configs["torchvision"] == configs["ours"]
    model, data = configs["ours"].model, configs["ours"].data
    assert (model.anchors.sizes[0], model.roi.canonical_size, model.roi.aligned) == ((8.0,), 56.0, False)
    assert data.flip_horizontal and data.flip_vertical and not data.right_angles and data.brightness == 0
    assert configs["augmented"].data.brightness == 0.2 and configs["suggested"].data.brightness == 0
    configs["augmented"].data = configs["suggested"].data
    assert configs["augmented"] == configs["suggested"] and configs["suggested"].data.right_angles


def test_a_folder_has_runs_of_one_kind(tmp_path):
    first = small_data.arguments(words(tmp_path, "--rows", "suggested"))
    small_data.check_settings(first)
    small_data.check_settings(small_data.arguments(words(tmp_path, "--rows", "preset", "--seeds", "7")))
    with pytest.raises(ValueError, match=r"seen is 80; allowed in .*runs, whose runs have it so: 800\."):
        small_data.check_settings(small_data.arguments(words(tmp_path, "--rows", "preset", "--seen", "80")))


def test_augmentation_is_of_the_data(tmp_path, capsys):
    args = small_data.arguments(words(tmp_path, "--rows", "augmented", "--augment", "crop=0.6", "rotation=180"))
    assert args.augment == [["crop", 0.6], ["rotation", 180.0]]
    small_data.check_settings(args)
    small_data.check_settings(args)  # as JSON has it
    for text in ("brightnes=0.2", "crop", "validate=1"):
        with pytest.raises(SystemExit):
            small_data.arguments(words(tmp_path, "--rows", "augmented", "--augment", text))
        assert "--augment" in capsys.readouterr().err


def test_torchvision_wants_its_python(tmp_path, capsys):
    with pytest.raises(SystemExit):
        small_data.arguments(words(tmp_path, "--rows", "ours"))
    assert "--torch_python is needed" in capsys.readouterr().err


@pytest.mark.slow  # a process that trains
def test_what_has_a_line_is_not_run_again(tmp_path):
    shapes.write_folder(load_config("mask_rcnn_shapes"), "val", tmp_path / "data", 4)
    files = [f"--{name}={path}" for name, path in (("annotations", "data/annotations.json"), ("images", "data"))]
    files += [word.replace("--", "--val_") for word in files]
    options = ["--output=runs", "--rows", "suggested", "--numbers", "2", "--seeds", "0", "--seen", "8"]
    command = [sys.executable, str(ROOT / "references" / "small_data.py"), *files, *options]
    printed = [forked.run(command, cwd=tmp_path) for _ in range(2)]
    assert [done.returncode for done in printed] == [0, 0], printed[0].stderr[-2000:]
    assert "run 1 of 1" in printed[0].stdout and "run 1 of 1" not in printed[1].stdout
    (found,) = [json.loads(text) for text in (tmp_path / "runs" / "runs.jsonl").read_text().splitlines()]
    assert (found["who"], found["n"], found["seed"]) == ("suggested", 2, 0) and found["cpu_seconds"] > 1
    losses = [json.loads(text) for text in (tmp_path / "runs/suggested-2-0/losses.jsonl").read_text().splitlines()]
    assert [row["step"] for row in losses] == list(range(len(losses))) and np.isfinite(losses[-1]["loss"])
    assert (tmp_path / "runs" / "table.md").read_text() + "\n" in printed[1].stdout
