"""The commands of docs/data_in.md run as printed, on folders that are made here as each tool lays them out."""

import json
import re
import runpy
import shlex
import sys

import numpy as np
import pytest
from absl import flags
from converting import photo, write
from PIL import Image
from test_readme import ROOT, blocks

from mask_rcnn_tf.conversion import formats
from mask_rcnn_tf.conversion.labelled import Options

TEXT = (ROOT / "docs" / "data_in.md").read_text()
SQUARE = [[2, 3], [10, 3], [10, 9], [2, 9]]  # of 20 x 15
NAMES = ("a", "b", "c")


def labelme(folder):
    for name in NAMES:
        photo(folder / f"{name}.png")
        shape = {"label": "dog", "points": SQUARE, "group_id": None, "shape_type": "polygon"}
        content = {"shapes": [shape], "imagePath": f"{name}.png", "imageHeight": 15, "imageWidth": 20}
        write(folder / f"{name}.json", content)


def via(folder):
    xs, ys = zip(*SQUARE, strict=True)
    shape = {"name": "polygon", "all_points_x": xs, "all_points_y": ys}
    region = {"shape_attributes": shape, "region_attributes": {"kind": "dog"}}
    entries = {f"{name}.png9": {"filename": f"{name}.png", "size": 9, "regions": [region]} for name in NAMES}
    write(folder / "project.json", {"_via_settings": {}, "_via_img_metadata": entries, "_via_attributes": {}})
    for name in NAMES:
        photo(folder / f"{name}.png")


def yolo(folder):
    write(folder / "data.yaml", "train: images\nval: images\nnames: [dog]\n")
    for name in NAMES:
        photo(folder / f"images/{name}.png")
        write(folder / f"labels/{name}.txt", "0 0.1 0.2 0.5 0.2 0.5 0.6 0.1 0.6\n")


def cvat(folder):
    points = ";".join(f"{x},{y}" for x, y in SQUARE)
    polygon = f'<polygon label="dog" occluded="0" points="{points}"/>'
    images = [f'<image id="0" name="{name}.png" width="20" height="15">{polygon}</image>' for name in NAMES]
    write(folder / "annotations.xml", f"<annotations><version>1.1</version>{''.join(images)}</annotations>")
    for name in NAMES:
        photo(folder / f"images/{name}.png")


def video(folder):
    size = "<original_size><width>20</width><height>15</height></original_size>"
    labels = "<labels><label><name>fish</name><type>skeleton</type></label></labels>"
    meta = f"<meta><task><size>2</size><mode>interpolation</mode>{labels}{size}</task></meta>"
    points = "".join(
        f'<points label="{name}" keyframe="1" outside="0" occluded="{covered}" points="{x},{y}"/>'
        for name, x, y, covered in (("nose", 4.5, 3.5, 0), ("tail", 12.5, 9.5, 1))
    )
    shapes = "".join(f'<skeleton frame="{frame}" keyframe="1">{points}</skeleton>' for frame in range(2))
    track = f'<track id="0" label="fish">{shapes}</track>'
    write(folder / "annotations.xml", f"<annotations><version>1.1</version>{meta}{track}</annotations>")
    for frame in range(2):
        photo(folder / f"images/frame_{frame:06}.PNG")


def label_studio(folder):
    value = {"points": [[x * 5, y * 100 / 15] for x, y in SQUARE], "polygonlabels": ["dog"], "closed": True}
    region = {"type": "polygonlabels", "value": value, "original_width": 20, "original_height": 15}
    tasks = [
        {"id": n, "data": {"image": f"/data/upload/1/0123abcd-{name}.png"}, "annotations": [{"result": [region]}]}
        for n, name in enumerate(NAMES)
    ]
    write(folder / "export.json", tasks)
    for name in NAMES:
        photo(folder / f"images/{name}.png")


def mask():
    values = np.zeros((15, 20), np.uint16)
    values[3:9, 2:10] = 1
    return Image.fromarray(values)


