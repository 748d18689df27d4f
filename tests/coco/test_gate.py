"""The gate: what is mended, what a whole file shows, and that scoring gets nothing else."""

import numpy as np
import pytest

from mask_rcnn_tf.coco import completion, judge
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.gate import Gate

IMAGE = {"id": 1, "file_name": "a.png", "height": 40, "width": 50}
SQUARE = [2, 3, 12, 3, 12, 9, 2, 9]  # x 2..12, y 3..9
BOX = [3, 2, 9, 12]


def row(number=1, **changes):
    base = {"id": number, "image_id": 1, "category_id": 1, "bbox": [2, 3, 10, 6], "segmentation": [SQUARE]}
    return {key: value for key, value in (base | changes).items() if value != "none"}


def file_of(*rows, **changes):
    return {"images": [IMAGE], "annotations": list(rows), "categories": [{"id": 1, "name": "a"}]} | changes


@pytest.mark.parametrize(
    ("change", "repairs"),
    [
        ({"bbox": [0, 0, 0, 0]}, [judge.SIZELESS]),
        ({"bbox": [12, 3, -10, 6]}, [judge.SIZELESS]),
        ({"bbox": []}, [judge.NO_BOX]),
        ({"bbox": None}, [judge.NO_BOX]),
        ({"bbox": "none"}, []),
        ({"bbox": [30, 20, 10, 6]}, [judge.UNLIKE]),
        ({"bbox": [300, 20, 10, 6]}, [judge.UNLIKE]),
        ({"segmentation": [SQUARE, [1, 1]]}, [judge.STRAY_PART]),
        ({"segmentation": [SQUARE, [30, 30, 31, 31], []]}, [judge.STRAY_PART]),
        ({"segmentation": [[]]}, []),
        ({"segmentation": []}, []),
        ({"iscrowd": "0"}, [judge.CROWD_TEXT]),
        ({"iscrowd": False}, []),
        ({"iscrowd": 0.0}, []),
        ({"iscrowd": None}, []),
    ],
)
def test_repairs(change, repairs):
    found = judge.judge(row(**change), IMAGE)
    np.testing.assert_array_equal(found.box, BOX)
    assert list(found.repairs) == repairs and not found.is_crowd
    assert found.runs[1::2].sum() == (0 if change.get("segmentation") in ([], [[]]) else 60)
    gate = Gate(file_of(row(**change)))
    assert gate.admit(row(**change)) is not None and gate.repairs == dict.fromkeys(repairs, 1)


@pytest.mark.parametrize("value", [1, "1", True, 1.0])
def test_crowds(value):
    assert judge.judge(row(iscrowd=value), IMAGE).is_crowd


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iscrowd": float("nan")}, "iscrowd is not 0 or 1"),
        ({"iscrowd": "false"}, "iscrowd is not 0 or 1"),
        ({"iscrowd": 2}, "iscrowd is not 0 or 1"),
        ({"iscrowd": [0]}, "iscrowd is not 0 or 1"),
        ({"bbox": ["2", "3", "10", "6"]}, "box is not a list of numbers"),
        ({"bbox": [12, 3, -10, 6], "segmentation": []}, "box has no area"),
        ({"bbox": None, "segmentation": [[]]}, "annotation has neither box nor mask"),
        ({"segmentation": [[1, 1], [2, 2, 3, 3]]}, "fewer than 6"),
        ({"segmentation": {"size": [50, 40], "counts": [2000]}}, "RLE of another size than the image"),
        ({"segmentation": {"size": [40, 50], "counts": [1, 2]}}, "RLE counts do not add up to the image: to 3"),
    ],
)
def test_what_cannot_be_mended(change, reason):
    with pytest.raises(Rejected, match=reason):
        judge.judge(row(**change), IMAGE)
    gate = Gate(file_of(row(**change)))
    assert gate.admit(row(**change)) is None and reason in str(gate.bad[0])
    with pytest.raises(ValueError, match=f"ground_truth: annotation 1 of image 1: .*{reason}"):
        completion.complete(file_of(row(**change)))


def test_all_bad_rows_are_named_at_once():
    rows = [row(1), row(2, bbox=[1, 2]), row(3, category_id=7), row(4, segmentation=[[1, 2, None, 4, 5, 6]])]
    with pytest.raises(ValueError, match="3 of 4 annotations cannot be scored") as error:
        completion.complete(file_of(*rows))
    lines = str(error.value).split("\n")[1:]
    assert sorted(line.split(" of image ")[0] for line in lines) == [f"  annotation {number}" for number in (2, 3, 4)]


def test_completed_as_it_was_mended():
    rows = [row(0, bbox=[0, 0, 0, 0], area=None), row(2**63, segmentation=[SQUARE, [1, 1]], iscrowd="0")]
    (first, second), notes = (lambda found: (found[0]["annotations"], found[1]))(completion.complete(file_of(*rows)))
    assert (first["bbox"], first["area"], first["id"]) == ([2, 3, 10, 6], 60, 1)
    assert (second["segmentation"], second["iscrowd"], second["id"]) == ([SQUARE], 0, 2)
    assert len([note for note in notes if note.startswith("repaired: 1 x")]) == 3
    content, lost = completion.usable(file_of(row(1), row(2, segmentation=[]), row(3, bbox=[1])))
    assert [item["id"] for item in content["annotations"]] == [1] and lost == 2
    assert completion.complete(content)[0]["annotations"] == content["annotations"]


def test_what_a_whole_file_shows():
    gate = Gate(file_of(row(1, area=2000), row(2, area=60), row(3, area=61, bbox=None)))
    for item in gate.coco["annotations"]:
        gate.admit(item)
    notes = "; ".join(gate.notes())
    assert "2 annotations are exact doubles of others" in notes
    assert "area is unlike the mask's in 1 of 3 annotations; APs, APm, APl will be wrong" in notes
    twice = Gate(file_of(images=[IMAGE, IMAGE | {"id": 2}]))
    assert "2 images are only 1 files (first: 'a.png')" in twice.notes()[0]


def test_contradictions():
    crowds = file_of(row(1, iscrowd=1), row(2, iscrowd=1))
    with pytest.raises(ValueError, match="all 2 usable annotations are crowds .*CVAT writes every brush mask"):
        completion.complete(crowds)
    with pytest.raises(ValueError, match="category ids 0 to 1, the table of categories 1 to 2"):
        completion.complete(
            file_of(row(1, category_id=0), row(2), categories=[{"id": 1, "name": "a"}, {"id": 2, "name": "b"}])
        )
