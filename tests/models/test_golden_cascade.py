"""Cascade R-CNN beside Detectron2's own program, from its own names: a training batch, and detections."""

import cascade_scene as scene
import detectron2_names as d2
import numpy as np
import pytest
import tensorflow as tf
from recipe_models import SWAP

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import mask_rcnn, stages, targets
from mask_rcnn_tf.weights.mapping import assign
from mask_rcnn_tf.weights.projects import detectron2

WIDTHS = [scene.RES2 * 2**i for i in range(4)]
SHAPES = {"fpn": scene.FPN, "fc": scene.FC, "classes": scene.NUM_CLASSES, "stem": scene.STEM, "outputs": WIDTHS}
LOSSES = {"rpn_objectness": "loss_rpn_cls", "rpn_box": "loss_rpn_loc"}
LOSSES |= {f"box_class_{k + 1}": f"loss_cls_stage{k}" for k in range(3)}
LOSSES |= {f"box_delta_{k + 1}": f"loss_box_reg_stage{k}" for k in range(3)}


@pytest.fixture(scope="module")
def model_and_entries():
    """In float64, as the golden's layers: no discrete choice hangs on how a machine rounds."""
    tensors = d2.shapes(**SHAPES, widths=[width // 4 for width in WIDTHS], masks=False, cascade=3)
    tensors = {name: scene.fill_array(name, shape) for name, shape in tensors.items()}
    config = detectron2.make_config(tensors).model
    config.preprocess.std, config.sampler, config.backbone.frozen_stages = scene.STD, "evenly", 0
    rpn = config.rpn
    rpn.pre_nms_top_n_train, rpn.post_nms_top_n_train, rpn.pre_nms_top_n_test, rpn.post_nms_top_n_test = scene.TOP_N * 2
    config.roi.samples, config.detection.max_detections = scene.SAMPLES, scene.DETECTIONS
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "resolve_dtype", lambda dtype: "float64")
        model = mrcnn.MaskRCNN(config)
    entries = detectron2.make_entries(model, tensors)
    report = assign(model, entries, tensors, detectron2.IGNORED)
    assert not report.initial and set(report.used) == set(tensors)
    return model, entries


@pytest.fixture(scope="module")
def batch(model_and_entries):
    preprocess, scenes = model_and_entries[0].config.preprocess, scene.scenes()
    rows = max(len(one["labels"]) for one in scenes) + 1  # padding too
    found = {name: [] for name in ("image", "image_shape", "gt_boxes", "gt_classes")}
    for one in scenes:
        image = (one["image"][..., ::-1].astype(np.float64) - preprocess.mean) / preprocess.std
        height, width = image.shape[:2]
        padding = [(0, scene.CANVAS[0] - height), (0, scene.CANVAS[1] - width), (0, 0)]
        found["image"].append(np.pad(image, padding).astype(np.float32))
        found["image_shape"].append(np.int32([height, width]))
        missing = rows - len(one["labels"])
        found["gt_boxes"].append(np.pad(one["boxes"][:, SWAP], [(0, missing), (0, 0)]))
        found["gt_classes"].append(np.pad(one["labels"], (0, missing)).astype(np.int32))
    return {name: tf.constant(np.stack(value)) for name, value in found.items()} | {
        "image_id": tf.constant([1, 2], tf.int64)
    }


def proposals_of(golden):
    """The golden's own, so that no NMS decides what is trained on."""
    given = [golden[f"proposals/{b}"][:, SWAP] for b in range(2)]
    counts = [len(boxes) for boxes in given]
    padded = [np.pad(boxes, [(0, max(counts) - len(boxes)), (0, 0)]) for boxes in given]
    return tf.constant(np.stack(padded)), tf.constant(counts)


def test_a_training_batch(model_and_entries, batch, golden, monkeypatch):
    (model, entries), golden, matched = model_and_entries, golden("golden_cascade"), []
    relabel = targets.relabel_rois

    def relabel_theirs(boxes, *given):
        """Theirs go on: in float32 a RoI moves by 1e-5, and a ReLU that flips moves single gradients by 2e-3."""
        stage, rows = len(matched) + 1, boxes.shape[1]
        theirs = [golden[f"stage{stage}/{b}/boxes"][:, SWAP] for b in range(2)]
        theirs = np.stack([np.pad(each, [(0, rows - len(each)), (0, 0)]) for each in theirs])
        found = relabel(tf.constant(theirs, tf.float32), *given)
        matched.append({"boxes": boxes, **found})
        return found

    monkeypatch.setattr(mask_rcnn, "select_proposals", lambda *given: proposals_of(golden))
    monkeypatch.setattr(targets, "relabel_rois", relabel_theirs)

    def step(batch):
        matched.clear()
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables), list(matched)

    losses, gradients, found = tf.function(step, autograph=False)(batch)
    assert set(losses) == set(LOSSES)
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)
    for stage, rois in enumerate(found, start=1):
        for b in range(2):
            theirs = golden[f"stage{stage}/{b}/classes"]
            valid = rois["roi_valid"][b].numpy()
            np.testing.assert_array_equal(valid, np.arange(len(valid)) < len(theirs))
            boxes = rois["boxes"][b].numpy()[valid][:, SWAP]
            np.testing.assert_allclose(boxes, golden[f"stage{stage}/{b}/boxes"], atol=1e-3)
            classes = rois["roi_classes"][b].numpy()[valid]
            np.testing.assert_array_equal(classes, np.where(theirs == scene.NUM_CLASSES, 0, theirs + 1))
    ours = {
        id(variable): tf.convert_to_tensor(gradient).numpy()
        for variable, gradient in zip(model.trainable_variables, gradients, strict=True)
    }
    named = {e.sources[0].name: e.to_theirs(ours[id(e.variable)]) for e in entries if id(e.variable) in ours}
    assert set(named) == set(golden["grad/names"]) and len(named) == len(ours)
    for row, name in enumerate(golden["grad/names"]):
        check_gradient(named[name].astype(np.float64), golden["grad/l2"][row], golden["grad/sample8"][row], name)


def check_gradient(gradient, length, theirs, name):
    np.testing.assert_allclose(np.linalg.norm(gradient), length, rtol=1e-3, err_msg=name)
    flat = gradient.ravel()
    sample = flat[:: max(1, flat.size // 8)][:8]
    floor = 1e-3 * length / np.sqrt(flat.size) + 1e-3 * np.abs(theirs).max()
    np.testing.assert_allclose(sample, theirs[: len(sample)], rtol=0, atol=floor, err_msg=name)


def test_detections(model_and_entries, batch, golden):
    model, golden = model_and_entries[0], golden("golden_cascade")
    found = tf.function(model.detect, autograph=False)(batch["image"], batch["image_shape"])
    for b in range(2):
        count = int(found["num_detections"][b])
        assert count == len(golden[f"final/{b}/scores"]) > 10
        np.testing.assert_array_equal(found["detection_classes"][b, :count] - 1, golden[f"final/{b}/classes"])
        np.testing.assert_allclose(found["detection_scores"][b, :count], golden[f"final/{b}/scores"], atol=1e-4)
        boxes = found["detection_boxes"][b, :count].numpy()[:, SWAP]
        np.testing.assert_allclose(boxes, golden[f"final/{b}/boxes"], atol=1e-2)
