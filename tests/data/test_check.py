import json
import pathlib
import sys

import forked
import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.data import check

TOOL = pathlib.Path(__file__).parents[2] / "tools" / "check_data.py"


@pytest.fixture
def files(tmp_path):
    """Two images, one of them without annotations; ids 3 and 7; one crowd; one bad polygon."""
    (tmp_path / "images").mkdir()
    for index in (1, 2):
        Image.fromarray(np.full((40, 50, 3), 40 * index, np.uint8)).save(tmp_path / "images" / f"{index}.png")
    base = {"image_id": 1, "category_id": 7, "bbox": [2, 2, 8, 6], "iscrowd": 0}
    square = {"segmentation": [[2, 2, 10, 2, 10, 8, 2, 8]]}
    rows = [
        base | square | {"id": 1},
        base | square | {"id": 2, "iscrowd": 1},
        base | {"id": 3, "segmentation": [[1, 1]]},
    ]
    content = {
        "images": [{"id": i, "file_name": f"{i}.png", "width": 50, "height": 40} for i in (1, 2)],
        "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "ant"}],
        "annotations": rows,
    }
    (tmp_path / "bad.json").write_text(json.dumps(content))
    (tmp_path / "good.json").write_text(json.dumps(content | {"annotations": rows[:2]}))
    return tmp_path


def test_text_and_samples(files):
    text, report, samples = check.check(str(files / "bad.json"), str(files / "images"), pictures=8)
    lines = [" ".join(line.split()) for line in text.splitlines()]
    assert "images 2 used of 2; 0 bad; 1 without annotations" in lines
    assert "annotations 1 used of 3; 1 crowd left out; 1 bad; 0 on bad images; 0 without mask" in lines
    assert "3 1 0 ant" in lines and "7 2 1 cat" in lines
    assert "image sides 40 to 50 pixels" in lines
    assert "sizes 1 small, 0 medium, 0 large (area below 32^2, below 96^2, above)" in lines
    assert lines[-2] == "1 bad records:"
    assert lines[-1].startswith("annotation 3 of image 1 (1.png): polygon has fewer than 6")
    assert len(report.bad) == 1
    first, empty = samples
    assert (first.name, first.labels, empty.labels) == ("1", ["cat"], [])
    assert first.image.shape == (40, 50, 3) and (first.image == 40).all()
    assert first.masks[0][2:8, 2:10].all() and first.masks[0].sum() == 48
    np.testing.assert_array_equal(first.boxes, [[2, 2, 8, 10]])


def test_boxes_only(files):
    content = json.loads((files / "good.json").read_text())
    for row in content["annotations"]:
        del row["segmentation"]
    (files / "boxes.json").write_text(json.dumps(content))
    text, report, samples = check.check(str(files / "boxes.json"), str(files / "images"), pictures=1)
    assert "boxes only: train with --config.model.mask_head.enabled=False" in text
    assert not report.bad and len(samples) == 1 and samples[0].masks is None


def test_errors(files):
    with pytest.raises(ValueError, match="there is no such file"):
        check.check(str(files / "none.json"), str(files / "images"))
    with pytest.raises(ValueError, match="there is no such folder"):
        check.check(str(files / "good.json"), str(files / "none"))


# Several runs in one process, because importing TensorFlow takes longest.
RUNS = """
import importlib.util, json, os, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
spec = importlib.util.spec_from_file_location("check_data", sys.argv[1])
tool = importlib.util.module_from_spec(spec)
spec.loader.exec_module(tool)
for arguments in json.loads(sys.argv[2]):
    tool.FLAGS(["check_data", *arguments])
    try:
        tool.main([])
    except SystemExit as end:
        print(f"<{end.code}>")
"""


def test_tool(files):
    images, output = f"--images={files / 'images'}", f"--output={files / 'out'}"
    runs = [[f"--annotations={files / name}.json", images] for name in ("none", "good", "bad")]
    runs[-1] += [output, f"--usable={files / 'usable.json'}"]
    command = [sys.executable, "-c", RUNS, str(TOOL), json.dumps(runs)]
    found = forked.run(command, check=True).stdout
    assert found.startswith("<check_data: annotations is ") and "none.json'; there is no such file.>\n" in found
    assert found.count("0 bad records\n<0>\n") == 1  # the good file
    assert found.endswith(f"2 pictures in {files / 'out'}\n<1>\n")
    usable = json.loads((files / "usable.json").read_text())
    assert [row["id"] for row in usable["annotations"]] == [1, 2]  # without the bad one
    width, height = Image.open(files / "out" / "1.png").size  # small images are drawn larger
    assert width / height == 50 / 40 and (files / "out" / "2.png").is_file()


def test_nuclei(shared_data):
    folder = shared_data / "nuclei" / "val"
    _, report, _ = check.check(str(folder / "annotations.json"), str(folder / "images"))
    assert (report.used_images, report.used_annotations, report.bad) == (60, 1674, [])
    assert report.per_category == {1: 1674} and sum(report.sizes.values()) == 1674


def test_crowds_that_cannot_be_read_are_bad_records(files):
    """Training leaves crowds out; scoring reads them, so that the check must."""
    content = json.loads((files / "good.json").read_text())
    content["annotations"][1]["segmentation"] = {"size": [40, 50], "counts": [5, 5]}
    (files / "crowd.json").write_text(json.dumps(content))
    _, report, _ = check.check(str(files / "crowd.json"), str(files / "images"))
    assert [str(record.annotation_id) for record in report.bad] == ["2"]
