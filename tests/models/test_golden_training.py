"""Losses and gradients of one training batch against torchvision, with the deterministic sampler."""

import numpy as np
import pytest
import recipe
import tensorflow as tf
from recipe_models import fill, golden_config, golden_scene, prepared

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import stages
from mask_rcnn_tf.weights.projects import torchvision

LOSSES = {
    "rpn_objectness": "loss_objectness",
    "rpn_box": "loss_rpn_box_reg",
    "box_class": "loss_classifier",
    "box_delta": "loss_box_reg",
    "mask": "loss_mask",
}


@pytest.fixture(scope="module", params=["native", pytest.param("xla", marks=pytest.mark.slow)])
def kernels(request):
    return request.param


def make_model(kernels):
    config = golden_config("maskA")
    config.rpn.pre_nms_top_n_train, config.rpn.post_nms_top_n_train = 300, 150
    config.roi.samples, config.sampler, config.backbone.frozen_stages = 64, "evenly", 0
    config.kernels = kernels
    return fill(mrcnn.MaskRCNN(config))


@pytest.fixture(scope="module")
def model(kernels):
    return make_model(kernels)


@pytest.fixture(scope="module")
def float64_model(kernels):
    """Layers in float64, which no configuration offers; geometry and losses are float32 as ever.

    The golden gradients are torchvision's in float32, whose own rounding is 8e-4 of the 1e-3 allowed (a ReLU near zero
    opens or stays shut). In float64 ours have none, and the test does not depend on the machine's float32 kernels.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "resolve_dtype", lambda dtype: "float64")
        return make_model(kernels)


def training_batch(model):
    scenes = [golden_scene("sceneA", 320, 416), golden_scene("sceneT2", 320, 416)]
    image, image_shape = prepared(model, scenes, (320, 416))
    size = max(len(scene["labels"]) for scene in scenes) + 2  # padding too
    batch = {"image": image, "image_shape": image_shape, "image_id": tf.constant([1, 2], tf.int64)}
    for name, source in (("gt_boxes", "boxes"), ("gt_classes", "labels"), ("gt_masks", "masks")):
        rows = [np.pad(s[source], [(0, size - len(s[source]))] + [(0, 0)] * (s[source].ndim - 1)) for s in scenes]
        batch[name] = np.stack(rows)
    batch["gt_classes"] = batch["gt_classes"].astype(np.int32)
    batch["gt_masks"] = batch["gt_masks"] * np.uint8(255)
    return {name: tf.convert_to_tensor(value) for name, value in batch.items()}


def losses_and_gradients(model, compiled):
    def step(batch):
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables)

    return tf.function(step, jit_compile=compiled)(training_batch(model))


def check_losses(losses, golden):
    for ours, theirs in LOSSES.items():
        expected = golden("golden_train_mask")[f"losses/{theirs}"]
        np.testing.assert_allclose(losses[ours], expected, rtol=1e-4, err_msg=ours)


def test_losses(model, kernels, golden):
    check_losses(losses_and_gradients(model, kernels == "xla")[0], golden)


def test_gradients(float64_model, golden):
    model = float64_model
    losses, gradients = losses_and_gradients(model, False)  # XLA's float64 convolutions on a CPU are plain loops
    check_losses(losses, golden)
    golden = golden("golden_train_mask")
    ours = {}
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        ours[id(variable)] = tf.convert_to_tensor(gradient).numpy()
    checked = 0
    for entry in torchvision.all_entries(model):
        if id(entry.variable) not in ours:
            continue  # frozen norms
        name = entry.sources[0].name
        row = list(golden["grad/names"]).index(name)
        gradient = entry.to_theirs(ours[id(entry.variable)]).astype(np.float64)
        expected = golden["grad/l2"][row]
        np.testing.assert_allclose(np.linalg.norm(gradient), expected, rtol=1e-3, err_msg=name)
        flat = gradient.ravel()
        sample = flat[:: max(1, flat.size // 8)][:8]
        theirs = golden["grad/sample8_stride_numel_div_8"][row][: len(sample)]
        # Single elements swing more than norms where a ReLU is near zero (torchvision's own float32 error: 8e-4 in l2).
        floor = 1e-3 * expected / np.sqrt(flat.size) + 1e-3 * np.abs(theirs).max()
        np.testing.assert_allclose(sample, theirs, rtol=0, atol=5 * floor, err_msg=name)
        checked += 1
    assert checked == len(golden["grad/names"]) == len(model.trainable_variables)


def test_recipe_is_the_one_the_goldens_were_made_with():
    import json

    from conftest import GOLDEN

    for name, entry in list(json.loads((GOLDEN / "params_mask.json").read_text()).items())[::20]:
        assert recipe.crc(recipe.fill_array(name, entry["shape"])) == entry["crc32"], name
