"""Losses and gradients of a batch of scenes of different sizes, padded to one canvas, against torchvision."""

import numpy as np
import pytest
import tensorflow as tf
from padded_scenes import SCENES, bordered
from recipe_models import SWAP, fill, golden_config, prepared

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models import stages
from mask_rcnn_tf.weights.projects import torchvision

CANVAS = (224, 224)
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


@pytest.fixture(scope="module")
def model(kernels):
    return make_model(kernels)


@pytest.fixture(scope="module")
def float64_model(kernels):
    """Layers in float64, as in test_golden_training.py: gradients whose sums do not depend on the machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "resolve_dtype", lambda dtype: "float64")
        return make_model(kernels)


def make_model(kernels):
    config = golden_config("maskA")
    config.preprocess.short_side, config.preprocess.max_side = 160, 224
    config.rpn.pre_nms_top_n_train, config.rpn.post_nms_top_n_train = 300, 150
    config.roi.samples, config.sampler, config.backbone.frozen_stages = 64, "evenly", 0
    config.kernels = kernels
    return fill(mrcnn.MaskRCNN(config))


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


def losses_and_gradients(model, compiled):
    def step(batch):
        with tf.GradientTape() as tape:
            losses = model.compute_losses(batch, tf.zeros([], tf.int64), True)
            total = tf.add_n(list(losses.values()))
        return losses, tape.gradient(total, model.trainable_variables)

    return tf.function(step, jit_compile=compiled)(padded_batch(model))


def check_losses(losses, golden):
    for ours, theirs in LOSSES.items():
        np.testing.assert_allclose(losses[ours], golden[f"losses/{theirs}"], rtol=1e-4, err_msg=ours)


def test_losses(model, kernels, golden):
    check_losses(losses_and_gradients(model, kernels == "xla")[0], golden("golden_train_padded"))


def test_gradients(float64_model, golden):
    golden = golden("golden_train_padded")
    losses, gradients = losses_and_gradients(float64_model, False)  # XLA's float64 convolutions are plain loops
    check_losses(losses, golden)
    pairs = zip(float64_model.trainable_variables, gradients, strict=True)
    ours = {id(variable): tf.convert_to_tensor(gradient).numpy() for variable, gradient in pairs}
    theirs = dict(zip(golden["fp64/grad/names"], golden["fp64/grad/l2"], strict=True))
    found = {
        entry.sources[0].name: np.linalg.norm(ours[id(entry.variable)].astype(np.float64))
        for entry in torchvision.all_entries(float64_model)
        if id(entry.variable) in ours  # not the frozen norms
    }
    assert set(found) == set(theirs) and len(found) == len(ours)
    for name, norm in found.items():
        np.testing.assert_allclose(norm, theirs[name], rtol=1e-3, err_msg=name)
