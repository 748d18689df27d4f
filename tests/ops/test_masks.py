import numpy as np
import pytest
import tensorflow as tf
from kernel_calls import canvas_frame_targets
from pycocotools import mask as coco_mask

from mask_rcnn_tf.ops import masks


def yxyx(boxes):
    return np.asarray(boxes)[..., [1, 0, 3, 2]]


def unpack(npz, key, bits):
    height, width = npz[f"{key}/masks_shape"][-2:]
    return np.unpackbits(npz[f"{key}/{bits}"], axis=-1, count=width).astype(bool).reshape(-1, height, width)


def paste_full(probabilities, box, image_shape, paste):
    crop, (y0, x0) = masks.paste_mask(probabilities, box, image_shape, paste)
    full = np.zeros(image_shape, np.float32)
    full[y0 : y0 + crop.shape[0], x0 : x0 + crop.shape[1]] = crop
    return full


def iou(a, b):
    return (a & b).sum() / max((a | b).sum(), 1)


def rasterise(polygon, height, width):
    """Bitmap of a polygon [k, 2] (x, y) by pycocotools."""
    return coco_mask.decode(coco_mask.frPyObjects([polygon.ravel().tolist()], height, width))[..., 0]


def random_polygon(rng, kind, side):
    """Polygon [k, 2] (x, y) of about `side` pixels around the middle of a 340 x 340 image."""
    if kind == "convex":
        angles, radii = np.sort(rng.random(rng.integers(4, 9))) * 2 * np.pi, 1.0
    elif kind == "star":
        points = 2 * rng.integers(4, 9)
        angles, radii = np.arange(points) * 2 * np.pi / points, np.tile([1.0, rng.uniform(0.35, 0.7)], points // 2)
    else:
        angles = np.sort(rng.random(rng.integers(12, 30))) * 2 * np.pi
        radii = rng.uniform(0.4, 1.0, len(angles))
    points = np.stack([np.cos(angles), rng.uniform(0.5, 1) * np.sin(angles)], 1) * np.reshape(radii, [-1, 1])
    return 170 + rng.random(2) + side / 2 * points


def overlap(a, b):
    sides = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0)
    return sides.prod() / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - sides.prod())


def jittered(rng, box):
    """A RoI whose IoU with the box is at least 0.5."""
    while True:
        roi = box + rng.uniform(-0.35, 0.35, 4) * np.tile(box[2:] - box[:2], 2)
        if overlap(box, roi) >= 0.5:
            return np.clip(roi, 0, 340)


def disagreement(rng, count, smallest, largest):
    """Mean share of target pixels that differ from the polygon rasterised in the RoI."""
    frame = tf.function(lambda mask, box: masks.mask_to_box_frame(mask, box, 112), autograph=False)
    gt_masks, boxes, rois, expected = [], [], [], []
    while len(rois) < count:
        polygon = random_polygon(rng, ("convex", "star", "concave")[len(rois) % 3], rng.uniform(smallest, largest))
        box = np.concatenate([polygon.min(0)[::-1], polygon.max(0)[::-1]])
        if (box[2:] - box[:2]).min() < 0.3 * smallest:
            continue
        roi = jittered(rng, box)
        scale = 28 / (roi[2:] - roi[:2])
        expected.append(rasterise((polygon - roi[1::-1]) * scale[::-1], 28, 28))
        gt_masks.append(frame(tf.constant(rasterise(polygon, 340, 340)), tf.constant(box, tf.float32)))
        boxes.append(box)
        rois.append(roi)
    targets = masks.box_frame_targets(tf.stack(gt_masks), np.float32(boxes), np.float32(rois), 28)
    assert targets.dtype == tf.float32 and set(np.unique(targets)) <= {0.0, 1.0}
    return np.mean(targets.numpy() != np.array(expected))


def test_box_frame_targets_equal_rasterised_polygons():
    found = disagreement(np.random.default_rng(0), 240, 30, 300)
    print(f"30-300 px: {found:.4f}")
    assert found < 0.01


def test_box_frame_targets_of_small_objects():
    # A bitmap of 10-30 px cannot say where the polygon ran between its pixels: bounded, but not within 1 %.
    found = disagreement(np.random.default_rng(1), 120, 10, 30)
    print(f"10-30 px: {found:.4f}")
    assert found < 0.05


def test_box_frame_targets_are_zero_outside_and_for_padding():
    gt_masks = tf.fill([3, 112, 112], tf.constant(255, tf.uint8))
    gt_boxes = tf.constant([[10.0, 10, 30, 50], [10, 10, 30, 50], [0, 0, 0, 0]])
    rois = tf.constant([[10.0, 10, 50, 90], [100, 100, 120, 120], [0, 0, 0, 0]])
    targets = masks.box_frame_targets(gt_masks, gt_boxes, rois, 28).numpy()
    expected = np.zeros([28, 28])
    expected[:14, :14] = 1
    np.testing.assert_array_equal(targets[0], expected)
    np.testing.assert_array_equal(targets[1], 0)
    assert np.isfinite(targets).all()
    compiled = tf.function(lambda *args: masks.box_frame_targets(*args, 28), jit_compile=True, autograph=False)
    np.testing.assert_array_equal(compiled(gt_masks, gt_boxes, rois), targets)


