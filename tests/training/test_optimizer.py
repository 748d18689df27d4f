"""TorchSGD against a float64 definition of torch.optim.SGD and clip_grad_norm_."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.training.optimizer import TorchSGD, norm_variables
from mask_rcnn_tf.training.schedule import WarmupSchedule

STEPS = 20


class TorchReference:
    """Float64 transcription of torch/optim/sgd.py (dampening 0) after torch/nn/utils/clip_grad.py."""

    def __init__(self, values, momentum, weight_decay, max_norm, decays):
        self.values = [np.asarray(value, np.float64) for value in values]
        self.buffers = [None] * len(values)
        self.momentum, self.weight_decay, self.max_norm, self.decays = momentum, weight_decay, max_norm, decays

    def step(self, grads, lr):
        total = np.sqrt(sum(np.sum(np.square(grad)) for grad in grads))
        coefficient = min(1.0, self.max_norm / (total + 1e-6)) if self.max_norm else 1.0
        for i, grad in enumerate(grads):
            grad = grad * coefficient
            if self.decays[i]:
                grad = grad + self.weight_decay * self.values[i]
            self.buffers[i] = grad if self.buffers[i] is None else self.momentum * self.buffers[i] + grad
            self.values[i] = self.values[i] - lr * self.buffers[i]


def schedule():
    return WarmupSchedule(0.3, STEPS, warmup_steps=5, warmup_factor=0.01, decay_steps=(10, 15))


def learning_rate(step):
    warmup = 0.01 * (1 - step / 5) + step / 5 if step < 5 else 1.0
    return 0.3 * warmup * (0.1 if step >= 10 else 1.0) * (0.1 if step >= 15 else 1.0)


def gradients(rng):
    return [rng.normal(size=(3, 4)), rng.normal(size=(4,)) * 3]


@pytest.mark.parametrize("jit", [False, True])
@pytest.mark.parametrize("clip_norm", [0.0, 1.5])
def test_equals_torch(clip_norm, jit):
    rng = np.random.default_rng(0)
    start = gradients(rng)
    variables = [keras.Variable(value, dtype="float32") for value in start]
    optimizer = TorchSGD(schedule(), momentum=0.9, weight_decay=0.05, clip_norm=clip_norm)
    optimizer.exclude_from_weight_decay([variables[1]])
    optimizer.build(variables)
    step = tf.function(lambda *grads: optimizer.apply(list(grads), variables), jit_compile=jit, autograph=False)
    reference = TorchReference(start, 0.9, 0.05, clip_norm, decays=[True, False])
    for i in range(STEPS):
        grads = gradients(rng)
        step(*[tf.constant(grad, tf.float32) for grad in grads])
        reference.step(grads, learning_rate(i))
    for variable, expected in zip(variables, reference.values, strict=True):
        np.testing.assert_allclose(variable.numpy(), expected, rtol=1e-5, atol=1e-6)


def test_differs_from_keras_sgd_when_the_rate_changes():
    """The reason for this class: if Keras's SGD gave the same, it would not be needed."""
    ours, keras_value = keras.Variable([1.0]), keras.Variable([1.0])
    optimizer, keras_optimizer = TorchSGD(schedule(), 0.9, 0.0), keras.optimizers.SGD(schedule(), 0.9)
    for _ in range(STEPS):
        optimizer.apply([tf.constant([0.1])], [ours])
        keras_optimizer.apply([tf.constant([0.1])], [keras_value])
    assert abs(ours.numpy() - keras_value.numpy()) > 0.01


def test_none_and_sparse_gradients():
    table, unused = keras.Variable(np.ones((3, 2), np.float32)), keras.Variable([1.0])
    optimizer = TorchSGD(0.5, momentum=0.0, weight_decay=0.0, clip_norm=100.0)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        optimizer.apply(
            [tf.IndexedSlices(tf.ones((1, 2)), tf.constant([1]), tf.constant([3, 2])), None], [table, unused]
        )
    np.testing.assert_allclose(table.numpy(), [[1, 1], [0.5, 0.5], [1, 1]])
    np.testing.assert_allclose(unused.numpy(), [1.0])


def small_model(dtype=None):
    norm = keras.layers.BatchNormalization()
    model = keras.Sequential(
        [keras.Input((6,)), keras.layers.Dense(8, dtype=dtype), norm, keras.layers.Dense(2, dtype=dtype)]
    )
    optimizer = TorchSGD(schedule(), weight_decay=0.05, clip_norm=1.0)
    optimizer.exclude_from_weight_decay(norm_variables(model))
    optimizer.build(model.trainable_variables)
    model.compile(optimizer, "mse")
    return model


def batches():
    rng = np.random.default_rng(1)
    inputs = rng.normal(size=(40, 6)).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((inputs, inputs[:, :2])).batch(8)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_fit_save_load_continue(tmp_path, dtype):
    keras.utils.set_random_seed(0)
    model = small_model(dtype)
    model.fit(batches(), epochs=1, verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer, TorchSGD)
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert loaded.optimizer.get_config()["excluded"] == [2, 3]
    assert int(loaded.optimizer.iterations) == 5
    for one in (model, loaded):
        one.fit(batches(), epochs=1, verbose=0)
    for ours, theirs in zip(model.weights, loaded.weights, strict=True):
        assert ours.dtype == "float32"
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-6)


def test_norm_variables_reach_into_lists_and_skip_frozen():
    class Block(keras.layers.Layer):
        def __init__(self, frozen):
            super().__init__()
            self.nested = {"norms": [keras.layers.GroupNormalization(2), keras.layers.BatchNormalization()]}
            for norm in self.nested["norms"]:
                norm.build((None, None, None, 4))
            self.nested["norms"][1].trainable = not frozen

    class Model(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [Block(frozen=False), Block(frozen=True)]

    model = Model()
    names = [variable.path.split("/")[-2:] for variable in norm_variables(model)]
    assert len(names) == 6
    assert sum(name == "gamma" for _, name in names) == 3


def test_config_before_build_with_exclusions_is_refused():
    optimizer = TorchSGD(0.1)
    optimizer.exclude_from_weight_decay([keras.Variable([1.0])])
    with pytest.raises(ValueError, match="not built"):
        optimizer.get_config()


@pytest.mark.parametrize(("argument", "value"), [("momentum", 1.5), ("weight_decay", -1.0), ("clip_norm", -0.1)])
def test_bad_arguments(argument, value):
    with pytest.raises(ValueError, match=f"{argument} is {value}"):
        TorchSGD(0.1, **{argument: value})
