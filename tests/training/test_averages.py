"""The moving average of the weights against float64, and that a run goes on from the weights themselves."""

import pathlib

import keras
import numpy as np
import pytest
import tensorflow as tf

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.evaluation import callback
from mask_rcnn_tf.training import TorchSGD
from mask_rcnn_tf.training.averages import AveragedWeights, UseAverages, UseWeights
from mask_rcnn_tf.training.fit import train

PATH = pathlib.Path(__file__).with_name("tiny_config.py")
MOMENTUM, RATE, STEPS = 0.8, 0.1, 12
OPTIMIZERS = {
    "torch_sgd": lambda: TorchSGD(RATE, 0.0, 0.0, use_ema=True, ema_momentum=MOMENTUM),
    "keras_sgd": lambda: keras.optimizers.SGD(RATE, use_ema=True, ema_momentum=MOMENTUM),
}


def batches():
    random = np.random.default_rng(0)
    return random.normal(size=(STEPS, 4, 3)), random.normal(size=(STEPS, 4, 2))


def expected():
    """Weights and their averages after each step, in float64."""
    inputs, targets = batches()
    weight, average, steps = np.full((3, 2), 0.5), None, []
    for x, y in zip(inputs, targets, strict=True):
        weight = weight - RATE * 2 * x.T @ (x @ weight - y) / y.size
        average = weight if average is None else MOMENTUM * average + (1 - MOMENTUM) * weight
        steps.append((weight, average))
    return steps


class Recorder(keras.callbacks.Callback):
    """What is scored and saved: the weights between the two callbacks."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(self.model.get_weights()[0])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_as_in_float64(name):
    """Two calls of `fit`, of two epochs and of one: averages are scored, weights are trained."""
    inputs, targets = (values.reshape(-1, values.shape[-1]).astype(np.float32) for values in batches())
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, use_bias=False)])
    model.set_weights([np.full((3, 2), 0.5)])
    model.compile(OPTIMIZERS[name](), "mse")
    model.optimizer.build(model.trainable_variables)
    averages, recorder = AveragedWeights(), Recorder()
    callbacks = [UseAverages(averages), recorder, UseWeights(averages)]
    steps = expected()
    for rows, epochs, done in ((slice(0, 16), 1, 4), (slice(16, 32), 1, 8), (slice(32, 48), 1, 12)):
        model.fit(inputs[rows], targets[rows], 4, epochs, shuffle=False, callbacks=callbacks, verbose=0)
        np.testing.assert_allclose(model.get_weights()[0], steps[done - 1][0], atol=2e-6)
        np.testing.assert_allclose(recorder.seen[-1], steps[done - 1][1], atol=2e-6)
    assert np.abs(steps[-1][0] - steps[-1][1]).max() > 1e-2


def test_optimizer_comes_back_with_its_average():
    optimizer = TorchSGD.from_config(OPTIMIZERS["torch_sgd"]().get_config())
    assert optimizer.use_ema and optimizer.ema_momentum == MOMENTUM
    assert not TorchSGD.from_config(TorchSGD().get_config()).use_ema


def test_without_averages_nothing_happens():
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    before = model.get_weights()
    with AveragedWeights().used(model):
        pass
    for one, other in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.slow
def test_a_run_saves_the_averages_and_stores_both(tmp_path, monkeypatch):
    """Of the last checkpoint the weights go on and the averages are `model.keras`, which is what was scored."""
    seen, predict_results = [], callback.predict_results

    def observed(model, dataset, category_ids, verbose, predict):
        seen.append(([variable.numpy() for variable in model.trainable_variables], predict))
        return predict_results(model, dataset, category_ids, verbose, predict)

    monkeypatch.setattr(callback, "predict_results", observed)
    config = mrcnn.load_config(str(PATH))
    config.train.steps, config.train.evaluate_every, config.train.checkpoint_every = 4, 2, 2
    config.train.ema_momentum, config.eval.augmentation.short_sides = 0.9, (48, 64)
    train(config, tmp_path)
    reader = tf.train.load_checkpoint(str(tmp_path / "checkpoints" / "step-4"))
    stored = {name.partition("/.ATTRIBUTES")[0]: name for name in reader.get_variable_to_shape_map()}
    model, trained = mrcnn.load_model(tmp_path / "model.keras"), 0
    for variable in model.trainable_variables:
        path = variable.path.replace("/", "_")
        (average,) = (stored[name] for name in stored if name.endswith(f"{path}_average"))
        np.testing.assert_array_equal(variable, reader.get_tensor(average), err_msg=variable.path)
        (weight,) = (
            name for name in stored.values() if name.startswith(f"weights/{variable.path.replace('/', '.S')}/")
        )
        trained += bool(np.any(reader.get_tensor(weight) != variable.numpy()))
    assert trained > 20
    (_, _), (scored, predict) = seen
    assert predict is not None
    for variable, value in zip(model.trainable_variables, scored, strict=True):
        np.testing.assert_array_equal(variable, value, err_msg=variable.path)