def test_mask_to_box_frame_shrinks_by_area():
    yy, xx = np.mgrid[:600, :700] + 0.5
    mask = ((yy - 300) ** 2 / 250**2 + (xx - 340) ** 2 / 300**2 < 1).astype(np.uint8)
    frame = masks.mask_to_box_frame(mask, tf.constant([50.0, 40, 550, 640]), 112).numpy()
    assert frame.dtype == np.uint8 and frame.shape == (112, 112)
    u = (np.arange(112 * 16) + 0.5) / (112 * 8) - 1
    exact = (u[:, None] ** 2 + u**2 < 1).reshape(112, 16, 112, 16).mean((1, 3))
    assert np.abs(frame / 255 - exact).mean() < 3e-3
    assert abs(frame.mean() / 255 - np.pi / 4) < 2e-3


def test_mask_to_box_frame_at_the_image_border_and_enlarging():
    full = masks.mask_to_box_frame(np.ones([20, 30], np.uint8), tf.constant([0.0, 0, 20, 30]), 112)
    np.testing.assert_array_equal(full, 255)
    half = np.zeros([20, 30], np.uint8)
    half[:, :15] = 1
    frame = masks.mask_to_box_frame(half, tf.constant([0.0, 0, 20, 30]), 112).numpy()
    assert (np.diff(frame.astype(int), axis=1) <= 0).all()  # one smooth edge
    np.testing.assert_array_equal(frame >= 128, np.tile(np.arange(112) < 56, [112, 1]))
    assert masks.mask_to_box_frame(half, tf.constant([3.0, 3, 3, 3]), 112).shape == (112, 112)


@pytest.mark.parametrize("kernels", ["native", "xla"])
@pytest.mark.parametrize("size", [28, 14])
def test_canvas_frame_targets_golden(golden, kernels, size):
    data, case = golden("unit_masks_kp"), f"mask_targets/M{size}"
    gt_masks, rois = data[f"{case}/in/gt_masks"], yxyx(data[f"{case}/in/boxes"])
    stack = np.zeros([2, 5, *gt_masks.shape[1:]], np.uint8)
    stack[1, : len(gt_masks)] = gt_masks * 255
    indices = data[f"{case}/in/matched_idxs"].astype(np.int32)
    function = tf.function(
        lambda *args: canvas_frame_targets(*args, size, kernels), jit_compile=kernels == "xla", autograph=False
    )
    targets = function(stack, np.int32([stack.shape[2:]] * 2), rois, np.ones_like(indices), indices)
    np.testing.assert_allclose(targets, data[f"{case}/out/targets"], rtol=0, atol=1e-5)


@pytest.mark.parametrize("kernels", ["native", "xla"])
def test_canvas_frame_targets_give_the_golden_loss(golden, kernels):
    data = {key[len("mask_loss/0/") :]: value for key, value in golden("unit_losses").items() if "mask_loss" in key}
    gt_indices = data["in/matched_idxs"].astype(np.int32)
    shape = np.int32([data["in/gt_masks"].shape[1:]])
    targets = canvas_frame_targets(
        data["in/gt_masks"][None] * 255,
        shape,
        yxyx(data["in/boxes"]),
        np.zeros_like(gt_indices),
        gt_indices,
        28,
        kernels,
    )
    classes = data["in/gt_labels"][gt_indices]
    logits = data["in/logits"][np.arange(len(classes)), classes]
    loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))
    np.testing.assert_allclose(loss, data["out/loss"], rtol=1e-6)


def test_paste_integer_golden(golden):
    data = golden("unit_masks_kp")
    inputs, boxes = data["paste_masks/0/in/masks"][:, 0], yxyx(data["paste_masks/0/in/boxes"])
    pasted = np.stack([paste_full(m, box, (60, 80), "integer") for m, box in zip(inputs, boxes, strict=True)])
    np.testing.assert_allclose(pasted, data["paste_masks/0/out/pasted"][:, 0], rtol=0, atol=1e-5)


def test_paste_integer_golden_image(golden):
    data, key = golden("golden_maskA"), "final/0"
    expected = unpack(data, key, "masks_gt05_packbits")
    soft = data[f"{key}/masks_soft_slice_s8"]
    for index, box in enumerate(yxyx(data[f"{key}/boxes"])):
        full = paste_full(data[f"{key}/mask_probs28"][index], box, expected.shape[1:], "integer")
        np.testing.assert_allclose(full[::8, ::8], soft[index], rtol=0, atol=1e-5)
        assert iou(full > 0.5, expected[index]) > 0.999


