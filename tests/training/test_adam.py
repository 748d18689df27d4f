"""FusedAdam against a float64 definition of Adam, and against Keras's own."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.training.adam import FusedAdam
from mask_rcnn_tf.training.schedule import WarmupSchedule

STEPS = 20
SETTINGS = {"beta_1": 0.8, "beta_2": 0.95, "weight_decay": 0.05, "global_clipnorm": 1.5}


def schedule():
    return WarmupSchedule(0.05, STEPS, warmup_steps=5, warmup_factor=0.1, decay_steps=(10,))


def learning_rate(step):
    return 0.05 * (0.1 * (1 - step / 5) + step / 5 if step < 5 else 1.0) * (0.1 if step >= 10 else 1.0)


def gradients(rng):
    return [rng.normal(size=(3, 40)), rng.normal(size=(5,)) * 3]


def reference(start, all_grads):
    """Kingma and Ba, arXiv:1412.6980, clipped by the global norm, with decoupled decay of the first value alone."""
    values, means, squares = [list(part) for part in (start, *([0.0, 0.0] for _ in range(2)))]
    for step, grads in enumerate(all_grads):
        norm, rate = np.sqrt(sum(np.sum(np.square(grad)) for grad in grads)), learning_rate(step)
        for i, grad in enumerate(grads):
            grad = grad * min(1.0, 1.5 / norm)
            if i == 0:
                values[i] = values[i] * (1 - rate * 0.05)
            means[i] = 0.8 * means[i] + 0.2 * grad
            squares[i] = 0.95 * squares[i] + 0.05 * np.square(grad)
            corrected = rate * np.sqrt(1 - 0.95 ** (step + 1)) / (1 - 0.8 ** (step + 1))
            values[i] = values[i] - corrected * means[i] / (np.sqrt(squares[i]) + 1e-7)
    return values


def run(kind, start, all_grads, jit=False):
    variables = [keras.Variable(value, dtype="float32", name=f"weight{i}") for i, value in enumerate(start)]
    optimizer = kind(schedule(), name="adam", **SETTINGS)
    optimizer.exclude_from_weight_decay([variables[1]])
    optimizer.build(variables)
    step = tf.function(lambda *grads: optimizer.apply(list(grads), variables), jit_compile=jit, autograph=False)
    for grads in all_grads:
        step(*[tf.constant(grad, tf.float32) for grad in grads])
    return optimizer, variables


@pytest.mark.parametrize("jit", [False, True])
def test_equals_the_paper(jit):
    rng = np.random.default_rng(0)
    start, all_grads = gradients(rng), [gradients(rng) for _ in range(STEPS)]
    _, variables = run(FusedAdam, start, all_grads, jit)
    for variable, expected in zip(variables, reference(start, all_grads), strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_has_the_variables_of_keras():
    """A checkpoint of the one is a checkpoint of the other."""
    rng = np.random.default_rng(1)
    start, all_grads = gradients(rng), [gradients(rng) for _ in range(STEPS)]
    (ours, values), (theirs, expected) = (run(kind, start, all_grads) for kind in (FusedAdam, keras.optimizers.Adam))
    assert [variable.path for variable in ours.variables] == [variable.path for variable in theirs.variables]
    for mine, other in zip((*values, *ours.variables), (*expected, *theirs.variables), strict=True):
        np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=2e-5, atol=1e-6)


def test_sparse_gradients_and_amsgrad():
    rows = tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), tf.constant([3, 2]))
    for options in ({}, {"amsgrad": True}):
        tables = []
        for kind in (FusedAdam, keras.optimizers.Adam):
            table = keras.Variable(np.ones((3, 2), np.float32))
            optimizer = kind(0.1, **options)
            for gradient in (rows, tf.ones((3, 2)), rows):
                optimizer.apply([gradient], [table])
            tables.append(table.numpy())
        np.testing.assert_allclose(tables[0], tables[1], rtol=1e-5)
        assert tables[0][1, 0] < tables[0][0, 0] < 1.0


def test_is_saved_with_a_model(tmp_path):
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    model.compile(FusedAdam(0.1, weight_decay=0.01), "mse")
    model.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded.optimizer) is FusedAdam
    for one in (model, loaded):
        one.fit(np.ones((8, 4)), np.ones((8, 3)), verbose=0)
    np.testing.assert_array_equal(loaded.layers[0].kernel.numpy(), model.layers[0].kernel.numpy())
