"""Losses and gradients of a batch of scenes of different sizes, padded to one canvas, against torchvision."""

import numpy as np
import pytest
import tensorflow as tf
from padded_scenes import SCENES, bordered
from recipe_models import (
    SWAP,
    check_losses,
    float64_training_model,
    losses_and_gradients,
    losses_of,
    prepared,
    training_model,
)

CANVAS = (224, 224)
SIDES = (160, 224)


@pytest.fixture(scope="module", params=["native", pytest.param("xla", marks=pytest.mark.slow)])
def kernels(request):
    return request.param


def pad_to(array, shape):
    return np.pad(array, [(0, side - have) for side, have in zip(shape, array.shape, strict=True)])


def padded_batch(model):
    scenes = [bordered(*scene) for scene in SCENES]
    image, image_shape = prepared(model, scenes, CANVAS)
    np.testing.assert_array_equal(image_shape, [scene[1:] for scene in SCENES])
    rows = max(len(scene["labels"]) for scene in scenes) + 2
    return {
        "image": image,
        "image_shape": image_shape,
        "image_id": tf.constant([1, 2], tf.int64),
        "gt_boxes": tf.stack([pad_to(scene["boxes"][:, SWAP], (rows, 4)) for scene in scenes]),
        "gt_classes": tf.stack([pad_to(scene["labels"].astype(np.int32), (rows,)) for scene in scenes]),
        "gt_masks": tf.stack([pad_to(255 * scene["masks"], (rows, *CANVAS)) for scene in scenes]),
    }


def test_losses(kernels, golden):
    model = training_model(kernels, SIDES)
    check_losses(losses_of(model, padded_batch(model), kernels == "xla"), golden("golden_train_padded"))


@pytest.mark.slow
def test_gradients(kernels, golden):
    model, golden = float64_training_model(kernels, SIDES), golden("golden_train_padded")
    # Not compiled: XLA's float64 convolutions on a CPU are plain loops.
    losses, gradients = losses_and_gradients(model, padded_batch(model), False)
    check_losses(losses, golden)
    theirs = dict(zip(golden["fp64/grad/names"], golden["fp64/grad/l2"], strict=True))
    assert set(gradients) == set(theirs) and len(gradients) == len(model.trainable_variables)
    for name, gradient in gradients.items():
        np.testing.assert_allclose(np.linalg.norm(gradient), theirs[name], rtol=1e-3, err_msg=name)
