"""Cascade box heads, and one box for all classes, against NumPy in float64."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import enliven, finding_config, finding_model, tiny_batch

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.benchmark import scenes
from mask_rcnn_tf.models import inference
from mask_rcnn_tf.models.heads.box import BoxHead
from mask_rcnn_tf.models.heads.cascade import CascadeBoxHead, scale_gradient
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.steps import networks, run_steps
from mask_rcnn_tf.models.targets import relabel_rois
from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import to_torchvision

WEIGHTS = ((10.0, 10.0, 5.0, 5.0), (20.0, 20.0, 10.0, 10.0), (30.0, 30.0, 15.0, 15.0))


def cascade_config(kernels="native"):
    config = finding_config(kernels)
    config.box_head.class_agnostic, config.box_head.cascade_ious = True, (0.6, 0.7)
    return config


@pytest.fixture(scope="module")
def model():
    return finding_model(config=cascade_config())


def iou(a, b):
    top, bottom = np.maximum(a[:2], b[:2]), np.minimum(a[2:], b[2:])
    common = np.prod(np.maximum(bottom - top, 0))
    return common / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - common)


def decode(deltas, boxes, weights, image_shape):
    """Boxes, clipped, in float64."""
    deltas, boxes = deltas.astype(np.float64) / weights, boxes.astype(np.float64)
    sides = boxes[:, 2:] - boxes[:, :2]
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2 + deltas[:, :2] * sides
    halves = sides * np.exp(np.minimum(deltas[:, 2:], np.log(1000 / 16))) / 2
    found = np.concatenate([centres - halves, centres + halves], 1)
    return np.clip(found, 0, np.tile(image_shape, 2))


def softmax(logits):
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def test_boxes_of_a_later_stage_are_matched_at_its_iou():
    random, threshold = np.random.default_rng(0), 0.6
    batch = {name: value.numpy() for name, value in tiny_batch(objects=(3, 0)).items()}
    gt_boxes, gt_classes = batch["gt_boxes"], batch["gt_classes"]
    boxes = gt_boxes[:1, random.integers(0, 3, 40)].repeat(2, 0) + random.normal(scale=4, size=(2, 40, 4))
    boxes = np.clip(boxes, 0, 96).astype(np.float32)
    boxes[0, 3], boxes[0, 5, 2] = 7.0, boxes[0, 5, 0]  # without area
    valid = np.ones((2, 40), bool)
    valid[0, 9] = False
    classes = np.full((2, 40), 2, np.int32)  # of the stage before; not looked at
    sampled = {"rois": boxes + 1, "roi_valid": valid, "roi_classes": classes, "roi_gt_indices": classes}
    found = {k: v.numpy() for k, v in relabel_rois(tf.constant(boxes), sampled, batch, threshold).items()}
    assert not found["roi_valid"][0, [3, 5, 9]].any() and found["roi_valid"].sum() == 77
    assert not found["rois"][~found["roi_valid"]].any() and not found["roi_classes"][1].any()
    np.testing.assert_array_equal(found["rois"][found["roi_valid"]], boxes[found["roi_valid"]])
    foreground = 0
    for row in np.flatnonzero(found["roi_valid"][0]):
        ious = [iou(boxes[0, row].astype(np.float64), box) for box in gt_boxes[0, :3]]
        assert abs(max(ious) - threshold) > 1e-4  # nothing hangs on rounding
        expected = gt_classes[0, np.argmax(ious)] if max(ious) >= threshold else 0
        assert found["roi_classes"][0, row] == expected and found["roi_gt_indices"][0, row] == np.argmax(ious)
        foreground += expected > 0
    assert 5 < foreground < 35


def test_an_iou_that_equals_the_threshold_is_foreground():
    batch = {"gt_boxes": tf.constant([[[0.0, 0.0, 10.0, 10.0]]]), "gt_classes": tf.constant([[3]])}
    boxes = tf.constant([[[0.0, 0.0, 10.0, 5.0], [0.0, 0.0, 10.0, 4.9]]])
    found = relabel_rois(boxes, {"roi_valid": tf.constant([[True, True]])}, batch, 0.5)
    assert found["roi_classes"].numpy().tolist() == [[3, 0]]


def test_the_gradient_of_the_features_is_shared():
    values = tf.constant([1.0, -2.0, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(values)
        scaled = scale_gradient(values, 1 / 3)
        total = tf.reduce_sum(scaled**2)
    np.testing.assert_array_equal(scaled, values)
    np.testing.assert_allclose(tape.gradient(total, values), 2 * values / 3, rtol=1e-6)


def filled(head, features):
    keras.utils.set_random_seed(1)
    head.build((None, 3, 3, features))
    random = np.random.default_rng(4)
    for variable in head.weights:
        variable.assign(random.normal(scale=0.25, size=variable.shape))
    return head


def run_head(head, pooled):
    """Logits and deltas of one stage, float64."""
    outputs = pooled.reshape(len(pooled), -1).astype(np.float64)
    for layer in head.fcs:
        outputs = np.maximum(outputs @ layer.kernel.numpy() + layer.bias.numpy(), 0)
    return tuple(outputs @ layer.kernel.numpy() + layer.bias.numpy() for layer in (head.classes, head.deltas))


def pooled_of(rois):
    """Features that say where a RoI is, as a RoI operator's do."""
    return np.tanh(np.sin(rois[:, None, None, :] / 7 * np.arange(1, 10).reshape(3, 3, 1)))


