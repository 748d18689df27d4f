"""Losses and gradients of one training batch against torchvision, with the deterministic sampler."""

import json

import numpy as np
import pytest
import recipe
import tensorflow as tf
from conftest import GOLDEN
from recipe_models import (
    check_losses,
    float64_training_model,
    golden_scene,
    losses_and_gradients,
    losses_of,
    prepared,
    training_model,
)


@pytest.fixture(scope="module", params=["native", pytest.param("xla", marks=pytest.mark.slow)])
def kernels(request):
    return request.param


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


def test_losses(kernels, golden):
    model = training_model(kernels)
    check_losses(losses_of(model, training_batch(model), kernels == "xla"), golden("golden_train_mask"))


def test_gradients(kernels, golden):
    model, golden = float64_training_model(kernels), golden("golden_train_mask")
    # Not compiled: XLA's float64 convolutions on a CPU are plain loops.
    losses, gradients = losses_and_gradients(model, training_batch(model), False)
    check_losses(losses, golden)
    assert len(gradients) == len(golden["grad/names"]) == len(model.trainable_variables)
    for row, name in enumerate(golden["grad/names"]):
        gradient, expected = gradients[name], golden["fp64/grad/l2"][row]
        np.testing.assert_allclose(np.linalg.norm(gradient), expected, rtol=1e-3, err_msg=name)
        flat = gradient.ravel()
        sample = flat[:: max(1, flat.size // 8)][:8]
        theirs = golden["grad/sample8_stride_numel_div_8"][row][: len(sample)]
        # In float32, which moves single elements more than norms where a ReLU is near zero (8e-4 in those).
        floor = 1e-3 * expected / np.sqrt(flat.size) + 1e-3 * np.abs(theirs).max()
        np.testing.assert_allclose(sample, theirs, rtol=0, atol=5 * floor, err_msg=name)


def test_recipe_is_the_one_the_goldens_were_made_with():
    for name, entry in list(json.loads((GOLDEN / "params_mask.json").read_text()).items())[::20]:
        assert recipe.crc(recipe.fill_array(name, entry["shape"])) == entry["crc32"], name
