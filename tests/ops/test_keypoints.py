"""Keypoints and heat maps against torchvision and against cubic convolution written out in float64."""

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops import keypoints

SWAP = [1, 0, 3, 2]
PEAKS = {"native": keypoints.find_peaks_native, "grid": keypoints.find_peaks_grid}


def cubic(distance, a=-0.75):
    """Keys' kernel, its definition."""
    x = np.abs(distance)
    near = (a + 2) * x**3 - (a + 3) * x**2 + 1
    far = a * x**3 - 5 * a * x**2 + 8 * a * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def resized(heat, height, width):
    """float64 [height, width] of [S, S] by cubic convolution, its border cells going on."""
    size = len(heat)
    around = np.pad(heat.astype(np.float64), 8, "edge")
    cells = np.arange(-8, size + 8)
    rows, columns = (
        cubic(((np.arange(side) + 0.5) * size / side - 0.5)[:, None] - cells[None]) for side in (height, width)
    )
    return rows @ around @ columns.T


def test_cells_as_torchvision(golden):
    golden, case = golden("unit_masks_kp"), "keypoints_to_heatmap/0"
    points, rois = golden[f"{case}/in/keypoints"], golden[f"{case}/in/rois"][:, SWAP]
    cells, valid = keypoints.heatmap_cells(tf.constant(points), tf.constant(rois), 56)
    np.testing.assert_array_equal(valid, golden[f"{case}/out/valid"].astype(bool))
    np.testing.assert_array_equal(cells, golden[f"{case}/out/index"])


def test_cells_of_a_roi_without_area_are_none():
    points = tf.constant([[[3.0, 4.0, 2.0], [np.inf, 1.0, 2.0]]])
    cells, valid = keypoints.heatmap_cells(points, tf.zeros([1, 4]), 56)
    assert not valid.numpy()[0, 1] and (cells.numpy() >= 0).all() and (cells.numpy() < 56 * 56).all()


@pytest.mark.parametrize("form", PEAKS)
def test_peaks_as_torchvision(golden, form):
    golden, case = golden("unit_masks_kp"), "heatmaps_to_keypoints/0"
    maps = tf.constant(golden[f"{case}/in/maps"].transpose(0, 2, 3, 1))
    found = PEAKS[form](maps, tf.constant(golden[f"{case}/in/rois"][:, SWAP]), 256)
    np.testing.assert_allclose(found.points, golden[f"{case}/out/xyv"][..., :2], atol=1e-3)
    np.testing.assert_allclose(found.logits, golden[f"{case}/out/scores"], atol=1e-5)


@pytest.fixture(scope="module")
def smooth():
    """Maps [6, 28, 28, 3] and RoIs of many sizes, thinner than a pixel and longer than a grid of 64 among them."""
    random = np.random.default_rng(1)
    maps = random.normal(size=(6, 28, 28, 3)).astype(np.float32)
    rois = [(0, 0, 20.3, 31.8), (5.5, 7.25, 69.5, 71.0), (3, 3, 3.2, 40), (10, 20, 10, 20), (1, 2, 301, 64.9)]
    return maps, np.array([*rois, (0.0, 0.0, 640.0, 480.0)], np.float32)


def definition(maps, rois):
    """(x, y) [n, J, 2] of the best pixels, logits [n, J] and by how much the second best pixel is lower."""
    points, logits, margins = [], [], []
    for heat, (y1, x1, y2, x2) in zip(maps, rois.astype(np.float64), strict=True):
        height, width = max(y2 - y1, 1.0), max(x2 - x1, 1.0)
        rows, columns = int(np.ceil(height)), int(np.ceil(width))
        for j in range(maps.shape[-1]):
            full = resized(heat[..., j], rows, columns)
            row, column = np.unravel_index(full.argmax(), full.shape)
            points.append((x1 + (column + 0.5) * width / columns, y1 + (row + 0.5) * height / rows))
            logits.append(full.max())
            margins.append(np.diff(np.sort(full, axis=None)[-2:])[0] if full.size > 1 else 1.0)
    shape = (len(rois), -1)
    return np.reshape(points, (*shape, 2)), np.reshape(logits, shape), np.reshape(margins, shape)


def test_peaks_by_definition(smooth):
    maps, rois = smooth
    points, logits, margins = definition(maps, rois)
    found = keypoints.find_peaks_native(tf.constant(maps), tf.constant(rois), 1)
    np.testing.assert_allclose(found.logits, logits, atol=1e-5)
    clear = margins > 1e-5  # the others are ties of float32
    assert clear.mean() > 0.8
    np.testing.assert_allclose(found.points.numpy()[clear], points[clear], atol=1e-3)


@pytest.mark.parametrize("grid", [64, 700])
def test_a_grid_finds_the_same(smooth, grid):
    maps, rois = smooth
    exact = keypoints.find_peaks_native(tf.constant(maps), tf.constant(rois), 1)
    found = tf.function(keypoints.find_peaks_grid, jit_compile=True, autograph=False)(
        tf.constant(maps), tf.constant(rois), grid
    )
    np.testing.assert_allclose(found.logits, exact.logits, atol=1e-5)
    clear = definition(maps, rois)[2] > 1e-5  # the others are ties of float32
    np.testing.assert_allclose(found.points.numpy()[clear], exact.points.numpy()[clear], atol=1e-3)


def test_a_side_too_long_for_the_grid_is_looked_at_coarser(smooth):
    maps, rois = smooth
    exact = keypoints.find_peaks_native(tf.constant(maps[5:]), tf.constant(rois[5:]), 1)
    found = keypoints.find_peaks_grid(tf.constant(maps[5:]), tf.constant(rois[5:]), 30)  # 640 = 21 * 30 pixels
    assert (found.logits.numpy() <= exact.logits.numpy() + 1e-5).all()
    for j, (x, y) in enumerate(found.points.numpy()[0]):  # and is what the map has there
        at_pixel = resized(maps[5, ..., j], 640, 480)[int(y), int(x)]
        np.testing.assert_allclose(found.logits[0, j], at_pixel, atol=1e-5)


def test_rows_of_a_matrix_sum_to_one_and_take_the_cells_themselves():
    matrix = keypoints.cubic_matrix(tf.constant([-3.0, -0.5, 0.0, 2.25, 4.0, 9.0]), 5).numpy()
    np.testing.assert_allclose(matrix.sum(1), 1.0, atol=1e-6)
    np.testing.assert_allclose(matrix[[0, 2, 4, 5]], np.eye(5)[[0, 0, 4, 4]], atol=1e-6)
    np.testing.assert_allclose(matrix[3, 1:], cubic(np.array([1.25, 0.25, 0.75, 1.75])), atol=1e-6)


def test_doubling_is_tensorflows_bilinear_resize():
    maps = tf.random.stateless_normal([2, 5, 5, 3], [1, 2])
    np.testing.assert_allclose(keypoints.double(maps), tf.image.resize(maps, [10, 10], "bilinear"), atol=1e-6)


def test_scores_are_the_share_of_the_softmax():
    maps = tf.random.stateless_normal([2, 4, 4, 3], [3, 4]) * 5
    top = tf.reduce_max(maps, [1, 2])
    shares = tf.reduce_max(tf.nn.softmax(tf.reshape(maps, [2, 16, 3]), 1), 1)
    np.testing.assert_allclose(keypoints.peak_scores(maps, top), shares, rtol=1e-5)
