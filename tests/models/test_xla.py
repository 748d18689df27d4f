"""The model under XLA. Compiling takes half a minute, so that the tests share one step and one prediction."""

import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from same_detections import LOSSES, assert_same_detections, dataset
from tiny import tiny_batch, tiny_config, tiny_model

import mask_rcnn_tf as mrcnn


@pytest.fixture(scope="module", params=["batch_norm", pytest.param("group_norm", marks=pytest.mark.slow)])
def runs(request):
    """{kernels: (model, losses of each of three steps, weights after them, detections)} from the same start."""
    batches, found = [tiny_batch(3, seed=seed, objects=[0, 2, 5]) for seed in range(3)], {}
    for kernels in ("native", "xla"):
        model = tiny_model(norm=request.param, kernels=kernels)
        model.compile(keras.optimizers.SGD(0.001), jit_compile=kernels == "xla")
        losses = [model.train_on_batch(batch, return_dict=True) for batch in batches]
        weights = [variable.numpy() for variable in model.trainable_weights]
        found[kernels] = (model, losses, weights, model.predict(dataset(batches[0]), verbose=0))
    return found


def test_the_model_stays_compiled(runs):
    assert {kernels: run[0].jit_compile for kernels, run in runs.items()} == {"native": False, "xla": True}


def test_losses_are_the_native_ones(runs):
    for native, xla in zip(runs["native"][1], runs["xla"][1], strict=True):
        for name in LOSSES:
            np.testing.assert_allclose(native[name], xla[name], rtol=1e-4, err_msg=name)


def test_three_steps_end_in_the_same_weights(runs):
    started = [variable.numpy() for variable in tiny_model(norm="batch_norm").trainable_weights]
    for a, b in zip(runs["native"][2], runs["xla"][2], strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)
    assert max(np.abs(a - b).max() for a, b in zip(started, runs["xla"][2], strict=True)) > 1e-3


def test_detections_are_the_native_ones(runs):
    assert_same_detections(runs["native"][3], runs["xla"][3])


def test_another_set_of_kernels_shares_the_layers(runs):
    model = runs["native"][0]
    compiled = model.with_kernels("xla")
    assert compiled.backbone is model.backbone and len(compiled.weights) == len(model.weights)


def test_raw_images(runs):
    model = runs["xla"][0]
    raw = tf.constant(np.random.default_rng(0).integers(0, 255, (2, 70, 110, 3), np.uint8))
    compiled = tf.nest.map_structure(np.asarray, tf.function(model.call, jit_compile=True, autograph=False)(raw))
    assert_same_detections(tf.nest.map_structure(np.asarray, model.with_kernels("native")(raw)), compiled)


def test_other_values_are_no_other_program():
    """XLA takes an index of a slice for a constant, and compiles again for each batch where it comes from the data."""
    config = tiny_config("frozen_batch_norm", kernels="xla")
    config.mask_head.mask_frame = "canvas"
    model, batch = mrcnn.MaskRCNN(config), tiny_batch()
    batch["gt_masks"] = tf.zeros([2, 5, 96, 96], tf.uint8)

    @tf.function(jit_compile=True, autograph=False)
    def gradients(image, gt_boxes):
        with tf.GradientTape() as tape:
            losses = model.compute_losses({**batch, "image": image, "gt_boxes": gt_boxes}, tf.zeros([], tf.int64), True)
        return tape.gradient(list(losses.values()), model.trainable_variables)

    def program(image, gt_boxes):
        return gradients.experimental_get_compiler_ir(image, gt_boxes)(stage="hlo")

    text = program(batch["image"], batch["gt_boxes"])
    assert text == program(batch["image"] + 1.0, batch["gt_boxes"] * 0.9)
    kernel = model.rpn_head.convs[0].kernel.shape
    assert f"f32[{','.join(map(str, kernel))}]" in text and "f32[<=" not in text  # no size that depends on the data
    kernels = {",".join(map(str, variable.shape)) for variable in model.trainable_variables if variable.ndim == 4}
    assert [shape for shape in kernels if re.search(rf"f32\[{shape}\]\S* constant", text)] == []  # none holds a weight
