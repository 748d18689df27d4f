"""What form a file's boxes have, told from its masks."""

import numpy as np
import pytest

from mask_rcnn_tf.coco import boxes

SIZE = (96, 128)  # height, width
CORNERS = [(10, 20, 40, 60), (50, 70, 80, 100), (30, 5, 60, 35), (5, 80, 25, 120), (60, 30, 90, 70), (40, 60, 64, 90)]


def coco(box_of):
    """A file of one image; `box_of(y1, x1, y2, x2)` is what stands in `bbox`."""
    rows = []
    for number, (y1, x1, y2, x2) in enumerate(CORNERS, start=1):
        row = {"id": number, "image_id": 1, "category_id": 1, "bbox": box_of(y1, x1, y2, x2)}
        rows.append(row | {"segmentation": [[x1, y1, x2, y1, x2, y2, x1, y2]]})
    image = {"id": 1, "file_name": "a.png", "height": SIZE[0], "width": SIZE[1]}
    return {"images": [image], "annotations": rows, "categories": [{"id": 1, "name": "a"}]}


@pytest.mark.parametrize(
    ("box_of", "form"),
    [
        (lambda y1, x1, y2, x2: [x1, y1, x2 - x1, y2 - y1], "[x, y, width, height]"),
        (lambda y1, x1, y2, x2: [x1, y1, x2, y2], "[x1, y1, x2, y2]"),
        (lambda y1, x1, y2, x2: [y1, x1, y2, x2], "[y1, x1, y2, x2]"),
        (
            lambda y1, x1, y2, x2: [x1 / 128, y1 / 96, (x2 - x1) / 128, (y2 - y1) / 96],
            "[x, y, width, height] normalised to the image",
        ),
        (
            lambda y1, x1, y2, x2: [(x1 + x2) / 256, (y1 + y2) / 192, (x2 - x1) / 128, (y2 - y1) / 96],
            "[x centre, y centre, width, height] normalised to the image",
        ),
    ],
)
def test_form(box_of, form):
    table = coco(box_of)
    found = boxes.judge_boxes(table)
    assert str(found.form) == form and not found.contradiction
    assert bool(found.note) == (form != "[x, y, width, height]") and form in (found.note or form)
    for row, corners in zip(table["annotations"], CORNERS, strict=True):
        read = found.form.corners(np.array(row["bbox"], float), *SIZE)
        np.testing.assert_allclose(read, corners, atol=1e-9)


def test_boxes_of_other_rows():
    table = coco(lambda y1, x1, y2, x2: [x1, y1, x2 - x1, y2 - y1])
    masks = [row["segmentation"] for row in table["annotations"]]
    for row, mask in zip(table["annotations"], masks[1:] + masks[:1], strict=True):
        row["segmentation"] = mask
    assert "they fit in 0 of 6 compared annotations" in boxes.judge_boxes(table).contradiction
    table["annotations"] = table["annotations"][:3]  # too few to tell
    assert boxes.judge_boxes(table) == boxes.Verdict()


def test_some_odd_boxes_are_no_contradiction():
    """Boxes of whole objects beside masks of their visible part: IoU 0.6."""
    table = coco(lambda y1, x1, y2, x2: [x1, y1, (x2 - x1) / 0.6, y2 - y1])
    assert boxes.judge_boxes(table) == boxes.Verdict()


def test_iou():
    a, b = np.array([0.0, 0, 10, 10]), np.array([5.0, 0, 15, 10])
    assert boxes.iou(a, b) == pytest.approx(50 / 150) and boxes.iou(a, a) == 1
    assert boxes.iou(a, np.array([20.0, 0, 30, 10])) == 0 and boxes.iou(a, np.zeros(4)) == 0
    assert boxes.agree(np.array([0.0, 0, 3, 3]), np.array([1.0, 1, 2, 2]))  # two pixels of a small object