def test_paste_continuous_golden_image(golden):
    data = golden("golden_d2A")
    expected = unpack(data, "final", "masks_packbits")
    identical = 0
    for index, box in enumerate(yxyx(data["final/boxes"])):
        full = paste_full(data["final/mask_probs28"][index], box, expected.shape[1:], "continuous")
        identical += np.array_equal(full >= 0.5, expected[index])
        assert iou(full >= 0.5, expected[index]) > 0.999
    print(f"{identical} of {len(expected)} identical")
    assert identical >= 0.8 * len(expected)


@pytest.mark.parametrize("paste", ["continuous", "integer"])
@pytest.mark.parametrize("box", [[5, 5, 5, 5], [-30, -30, -10, -10], [100, 100, 120, 130], [-5, 20, 70, 25.5]])
def test_paste_of_odd_boxes(paste, box):
    crop, (y0, x0) = masks.paste_mask(np.ones([28, 28], np.float32), np.float32(box), (60, 50), paste)
    assert np.isfinite(crop).all() and crop.dtype == np.float32
    assert 0 <= y0 <= 60 and 0 <= x0 <= 50 and y0 + crop.shape[0] <= 60 and x0 + crop.shape[1] <= 50


def test_unknown_words_are_refused():
    with pytest.raises(ValueError, match="paste is 'cubic'"):
        masks.paste_mask(np.ones([28, 28]), [0, 0, 5, 5], (9, 9), "cubic")
    with pytest.raises(ValueError, match="kernels is 'cuda'"):
        canvas_frame_targets(
            np.zeros([1, 1, 4, 4], np.uint8), np.int32([[4, 4]]), np.zeros([1, 4]), [0], [0], 28, "cuda"
        )


@pytest.mark.parametrize("paste", ["continuous", "integer"])
@pytest.mark.parametrize("threshold", [0.5, 0.0])
def test_paste_masks_of_a_batch(paste, threshold):
    """The graph's form equals `paste_mask` of each mask; images smaller than the bitmap stay in their corner."""
    random = np.random.default_rng(5)
    shapes = np.array([[40, 60], [50, 30]], np.int32)
    corners = random.uniform(-10, 50, (2, 6, 2)).astype(np.float32)
    boxes = np.concatenate([corners, corners + random.uniform(0, 60, (2, 6, 2)).astype(np.float32)], -1)
    boxes[0, 0] = 5.0  # no area
    probabilities = random.uniform(0, 1, (2, 6, 14, 14)).astype(np.float32)
    pasted = masks.paste_masks(probabilities, boxes, shapes, [50, 60], threshold, paste).numpy()
    assert pasted.dtype == np.uint8 and pasted.shape == (2, 6, 50, 60)
    for b in range(2):
        for d in range(6):
            crop, (y, x) = masks.paste_mask(probabilities[b, d], boxes[b, d], shapes[b], paste)
            expected = np.zeros((50, 60), np.uint8)
            inside = crop >= threshold if paste == "continuous" else crop > threshold
            expected[y : y + crop.shape[0], x : x + crop.shape[1]] = inside
            assert np.count_nonzero(pasted[b, d] != expected) <= 1  # a probability within rounding of the threshold
    assert pasted.sum() > 1000


def test_paste_masks_names_a_wrong_paste():
    with pytest.raises(ValueError, match="paste is 'nearest'"):
        masks.paste_masks(np.zeros((1, 1, 4, 4), np.float32), np.zeros((1, 1, 4)), [[8, 8]], [8, 8], 0.5, "nearest")


@pytest.mark.parametrize("sides", [(700, 900), (3, 3000), (2500, 40), (1, 1)])
def test_large_and_long_masks_are_interpolated_as_numpy_does(sides):
    """By `np.interp` along each axis in float64, zeros beyond the mask; large ones are made some rows at a time."""
    probabilities = np.random.default_rng(0).random((28, 28), np.float32)
    y, x = 10.25, 20.5
    box, image_shape = np.float32([y, x, y + sides[0], x + sides[1]]), (int(sides[0]) + 30, int(sides[1]) + 40)

    def along(values, start, length):
        first, last = int(np.floor(start)), int(np.ceil(start + length))
        position = (np.arange(first, last) + 0.5 - start) / length * 28 - 0.5
        padded = np.pad(values.astype(np.float64), ((1, 1), (0, 0)))
        return np.stack([np.interp(position, np.arange(-1, 29), column) for column in padded.T], 1)

    expected = along(along(probabilities, y, sides[0]).T, x, sides[1]).T
    crop, origin = masks.paste_mask(probabilities, box, image_shape, "continuous")
    assert origin == (10, 20)
    np.testing.assert_allclose(crop, expected, atol=1e-4)
