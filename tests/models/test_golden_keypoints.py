"""The keypoint head inside the whole model against torchvision: detections, heat maps, places, losses, gradients."""

import numpy as np
import pytest
import tensorflow as tf
from recipe_models import (
    SWAP,
    check_losses,
    float64_training_model,
    golden_model,
    golden_scene,
    losses_and_gradients,
    losses_of,
    prepared,
    training_model,
)

from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.steps import run_steps
from mask_rcnn_tf.ops.kernels import get_kernels

BOX, SCORE, PLACE = 1e-2, 1e-4, 1e-2
NO_GRADIENT = "roi_heads.keypoint_predictor.kps_score_lowres.bias"  # a softmax does not see it


@pytest.fixture(scope="module", params=["native", pytest.param("xla", marks=pytest.mark.slow)])
def found(request, golden):
    """What the model finds and passes on the way, without its batch axis; `given_logits` are heat maps of their boxes.

    A box that differs by a thousandth of a pixel, as float32 lets it, moves what is pooled by more than float32 does.
    """
    model = golden_model("kpA", request.param)
    theirs = golden("golden_kpA")["det_net/0/boxes"][None, :, SWAP]
    steps = model.steps()
    head = [step for step in steps if step.name.startswith("keypoint")]
    image, image_shape = prepared(model, [golden_scene("sceneA", 320, 416)], (320, 416))

    def run(image, image_shape):
        tensors = model.trace(image, image_shape)
        boxes, counts = tensors["detection_boxes"], tensors["num_detections"]
        valid = tf.range(tf.shape(boxes)[1])[None] < counts[:, None]
        rows = RoiRows(valid, get_kernels(model.config.kernels).static)
        given = run_steps(head, tensors | {"detection_boxes": tf.constant(theirs)})
        maps = {"logits": tensors["keypoint_logits"], "given_logits": given["keypoint_logits"]}
        names = ("num_detections", "detection_boxes", "detection_scores", "detection_keypoints", "keypoint_peaks")
        return {name: tensors[name][0] for name in names} | {name: rows.restore(map_)[0] for name, map_ in maps.items()}

    compiled = tf.function(run, jit_compile=request.param == "xla", autograph=False)
    return {name: value.numpy() for name, value in compiled(image, image_shape).items()}


def test_detections(found, golden):
    golden = golden("golden_kpA")
    assert found["num_detections"] == len(golden["final/0/labels"]) == len(found["detection_boxes"])
    np.testing.assert_allclose(found["detection_boxes"][:, SWAP], golden["det_net/0/boxes"], atol=BOX)
    np.testing.assert_allclose(found["detection_scores"], golden["final/0/scores"], atol=SCORE)


def test_heat_maps(found, golden):
    golden = golden("golden_kpA")
    logits, stats = np.transpose(found["given_logits"], (0, 3, 1, 2)), golden["kp/logits/stats"]
    np.testing.assert_allclose(logits[::2, :, ::4, ::4], golden["kp/logits/slice_r2_s4"], atol=2e-4 * stats[2:4].max())
    np.testing.assert_allclose(np.sqrt(np.square(logits, dtype=np.float64).sum()), stats[5], rtol=1e-5)


def test_keypoints(found, golden):
    golden = golden("golden_kpA")
    places, scores = found["detection_keypoints"][..., :2], found["detection_keypoints"][..., 2]
    np.testing.assert_allclose(places, golden["final/0/keypoints"][..., :2], atol=PLACE)
    theirs = golden["final/0/keypoints_scores"]  # logits at the places
    np.testing.assert_allclose(found["keypoint_peaks"], theirs, atol=1e-3)
    maps = found["logits"].astype(np.float64)
    share = np.minimum(np.exp(theirs.astype(np.float64)) / np.exp(maps).sum((1, 2)), 1.0)  # Detectron2's score
    np.testing.assert_allclose(scores, share, rtol=2e-3, atol=1e-6)


@pytest.fixture(scope="module", params=["native", pytest.param("xla", marks=pytest.mark.slow)])
def kernels(request):
    return request.param


def training_batch(model):
    scenes = [golden_scene("sceneA", 320, 416), golden_scene("sceneT2", 320, 416)]
    image, image_shape = prepared(model, scenes, (320, 416))
    size = max(len(scene["labels"]) for scene in scenes) + 2  # padding too
    batch = {"image": image, "image_shape": image_shape, "image_id": tf.constant([1, 2], tf.int64)}
    for name, source in (("gt_boxes", "boxes"), ("gt_keypoints", "keypoints")):
        batch[name] = tf.stack([padded(scene[source], size) for scene in scenes])
    return batch | {"gt_classes": tf.stack([padded(np.ones(len(s["labels"]), np.int32), size) for s in scenes])}


def padded(rows, size):
    return np.pad(rows, [(0, size - len(rows))] + [(0, 0)] * (rows.ndim - 1))


def test_losses(kernels, golden):
    model = training_model(kernels, case="kpA")
    losses = losses_of(model, training_batch(model), kernels == "xla")
    assert set(losses) == {"rpn_objectness", "rpn_box", "box_class", "box_delta", "keypoint"}
    check_losses(losses, golden("golden_train_kp"))


@pytest.mark.slow
def test_gradients(kernels, golden):
    model, golden = float64_training_model(kernels, case="kpA"), golden("golden_train_kp")
    losses, gradients = losses_and_gradients(model, training_batch(model), False)
    check_losses(losses, golden)
    assert len(gradients) == len(golden["grad/names"]) == len(model.trainable_variables)
    for row, name in enumerate(golden["grad/names"]):
        floor = 1e-4 if name == NO_GRADIENT else 0.0
        np.testing.assert_allclose(
            np.linalg.norm(gradients[name]), golden["fp64/grad/l2"][row], rtol=1e-3, atol=floor, err_msg=name
        )