def voc(folder):
    box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>10</xmax><ymax>9</ymax></bndbox>"
    (folder / "SegmentationObject").mkdir(parents=True)
    for name in NAMES:
        photo(folder / f"JPEGImages/{name}.png")
        head = f"<filename>{name}.png</filename><size><width>20</width><height>15</height></size>"
        write(
            folder / f"Annotations/{name}.xml", f"<annotation>{head}<object><name>dog</name>{box}</object></annotation>"
        )
        mask().save(folder / f"SegmentationObject/{name}.png")


def masks(folder):
    for name in NAMES:
        photo(folder / f"{name}.png")
        mask().save(folder / f"{name}_cp_masks.png")


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tools").symlink_to(ROOT / "tools")
    tools = {"labelme": labelme, "via": via, "yolo": yolo, "cvat": cvat, "studio": label_studio, "video": video}
    for name, make in (tools | {"voc": voc, "cells": masks}).items():
        make(tmp_path / name)
    return tmp_path


def run(command, monkeypatch, capsys):
    """What a command prints, run in this process."""
    python, *arguments = shlex.split(command)
    known = set(flags.FLAGS)
    monkeypatch.setattr(sys, "argv", arguments)
    try:
        with pytest.raises(SystemExit) as ended:
            runpy.run_path(arguments[0], run_name="__main__")
    finally:
        for flag in set(flags.FLAGS) - known:
            delattr(flags.FLAGS, flag)
    printed = capsys.readouterr()
    assert python == "python" and not ended.value.code, printed.err
    return printed.out


def test_commands(folder, monkeypatch, capsys):
    """Each gives the same square of each image."""
    monkeypatch.chdir(folder)
    lines = [command for block in blocks("bash", TEXT) for command in block.splitlines()]
    printed = [run(line, monkeypatch, capsys) for line in lines]
    assert len(printed) == 15 and not re.findall("^left out: .*|^note: .*", "\n".join(printed), re.MULTILINE)
    for text, name in zip(printed, ("labelme", "via", "yolo", "cvat", "studio", "voc", "cells"), strict=False):
        kind = "cell" if name == "cells" else "dog"
        counts = f"3 images (0 without objects), 3 objects (0 with a box alone), 1 categories ({kind})"
        assert f"{counts}: runs/{name}.json" in text
        coco = json.loads((folder / "runs" / f"{name}.json").read_text())
        assert [(row["bbox"], row["area"]) for row in coco["annotations"]] == [([2, 3, 8, 6], 48)] * 3
    assert "train.json: 2 images (0 without objects), 2 objects" in printed[7] and "0 bad records" in printed[8]
    assert len(list((folder / "runs/check").glob("*.png"))) == 2
    assert len(list((folder / "runs/as_yolo/labels").glob("*.txt"))) == 2
    poses = {path.name: path.read_text().split() for path in (folder / "runs/as_poses/labels").iterdir()}
    assert sorted(poses) == ["frame_000000.txt", "frame_000001.txt"]
    assert all(
        [float(pose[n]) * 20 for n in (5, 8)] == [4.5, 12.5] and pose[7::3] == ["2", "1"] for pose in poses.values()
    )
    assert {path.name for path in (folder / "runs/as_voc").iterdir()} >= {"Annotations", "JPEGImages", "labelmap.txt"}
    assert (folder / "runs/folds/fold_2/val.json").is_file()


def test_the_tables_have_every_format():
    rows = [line.split("|") for line in TEXT.splitlines() if line.startswith("| `") and "`--" not in line.split("|")[1]]
    named = {count: {row[1].strip(" `") for row in rows if len(row) == count} for count in (7, 5)}
    assert named == {7: set(formats.SOURCES), 5: set(formats.FOLDERS)}
    for name in Options.__dataclass_fields__:
        assert f"--{name}" in TEXT
