"""A batch in parts has the losses and gradients of the whole, whatever each part holds."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from tiny import c4_config, tiny_batch, tiny_config, tiny_model, with_keypoints

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.models.accumulation import accumulated, losses_and_gradients

STEP = tf.zeros([], tf.int64)


def cascade():
    config = tiny_config("group_norm")
    config.box_head.cascade_ious, config.box_head.class_agnostic = (0.6, 0.7), True
    return config


def keypoints():
    return c4_config(norm="group_norm")


def in_parts(model, batch, parts):
    model.compile("sgd")
    model.accumulation_steps = parts
    variables = model.trainable_variables
    return tf.function(lambda: losses_and_gradients(model, batch, STEP, variables), autograph=False)()


def whole(model, batch):
    with tf.GradientTape() as tape:
        losses = model.compute_losses(batch, STEP, True)
        total = tf.add_n(list(losses.values()))
    return losses, [tf.convert_to_tensor(gradient) for gradient in tape.gradient(total, model.trainable_variables)]


def uneven_batch():
    """One image without objects, one with most of them."""
    return tiny_batch(4, objects=[0, 5, 1, 3])


def built(config):
    """A model whose RoIs leave no choice: those of nearly the same score may change places in a smaller batch."""
    config.rpn.pre_nms_top_n_train, config.roi.samples = 8, 64
    keras.utils.set_random_seed(3)
    return mrcnn.MaskRCNN(config)


@pytest.mark.parametrize("make_config", [lambda: tiny_config("group_norm"), cascade, keypoints])
@pytest.mark.parametrize("parts", [2, 4])
def test_losses_and_gradients_are_those_of_the_whole(make_config, parts):
    model, batch = built(make_config()), uneven_batch()
    if model.config.keypoint_head.enabled:
        batch = with_keypoints(batch, 2)
    losses, gradients = in_parts(model, batch, parts)
    expected_losses, expected = whole(model, batch)
    assert losses.keys() == expected_losses.keys() and all(float(loss) > 0 for loss in losses.values())
    for name, loss in losses.items():
        np.testing.assert_allclose(loss, expected_losses[name], rtol=1e-4, err_msg=name)
    for variable, gradient, other in zip(model.trainable_variables, gradients, expected, strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(gradient, other, rtol=0, atol=1e-3 * scale + 1e-7, err_msg=variable.path)


def test_moving_averages_see_each_part_once():
    """Counting runs the norms too, and leaves no trace."""
    model, batch = tiny_model(), tiny_batch(4)
    means = [variable for variable in model.non_trainable_variables if variable.path.endswith("moving_mean")]
    start = [mean.numpy() for mean in means]
    for half in (slice(0, 2), slice(2, 4)):
        model.loss_sums({name: value[half] for name, value in batch.items()}, STEP, True)
    expected = [mean.numpy() for mean in means]
    assert max(np.abs(a - b).max() for a, b in zip(start, expected, strict=True)) > 1e-3
    for mean, value in zip(means, start, strict=True):
        mean.assign(value)
    in_parts(model, batch, 2)
    for mean, value in zip(means, expected, strict=True):
        np.testing.assert_allclose(mean, value, rtol=1e-5, atol=1e-6)


def test_a_variable_without_influence_has_no_gradient():
    used, unused = keras.Variable([2.0]), keras.Variable([3.0])

    def sums(part):
        return {"a": (tf.reduce_sum(used.value * part["x"]), tf.reduce_sum(part["n"]))}

    batch = {"x": tf.constant([1.0, 2.0, 3.0, 4.0]), "n": tf.constant([0.0, 0.0, 1.0, 3.0])}
    losses, gradients = accumulated(sums, batch, 2, [used, unused], names=["a"], scale=lambda total: 8 * total)
    assert float(losses["a"]) == 2 * 10 / 4 and gradients[1] is None
    np.testing.assert_array_equal(gradients[0], [8 * 10 / 4])


def test_images_that_cannot_be_shared_equally_are_refused():
    model = tiny_model()
    with pytest.raises(ValueError, match="accumulation_steps is 3; allowed: divisors of 4, the images of a batch"):
        in_parts(model, tiny_batch(4), 3)


@pytest.mark.slow
def test_compiled_by_xla():
    model, batch = built(tiny_config("group_norm", kernels="xla")), uneven_batch()
    step = tf.function(
        lambda: accumulated(
            lambda part: model.loss_sums(part, STEP, True),
            batch,
            2,
            model.trainable_variables,
            names=model.stages.loss_names,
        ),
        autograph=False,
        jit_compile=True,
    )
    losses, gradients = step()
    expected_losses, expected = whole(model, batch)
    for name, loss in losses.items():
        np.testing.assert_allclose(loss, expected_losses[name], rtol=1e-4, err_msg=name)
    for variable, gradient, other in zip(model.trainable_variables, gradients, expected, strict=True):
        np.testing.assert_allclose(
            gradient, other, rtol=0, atol=1e-3 * np.abs(other).max() + 1e-8, err_msg=variable.path
        )


def test_it_is_an_attribute_that_files_do_not_keep(tmp_path):
    model = tiny_model()
    model.accumulation_steps = 2
    model.save(tmp_path / "model.keras")
    assert mrcnn.load_model(tmp_path / "model.keras").accumulation_steps == 1
