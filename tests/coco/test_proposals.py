"""Files of stored proposals: what is written is read, and what does not hold together or fit is refused in one line."""

import numpy as np
import pytest

from mask_rcnn_tf.coco import proposals

BOXES = np.float32([[0, 0, 5, 9], [1, 2, 3, 4], [2, 2, 2, 8]])
ROWS = [
    (7, (15, 20), BOXES, np.float32([0.9, 0.5, 0.25])),
    (3, (30, 40), BOXES[:0], np.zeros(0, np.float32)),
    (900000000000, (15, 20), BOXES[1:2], np.float32([0.125])),
]


@pytest.fixture
def path(tmp_path):
    proposals.write(tmp_path / "p.npz", ROWS)
    return tmp_path / "p.npz"


def test_what_is_written_is_read(path):
    stored = proposals.read(path)
    assert stored.image_ids.tolist() == [3, 7, 900000000000] and stored.shapes.tolist() == [
        [30, 40],
        [15, 20],
        [15, 20],
    ]
    for number, _, boxes, scores in ROWS:
        np.testing.assert_array_equal(stored.of_image(number), boxes)
        row = stored.image_ids.tolist().index(number)
        np.testing.assert_array_equal(stored.scores[stored.starts[row] : stored.starts[row + 1]], scores)
    proposals.check_images(stored, [(7, 15, 20), (900000000000, 15, 20), (3, 30, 40)])
    assert sorted(item.name for item in path.parent.iterdir()) == ["p.npz"]


def test_images_that_are_missing_or_of_other_sizes(path):
    stored = proposals.read(path)
    with pytest.raises(
        ValueError, match=r"^here is '.*p.npz', which lacks 4 of 5 images \(ids 1, 2, 4, ...\); allowed"
    ):
        proposals.check_images(stored, [(i, 15, 20) for i in (1, 2, 4, 5, 7)], "here")
    with pytest.raises(
        ValueError, match=r"1 of 2 images have other sizes .* \(image 7: \(15, 20\) there, \(20, 15\) here"
    ):
        proposals.check_images(stored, [(3, 30, 40), (7, 20, 15)])


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"boxes": BOXES[:, ::-1]}, "counts add up to 4, boxes are 3, scores 4"),
        ({"boxes": np.concatenate([BOXES, [[4, 4, 3, 9]]])}, "a box ends before it begins"),
        ({"boxes": np.full((4, 4), np.nan, np.float32)}, "not finite"),
        ({"boxes": np.zeros((4, 5), np.float32)}, "not of the same images"),
        ({"counts": np.array([5, -2, 1])}, "counts add up"),
        ({"image_ids": np.array([7, 3, 9])}, "image_ids do not ascend"),
        ({"image_ids": np.array([1.0, 3.0, 9.0])}, r"image_ids is float64 \[3\]"),
        ({"shapes": np.zeros((2, 2), np.int32)}, "not of the same images"),
        ({"scores": np.array([{}] * 4)}, "no file of proposals"),
    ],
)
def test_damaged(path, changed, message):
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(path, **arrays | changed)
    with pytest.raises(ValueError, match=message) as error:
        proposals.read(path, "config.data.train_proposals")
    assert str(error.value).startswith("config.data.train_proposals is ") and "\n" not in str(error.value)


@pytest.mark.parametrize("content", [b"", b"PK\3\4", b"[]", b"\x93NUMPY"])
def test_something_else(tmp_path, content):
    (tmp_path / "other.npz").write_bytes(content)
    with pytest.raises(ValueError, match="proposals is '.*other.npz'.*no file of proposals"):
        proposals.read(tmp_path / "other.npz")
    with pytest.raises(ValueError, match="there is no such file"):
        proposals.read(tmp_path / "gone.npz")
