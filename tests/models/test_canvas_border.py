"""Mask targets from canvas masks at the border of an image that is smaller than its canvas, against torchvision.

torchvision's masks end at the image, so `RoIAlign` takes the last row and column beyond it. `golden/canvas_oracle.py`
made the targets.
"""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.kernels import get_kernels

CANVAS = 64
SWAP = [1, 0, 3, 2]  # x1, y1, x2, y2 <-> y1, x1, y2, x2


@pytest.fixture(params=["native", "xla"])
def kernels(request):
    return get_kernels(request.param)


@pytest.fixture
def cases(golden):
    """Masks [B, G, H, W] on one canvas, image shapes, and per RoI: box, image, object, torchvision's targets."""
    stored = golden("golden_canvas_border")
    shapes = stored["shapes"]
    count = len(stored["0/masks"])
    masks = np.zeros([len(shapes), count, CANVAS, CANVAS], np.uint8)
    for index, (height, width) in enumerate(shapes):
        masks[index, :, :height, :width] = 255 * stored[f"{index}/masks"]
    rois, matched, targets = (
        np.concatenate([stored[f"{index}/{name}"] for index in range(len(shapes))])
        for name in ("rois", "matched", "targets")
    )
    images = np.repeat(np.arange(len(shapes), dtype=np.int32), len(rois) // len(shapes))
    return masks, shapes, rois[:, SWAP], images, matched.astype(np.int32), targets


def compute(kernels, masks, shapes, rois, images, matched):
    function = tf.function(kernels.canvas_targets, jit_compile=kernels.compiled, autograph=False)
    return function(*map(tf.constant, (masks, shapes, rois, images, matched)), 28).numpy()


def test_targets_are_torchvisions(kernels, cases):
    """Single random pixels are the steepest masks: a position that `crop_and_resize` rounds costs up to 1.3e-5."""
    *inputs, expected = cases
    found = compute(kernels, *inputs)
    assert found.shape == expected.shape and len(found) >= 144
    for row, (ours, theirs) in enumerate(zip(found, expected, strict=True)):
        label = f"RoI {inputs[2][row]} of image {inputs[3][row]}, object {inputs[4][row]}"
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 if kernels.static else 2e-5, err_msg=label)


def test_a_mask_of_the_whole_image_gives_ones(kernels, cases):
    """No padding is read: 0.865 in the last row was the fault."""
    masks, shapes, rois, images, matched, _ = cases
    found = compute(kernels, masks, shapes, rois, images, matched)
    whole = (matched == 0) & (rois[:, 2:] - rois[:, :2] >= 1).all(1)  # a smaller RoI grows to a pixel, beyond the image
    assert whole.sum() >= 50
    np.testing.assert_allclose(found[whole], 1.0, rtol=0, atol=1e-5)


def test_what_lies_beyond_the_image_changes_nothing(kernels, cases):
    masks, shapes, rois, images, matched, _ = cases
    filled = masks.copy()
    for index, (height, width) in enumerate(shapes):
        filled[index, :, height:], filled[index, :, :, width:] = 255, 255
    before, after = (compute(kernels, value, shapes, rois, images, matched) for value in (masks, filled))
    np.testing.assert_array_equal(before, after)