def test_losses_of_every_stage():
    """Each stage on the boxes of the one before; sums and counts by hand."""
    config, batch = cascade_config(), tiny_batch(batch=1)
    gt_boxes, gt_classes = batch["gt_boxes"].numpy()[0, :3], batch["gt_classes"].numpy()[0]
    random = np.random.default_rng(2)
    rois = np.clip(gt_boxes[random.integers(0, 3, 12)] + random.normal(scale=3, size=(12, 4)), 0, 96)
    rois[0] = [90, 90, 96, 96]  # the second stage moves it out of the image
    best = [[iou(roi, box) for box in gt_boxes] for roi in rois]
    matched, positive = np.argmax(best, 1), (np.max(best, 1) >= 0.5) & (np.arange(12) < 11)
    sampled = {
        "rois": tf.constant(rois[None], tf.float32),
        "roi_valid": tf.constant([[True] * 11 + [False]]),  # padding is background
        "roi_classes": tf.constant(np.where(positive, gt_classes[matched], 0)[None], tf.int32),
        "roi_gt_indices": tf.constant(matched[None], tf.int32),
    }
    head = filled(CascadeBoxHead(3, num_stages=3, fc_channels=16, pool_size=3, name="box_head"), 4)
    for stage in head.stages:
        stage.deltas.bias.assign([40.0, 0.0, 0.0, 0.0])  # down, by 2 and 1.3 heights
        stage.deltas.kernel.assign(stage.deltas.kernel * 0.2)
    head.stages[0].deltas.bias.assign([1.0, 0.0, 0.0, 0.0])

    def pool(boxes, valid, size):
        rows = RoiRows(valid, static=False)
        flat = rows.flatten(boxes)
        angles = flat[:, None, None, :] / 7 * tf.reshape(tf.range(1.0, 10.0), [3, 3, 1])
        return rows, tf.tanh(tf.sin(angles))

    given = dict(sampled)
    found = head.loss_sums(batch, sampled, pool, config, True)
    assert sampled == given and list(found) == list(head.loss_names)  # the mask head reads the first stage's RoIs
    boxes, valid, counts = rois, sampled["roi_valid"].numpy()[0], []
    for number, (stage, weights, threshold) in enumerate(zip(head.stages, WEIGHTS, (0.5, 0.6, 0.7), strict=True), 1):
        sides = boxes[:, 2:] - boxes[:, :2]
        valid = valid & (sides > 0).all(1)
        logits, deltas = run_head(stage, pooled_of(boxes))
        class_sum = box_sum = 0.0
        for row in np.flatnonzero(valid):
            ious = [iou(boxes[row], box) for box in gt_boxes]
            target = gt_classes[np.argmax(ious)] if max(ious) >= threshold else 0
            class_sum -= np.log(softmax(logits[row])[target])
            if target:
                box = gt_boxes[np.argmax(ious)].astype(np.float64)
                size = box[2:] - box[:2]
                shift = ((box[:2] + box[2:]) - (boxes[row, :2] + boxes[row, 2:])) / 2 / sides[row]
                wanted = np.concatenate([shift, np.log(size / sides[row])]) * weights
                box_sum += np.abs(deltas[row] - wanted).sum()
        counts.append(valid.sum())
        for name, expected in ((f"box_class_{number}", class_sum), (f"box_delta_{number}", box_sum)):
            np.testing.assert_allclose(found[name][0], expected, rtol=2e-4, err_msg=name)
            assert found[name][1] == valid.sum()
        boxes = decode(deltas, boxes, weights, [96, 96])
    assert counts[0] == 11 > counts[2] > 0 and found["box_delta_2"][0] > 0  # some boxes were dropped, some matched


