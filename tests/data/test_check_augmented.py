"""Pictures of augmented examples: what batches of training have, moved back to levels and bitmaps.

The tool's run is in test_augmentation_docs.py.
"""

import json

import coco_files
import numpy as np
import pytest

from mask_rcnn_tf.data import check, check_augmented


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two images with the square, and one without annotations, which is not trained on."""
    folder = coco_files.write(tmp_path_factory.mktemp("data") / "coco", (10, 20, 30))
    content = json.loads((folder / "annotations.json").read_text())
    del content["annotations"][1]
    (folder / "annotations.json").write_text(json.dumps(content))
    return folder


@pytest.mark.parametrize("frame", ["box", pytest.param("canvas", marks=pytest.mark.slow)])
def test_rows(folder, frame):
    """Images of 15 x 20 at twice their size, turned by right angles alone, on a canvas of 64 x 64."""
    config = coco_files.config_for("unused", folder.parent / "cache")
    config.model.preprocess.short_side, config.model.preprocess.max_side = 30, 64
    config.data.train_short_sides, config.data.canvases, config.data.flip_horizontal = (30,), ((64, 64),), False
    config.data.right_angles, config.model.mask_head.mask_frame = True, frame
    annotations = str(folder / "annotations.json")
    samples = check.check(annotations, str(folder), pictures=5)[2]
    rows = check_augmented.rows(config, annotations, str(folder), samples, 6)
    assert [[sample.image_id for sample in row] for row in rows] == [[1] * 7, [3] * 7]
    outside = np.rint([123.675, 116.28, 103.53])
    turns = set()
    for plain, *drawn in rows:
        for sample in drawn:
            image, mask = (np.kron(part, np.ones((2, 2))) for part in (plain.image[..., 0], plain.masks[0]))
            wrong = [np.mean(sample.masks[0] != place(np.rot90(mask, turn))) for turn in range(4)]
            turn = int(np.argmin(wrong))
            turns.add(turn)
            assert wrong[turn] < 0.02, wrong  # but for outlines
            level, shape = plain.image[0, 0, 0], np.rot90(image, turn).shape
            expected = np.tile(outside, (64, 64, 1))
            expected[: shape[0], : shape[1]] = level
            np.testing.assert_array_equal(sample.image, expected)
            assert not sample.masks[0][shape[0] :].any() and sample.labels == ["cat"] and sample.keypoints is None
            rows_of, columns = np.flatnonzero(sample.masks[0].any(1)), np.flatnonzero(sample.masks[0].any(0))
            tight = [rows_of[0], columns[0], rows_of[-1] + 1, columns[-1] + 1]
            np.testing.assert_allclose(sample.boxes, [tight], atol=1)
    assert len(turns) == 4
    with pytest.raises(ValueError, match="none of the 1 pictures is of an image to train on"):
        check_augmented.rows(config, annotations, str(folder), samples[1:2], 1)


def place(mask):
    square = np.zeros((64, 64), bool)
    square[: mask.shape[0], : mask.shape[1]] = mask
    return square
