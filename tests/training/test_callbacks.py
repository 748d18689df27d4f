"""Callbacks of a run, on a small model in place of Mask R-CNN."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.training.callbacks import StepLog, StopOnNonFinite, WindowMeans, write_atomically
from mask_rcnn_tf.training.checkpoint import BestModel, Checkpointing
from mask_rcnn_tf.training.optimizer import TorchSGD
from mask_rcnn_tf.training.schedule import make_optimizer

BATCH = 4


class Regression(keras.Model):
    """Takes dicts and returns losses by name, as Mask R-CNN does; layers in a Python list, as there."""

    def __init__(self, units=3):
        super().__init__()
        dense, norm = keras.layers.Dense, keras.layers.BatchNormalization
        self.stages = [dense(units, name="first"), norm(name="norm"), dense(1, name="last")]
        for layer, width in zip(self.stages, (2, units, units), strict=True):
            layer.build((None, width))
        self.means = [keras.metrics.Mean(name="loss"), keras.metrics.Mean(name="box")]
        self.built = True

    @property
    def metrics(self):
        return self.means

    def call(self, batch, training=False):
        outputs = batch["x"]
        for layer in self.stages:
            outputs = layer(outputs, training=training) if "norm" in layer.name else layer(outputs)
        return outputs

    def train_step(self, batch):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(self(batch, training=True)[:, 0] - batch["y"]))
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        for metric in self.means:
            metric.update_state(loss)
        return {metric.name: metric.result() for metric in self.means}


def batches_from(start, bad_step=None):
    rng = np.random.default_rng(0)
    images = np.arange(20 * BATCH)
    x = rng.normal(size=(images.size, 2)).astype(np.float32)
    y = x.sum(-1)
    if bad_step is not None:
        y[BATCH * bad_step + 1] = np.nan
    dataset = tf.data.Dataset.from_tensor_slices({"x": x, "y": y, "image_id": images})
    return dataset.batch(BATCH, drop_remainder=True).skip(start).repeat()


def compiled(units=3):
    keras.utils.set_random_seed(0)
    model = Regression(units)
    optimizer = TorchSGD(0.05)
    optimizer.build(model.trainable_variables)
    model.compile(optimizer=optimizer)
    return model


def fit(model, callbacks, steps, start=0, bad_step=None):
    model.fit(batches_from(start, bad_step), steps_per_epoch=steps, callbacks=callbacks, verbose=0)


def every(number):
    return lambda step: step % number == 0


def test_window_means():
    rng = np.random.default_rng(0)
    values = rng.uniform(size=10)
    means = WindowMeans()
    means.take(4, {"loss": values[:4].mean()})
    assert means.take(10, {"loss": values.mean()})["loss"] == pytest.approx(values[4:].mean())
    with pytest.raises(ValueError, match="count is 10; allowed: above 10"):
        means.take(10, {})


def test_non_finite_loss_names_step_losses_and_images(tmp_path):
    model = compiled()
    checkpointing = Checkpointing(model, tmp_path, every(1))
    stop = StopOnNonFinite(
        lambda start: batches_from(start, bad_step=5), lambda: checkpointing.manager.latest_checkpoint
    )
    with pytest.raises(
        FloatingPointError, match=r"step 6: box, loss not finite.* loss nan.*\[20, 21, 22, 23\]"
    ) as error:
        fit(model, [stop, checkpointing], 10, bad_step=5)
    assert checkpointing.manager.latest_checkpoint.endswith("step-5")
    assert f"The last good checkpoint is {tmp_path}/checkpoints/step-5; " in str(error.value)
    assert "\n" not in str(error.value)


def test_a_loss_that_is_never_finite_has_no_good_checkpoint():
    model = compiled()
    stop = StopOnNonFinite(lambda start: batches_from(start, bad_step=0))
    with pytest.raises(FloatingPointError, match="step 1: .* The last good checkpoint is none; "):
        fit(model, [stop], 2, bad_step=0)


def test_non_finite_weights_are_not_stored(tmp_path):
    model = compiled()
    checkpointing = Checkpointing(model, tmp_path, every(2))
    model.stages[0].kernel.assign(np.full((2, 3), np.inf))
    with pytest.raises(FloatingPointError, match=r"step 2: \d+ weights not finite \(.*kernel"):
        fit(model, [checkpointing], 4)
    assert checkpointing.manager.latest_checkpoint is None


def test_restored_run_equals_uninterrupted_run(tmp_path):
    whole = compiled()
    fit(whole, [], 11)
    killed = compiled()
    fit(killed, [Checkpointing(killed, tmp_path, every(3))], 8)
    again = compiled()
    again.stages[0].kernel.assign(np.zeros((2, 3)))
    checkpointing = Checkpointing(again, tmp_path, every(3))
    assert checkpointing.restore()
    assert int(again.optimizer.iterations) == 6
    fit(again, [checkpointing], 5, start=6)
    for ours, expected in zip(again.weights, whole.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), expected.numpy())
    assert checkpointing.step == 11


def test_checkpoint_of_another_model_is_refused(tmp_path):
    model = compiled()
    fit(model, [Checkpointing(model, tmp_path, every(2))], 2)
    with pytest.raises(ValueError, match="step-2 is of another model or optimizer"):
        Checkpointing(compiled(units=4), tmp_path, every(2)).restore()
    assert not Checkpointing(compiled(), tmp_path / "other", every(2)).restore()


class Scores(keras.callbacks.Callback):
    """Stands in for the evaluation: the next AP of a list at each epoch's end."""

    def __init__(self, *values):
        super().__init__()
        self.values = list(values)

    def on_epoch_end(self, epoch, logs=None):
        logs["val_segm_AP"] = self.values.pop(0)