def test_scores_are_the_mean_and_boxes_the_last(model):
    """The steps of inference from the first stage's pooled features on, all boxes and classes kept."""
    config = cascade_config()
    config.detection.nms_iou, config.detection.score_threshold, config.detection.max_detections = 1.0, 0.0, 100
    image = tf.constant(np.random.default_rng(1).normal(size=(1, 96, 128, 3)), tf.float32)
    shape = tf.constant([[90, 120]])
    steps = inference.inference_steps(config, model.stages, model._pooler)
    tensors = run_steps(steps, {"normalized": image, "image_shape": shape})
    count = int(tensors["num_proposals"][0])
    boxes, scores = tensors["proposals"].numpy()[0, :count], 0.0
    for number, weights in enumerate(WEIGHTS, start=1):
        scores = scores + softmax(tensors[f"class_logits_{number}"].numpy()[:count]) / 3
        boxes = decode(tensors[f"box_deltas_{number}"].numpy()[:count, 0], boxes, weights, [90, 120])
        np.testing.assert_allclose(tensors[f"boxes_{number}"][0, :count], boxes, atol=1e-3)
    scores = np.where((boxes[:, 2:] - boxes[:, :2] > 1e-3).all(1)[:, None], scores[:, 1:], -1)
    order = np.argsort(-scores.ravel(), kind="stable")[: int(tensors["num_detections"][0])]
    assert len(order) > 30
    np.testing.assert_allclose(tensors["detection_scores"][0, : len(order)], scores.ravel()[order], atol=1e-5)
    gaps = np.abs(np.diff(scores.ravel()[order], prepend=2, append=-2))
    sure = np.minimum(gaps[1:], gaps[:-1]) > 1e-5  # ties may change places
    rows, classes = np.divmod(order, 3)
    np.testing.assert_array_equal(tensors["detection_classes"][0, : len(order)].numpy()[sure], classes[sure] + 1)
    np.testing.assert_allclose(tensors["detection_boxes"][0, : len(order)].numpy()[sure], boxes[rows][sure], atol=1e-3)


def test_a_plain_box_head_with_one_box_for_all_classes():
    config = finding_config()
    config.box_head.class_agnostic = True
    keras.utils.set_random_seed(5)
    model = enliven(mrcnn.MaskRCNN(config))
    assert model.box_head.deltas.units == 4
    assert model.box_head.class_paths() == {"box_head/class_logits/kernel", "box_head/class_logits/bias"}
    tensors = model.trace(tf.random.stateless_normal([1, 96, 128, 3], [1, 2]), tf.constant([[90, 120]]))
    count = int(tensors["num_proposals"][0])
    boxes = decode(tensors["box_deltas"].numpy()[:, 0], tensors["proposals"].numpy()[0, :count], WEIGHTS[0], [90, 120])
    found = tensors["detection_boxes"][0, : int(tensors["num_detections"][0])].numpy()
    assert len(found) and np.abs(found[:, None] - boxes[None]).max(-1).min(1).max() < 1e-3
    losses = model.compute_losses(tiny_batch(), tf.zeros([], tf.int64), True)
    assert np.isfinite(losses["box_delta"]) and losses["box_delta"] > 0


def test_names_of_a_cascade(model, tmp_path):
    assert list(networks(model.steps())) == ["network", "box_head_1", "box_head_2", "box_head_3", "mask_head"]
    paths = {variable.path for variable in model.box_head.weights}
    assert {f"box_head/stage{number}/fc0/kernel" for number in (1, 2, 3)} < paths and len(paths) == 24
    assert model.box_head.class_paths() == {path for path in paths if "class_logits" in path}
    assert isinstance(finding_model().box_head, BoxHead)
    images = np.random.default_rng(0).integers(0, 256, (1, 80, 96, 3)).astype(np.uint8)
    model.save(tmp_path / "cascade.keras")
    before, after = (each.predict_on_batch(images) for each in (model, mrcnn.load_model(tmp_path / "cascade.keras")))
    assert before["num_detections"][0] > 0
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value, name)


def test_the_benchmark_s_weights_spread_every_stage():
    model = finding_model(config=cascade_config())
    image, shape = tf.random.stateless_normal([1, 96, 128, 3], [3, 4]), tf.constant([[96, 128]])
    scenes.spread_predictions(model, image, shape)
    tensors = model.trace(image, shape)
    for number in (1, 2, 3):
        np.testing.assert_allclose(np.std(tensors[f"class_logits_{number}"]), 2.5, rtol=0.02)
        np.testing.assert_allclose(np.std(tensors[f"box_deltas_{number}"]), 0.5, rtol=0.02)


def test_torchvision_has_no_cascade(model):
    with pytest.raises(CheckpointError, match="class-agnostic or a cascade, which torchvision has not"):
        to_torchvision(model)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"class_agnostic": False}, "class_agnostic is False; allowed: True, where cascade_ious has stages"),
        ({"cascade_ious": (0.6, 0.7, 0.8)}, "cascade_delta_weights is .*one for each of 3 cascade_ious"),
        ({"cascade_delta_weights": ((1.0,), (1.0,))}, "cascade_delta_weights is .*four numbers a stage"),
        ({"cascade_ious": (1.5,)}, "cascade_ious is"),
    ],
)
def test_mistakes(changes, words):
    config = cascade_config()
    for name, value in changes.items():
        setattr(config.box_head, name, value)
    with pytest.raises(ValueError, match=words):
        mrcnn.MaskRCNN(config)
