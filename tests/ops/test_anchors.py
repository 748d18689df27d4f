import json

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops import anchors as anchor_ops

YX = [1, 0, 3, 2]
RATIOS = (0.5, 1.0, 2.0)


@pytest.mark.parametrize("level", range(2, 7))
def test_rounded_cells_equal_torchvision(golden, level):
    cells = anchor_ops.cell_anchors((2.0 ** (level + 3),), RATIOS, rounded=True)
    assert cells.dtype == np.float32
    np.testing.assert_array_equal(cells, golden("unit_boxes")[f"cell_anchors/P{level}/out/cell"][:, YX])


def test_cells_have_the_sizes_and_ratios_asked_for():
    cells = anchor_ops.cell_anchors((32.0, 50.0), RATIOS, rounded=False).astype(np.float64)
    h, w = cells[:, 2] - cells[:, 0], cells[:, 3] - cells[:, 1]
    np.testing.assert_allclose(h / w, np.repeat(RATIOS, 2), rtol=1e-6)
    np.testing.assert_allclose(np.sqrt(h * w), [32, 50] * 3, rtol=1e-6)
    np.testing.assert_array_equal(cells[:, :2], -cells[:, 2:])


@pytest.mark.parametrize("size", ["320x416", "448x448", "96x160", "800x1216"])
def test_anchors_of_all_levels_equal_torchvision(golden, size):
    cases = golden("unit_boxes")
    args = json.loads(str(cases[f"anchors/{size}/args"]))
    cells = [anchor_ops.cell_anchors((s,), args["ratios"], rounded=True) for s in args["sizes"]]
    levels = [anchor_ops.level_anchors(*level) for level in zip(args["grids"], args["strides_hw"], cells, strict=True)]
    anchors = np.concatenate(levels)
    assert len(anchors) == cases[f"anchors/{size}/out/count"]
    np.testing.assert_array_equal(anchors[:: args["subsample"]], cases[f"anchors/{size}/out/anchors"][:, YX])
    np.testing.assert_array_equal(levels[-1], cases[f"anchors/{size}/out/P6"][:, YX])


def test_unrounded_anchors_equal_detectron2(golden):
    cases = golden("golden_d2A")  # an image of 320 x 416
    p2 = anchor_ops.level_anchors((80, 104), (4, 4), anchor_ops.cell_anchors((32.0,), RATIOS, rounded=False))
    p6 = anchor_ops.level_anchors((5, 7), (64, 64), anchor_ops.cell_anchors((512.0,), RATIOS, rounded=False))
    np.testing.assert_allclose(p2[::97], cases["rpn/anchors/P2_slice_97"][:, YX], atol=1e-4)
    np.testing.assert_allclose(p6, cases["rpn/anchors/P6"][:, YX], atol=1e-4)


@pytest.mark.parametrize("jit_compile", [None, True])
def test_grid_shape_may_come_from_a_tensor(jit_compile):
    cells = anchor_ops.cell_anchors((32.0,), RATIOS, rounded=False)

    @tf.function(jit_compile=jit_compile, autograph=False)
    def anchors(features):
        h, w = tf.unstack(tf.shape(features)[1:3])
        return anchor_ops.level_anchors((h, w), (80 // h, 120 // w), cells)

    found = anchors(tf.zeros([1, 5, 7, 2]))
    np.testing.assert_array_equal(found, anchor_ops.level_anchors((5, 7), (16, 17), cells))
    np.testing.assert_array_equal(found[(2 * 7 + 3) * 3 + 1], np.float32([32, 51, 32, 51]) + cells[1])


@pytest.mark.parametrize("sizes, ratios, name", [((), (1.0,), "sizes"), ((32.0,), (1.0, 0.0), "ratios")])
def test_bad_cells_are_refused(sizes, ratios, name):
    with pytest.raises(ValueError, match=f"{name} is"):
        anchor_ops.cell_anchors(sizes, ratios, rounded=False)