def test_best_model_survives_a_restart(tmp_path):
    model = compiled()
    saved = []
    for scores in ((0.3, 0.2), (0.25,), (0.4,)):
        best = BestModel(tmp_path, "val_segm_AP")
        model.fit(
            batches_from(0),
            steps_per_epoch=2,
            epochs=len(scores),
            callbacks=[Scores(*scores), best],
            verbose=0,
        )
        saved.append((best.state["best"], best.state["best_step"], best.state["evaluated_step"]))
    assert saved == [(0.3, 2, 4), (0.3, 2, 6), (0.4, 8, 8)]
    assert json.loads((tmp_path / "state.json").read_text())["best"] == 0.4
    assert [path.name for path in tmp_path.glob("*.keras")] == ["best.keras"]
    with pytest.raises(ValueError, match="monitor is 'val_bbox_AP'; allowed: .*val_segm_AP"):
        model.fit(
            batches_from(0),
            steps_per_epoch=1,
            callbacks=[Scores(0.5), BestModel(tmp_path, "val_bbox_AP")],
            verbose=0,
        )


def test_log_has_window_means_and_drops_what_is_done_again(tmp_path):
    model = compiled()
    fit(model, [Scores(0.5), StepLog(tmp_path, 2, lambda step: 0.1 * step, BATCH)], 6)
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert lines.pop() == {"step": 6, "val_segm_AP": 0.5}
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert all({"loss", "box", "learning_rate", "images_per_second"} <= line.keys() for line in lines)
    assert [line["learning_rate"] for line in lines] == pytest.approx([0.1, 0.3, 0.5])
    (path,) = (tmp_path / "tensorboard").glob("events*")
    points = [
        (e.step, v.tag, v.simple_value) for e in tf.compat.v1.train.summary_iterator(str(path)) for v in e.summary.value
    ]
    losses = [(step, value) for step, tag, value in points if tag == "train/loss"]
    assert losses == [(line["step"], pytest.approx(line["loss"], rel=1e-5)) for line in lines]
    with (tmp_path / "log.jsonl").open("a") as file:
        file.write('{"step": 8, "lo')
    model.optimizer.iterations.assign(4)
    log = StepLog(tmp_path, 2, lambda step: 0.1, BATCH)
    log.set_model(model)
    log.on_train_begin()
    kept = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert kept == [2, 4]


def test_write_atomically(tmp_path):
    path = tmp_path / "state.json"
    write_atomically(path, "old")
    write_atomically(path, "new")
    assert path.read_text() == "new"
    assert [file.name for file in tmp_path.iterdir()] == ["state.json"]


def test_variables_are_stored_by_path(tmp_path):
    """Two of one shape that change places in the list of variables are restored to their own."""

    class Swapped(keras.Model):
        def __init__(self, names):
            super().__init__()
            self.parts_ = [keras.layers.Dense(2, name=name) for name in names]
            for part in self.parts_:
                part.build((None, 2))
            self.built = True

    def checkpointing(names):
        model = Swapped(names)
        model.compile(optimizer=TorchSGD(0.1))
        model.optimizer.build(model.trainable_variables)
        return model, Checkpointing(model, tmp_path, lambda step: True)

    model, callback = checkpointing(["left", "right"])
    callback.on_step(1, {})
    expected = {variable.path: variable.numpy() for variable in model.weights}
    again, callback = checkpointing(["right", "left"])
    assert callback.restore()
    for variable in again.weights:
        np.testing.assert_array_equal(variable, expected[variable.path])


@pytest.mark.parametrize("kind", ["torch_sgd", "adam"])
def test_a_second_run_in_one_process_resumes(tmp_path, kind):
    """As in a notebook: Keras numbers objects through the whole process, and paths must not depend on it."""
    config = Config()
    config.train.optimizer = kind

    def checkpointing():
        model = Regression()
        model.compile(optimizer=make_optimizer(config, model))
        return model, Checkpointing(model, tmp_path, lambda step: True)

    model, callback = checkpointing()
    for variable in model.optimizer.variables[2:]:
        variable.assign(variable + 0.5)
    callback.on_step(1, {})
    again, callback = checkpointing()
    assert callback.restore()
    for ours, theirs in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(ours, theirs)
