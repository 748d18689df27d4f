"""mask_rcnn_client: from what runtimes give to objects, by NumPy alone."""

import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest

import mask_rcnn_client as client

ROOT = pathlib.Path(__file__).parents[2]
LEGEND = client.make_legend({"7": "cat", "90": "dog"})
ALONE = """
import sys
for name in ("tensorflow", "keras", "pycocotools", "PIL", "mask_rcnn_tf"):
    sys.modules[name] = None  # importing it fails
import numpy as np
import mask_rcnn_client as client
outputs = {name: value for name, value in np.load(sys.argv[1]).items()}
(found,) = client.from_outputs(outputs, client.read_legend(sys.argv[2]), [(20, 30)])
print([(one.class_name, int(one.mask.sum())) for one in found.select(0.5)])
"""


def outputs():
    """Two images: two objects, none."""
    boxes, masks = np.zeros((2, 3, 4), np.float32), np.zeros((2, 3, 28, 28), np.float32)
    boxes[0, 0], boxes[0, 1], masks[0, :2] = (2, 3, 12, 9), (0, 0, 4, 4.5), 1
    return {
        "num_detections": np.array([2, 0], np.int32),
        "detection_boxes": boxes,
        "detection_scores": np.array([[0.9, 0.25, 0], [0, 0, 0]], np.float32),
        "detection_classes": np.array([[90, 7, 0], [0, 0, 0]], np.int32),
        "detection_masks": masks,
        "detection_keypoints": np.ones((2, 3, 5, 3), np.float32),
    }


def listed(values):
    """As JSON brings it."""
    return json.loads(json.dumps({name: value.tolist() for name, value in values.items()}))


def test_in_a_process_with_numpy_alone(tmp_path):
    first = {name: value[:1] for name, value in outputs().items()}
    np.savez(tmp_path / "outputs.npz", **first)
    (tmp_path / "labels.json").write_text('{"7": "cat", "90": "dog"}')
    (tmp_path / "config.json").write_text('{"detection": {"mask_threshold": 0.5, "paste": "continuous", "x": 1}}')
    command = [sys.executable, "-c", ALONE, tmp_path / "outputs.npz", tmp_path]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "[('dog', 60)]\n"


@pytest.mark.parametrize("form", [dict, listed])
def test_batches_without_their_padding(form):
    first, second = client.from_outputs(form(outputs()), LEGEND, [(20, 30), (5, 6)])
    assert (len(first), len(second), second.masks.shape, second.keypoints.shape[0]) == (2, 0, (0, 5, 6), 0)
    assert first.class_names == ["dog", "cat"] and first.category_ids == [90, 7] and first.classes.tolist() == [2, 1]
    assert [array.dtype for array in (first.boxes, first.scores, first.classes)] == ["float32", "float32", "int32"]
    expected = np.zeros((2, 20, 30), bool)
    expected[0, 2:12, 3:9] = expected[1, :4, :4] = True  # the last column is covered by half a cell of the mask
    expected[1, :4, 4] = first.masks[1, :4, 4]
    np.testing.assert_array_equal(first.masks, expected)
    assert first.keypoints.shape == (2, 5, 3)


def test_unpad():
    batch = {"detection_scores": np.array([[0.9, 0.8, 0.0], [0.7, 0.0, 0.0]]), "num_detections": np.array([2, 1])}
    np.testing.assert_array_equal(client.unpad(batch, 0)["detection_scores"], [0.9, 0.8])
    assert set(client.unpad(batch, 1)) == {"detection_scores"}


def test_shapes_may_be_among_the_outputs():
    given = outputs() | {"original_shape": np.array([[20, 30], [5, 6]], np.int32)}
    assert [found.image_shape for found in client.from_outputs(given, LEGEND)] == [(20, 30), (5, 6)]


@pytest.mark.parametrize("form", [dict, listed])
def test_masks_that_the_graph_has_pasted(form):
    """They are as large as the largest image of the batch."""
    bitmaps = np.zeros((2, 3, 20, 30), np.uint8)
    bitmaps[0, 0, 2:4, 3:9] = 1
    given = form(outputs() | {"num_detections": np.array([1, 0]), "detection_masks": bitmaps})
    found, _ = client.from_outputs(given, LEGEND, [(10, 30), (20, 30)])
    np.testing.assert_array_equal(found.masks, bitmaps[0, :1, :10].astype(bool))
    np.testing.assert_array_equal(found[0].mask, found.masks[0])


@pytest.mark.parametrize(
    "change, shapes, message",
    [
        ({"detection_boxes": None}, [(5, 6)] * 2, "outputs has no detection_boxes; allowed: the outputs of an export"),
        ({"num_detections": None}, [(5, 6)] * 2, "outputs has no num_detections"),
        ({}, None, "image_shapes is None and outputs has no original_shape; allowed: .h, w. of each image"),
        ({}, [(5, 6)], "image_shapes has 1 rows; allowed: 2, one an image of the outputs"),
        ({"detection_classes": np.full((2, 3), 8)}, [(5, 6)] * 2, "has 8; allowed: the legend's ids, 7, 90"),
    ],
)
def test_outputs_of_something_else(change, shapes, message):
    given = {name: value for name, value in (outputs() | change).items() if value is not None}
    with pytest.raises(ValueError, match=message) as caught:
        client.from_outputs(given, LEGEND, shapes)
    assert "\n" not in str(caught.value)
