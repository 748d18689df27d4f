"""Early stopping, and a run whose length is given in epochs."""

import json
import pathlib

import coco_files
import keras
import numpy as np
import pytest

from mask_rcnn_tf.data import sources
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import TorchSGD, fit
from mask_rcnn_tf.training.checkpoint import BestModel, StopWithoutGain

TINY = pathlib.Path(__file__).with_name("tiny_config.py")
EVERY = 3  # steps between evaluations


class Scores(keras.callbacks.Callback):
    """Gives each evaluation its figure."""

    def __init__(self, figures):
        super().__init__()
        self.figures = iter(figures)

    def on_epoch_end(self, epoch, logs=None):
        logs["val_segm_AP"] = next(self.figures)


def run(folder, figures, patience, steps_done=0):
    """Trains as `fit.train` does until it ends by itself, or every figure was given; the number of evaluations."""
    folder.mkdir(exist_ok=True)
    layer = keras.layers.Dense(2, name="dense")
    model = keras.Sequential([keras.Input((3,)), layer], name="small")
    model.compile(TorchSGD(0.01), "mse")
    model.optimizer.iterations.assign(steps_done)
    best = BestModel(folder, "val_segm_AP")
    stop = StopWithoutGain(best, patience, EVERY)
    if stop.is_over:
        return 0
    inputs = np.ones((EVERY, 3), np.float32)
    history = model.fit(
        inputs,
        inputs[:, :2],
        batch_size=1,
        epochs=len(figures),
        callbacks=[Scores(figures), best, stop],
        verbose=0,
    )
    return len(history.epoch)


@pytest.mark.parametrize(
    ("patience", "evaluations"),
    [(0, 7), (1, 4), (2, 7), (3, 7)],
)
def test_ends_after_so_many_evaluations_without_a_better_figure(tmp_path, patience, evaluations):
    figures = (0.0, 0.1, 0.2, 0.2, 0.3, 0.1, 0.3)
    assert run(tmp_path, figures, patience) == evaluations
    best = max(figures[:evaluations])
    state = json.loads((tmp_path / "state.json").read_text())
    assert (state["best"], state["best_step"]) == (best, EVERY * (1 + figures.index(best)))


def test_a_run_that_finds_nothing_yet_goes_on(tmp_path):
    assert run(tmp_path / "nothing", (0.0,) * 6, 1) == 6
    assert run(tmp_path / "no_object", (-1.0,) * 4, 1) == 4


def test_started_again_it_is_over_unless_patience_grew(tmp_path):
    assert run(tmp_path, (0.4, 0.3, 0.2, 0.5), 2) == 3
    assert run(tmp_path, (0.9,), 2, steps_done=3 * EVERY) == 0
    assert run(tmp_path, (0.2, 0.9), 3, steps_done=3 * EVERY) == 1  # the third in a row
    assert run(tmp_path, (0.9, 0.8), 4, steps_done=4 * EVERY) == 2


def test_epochs_are_turns_through_what_is_trained_on(tmp_path):
    config = load_config(str(TINY))
    config.train.epochs, config.train.batch_size = 2.5, 4
    fit.resolve_steps(config)
    assert config.train.steps == 8  # 2.5 * 12 / 4 = 7.5
    config.train.epochs = 0.0
    fit.resolve_steps(config)
    assert config.train.steps == 8


@pytest.mark.parametrize(("skip_empty", "threshold"), [(True, 0.0), (False, 0.0), (True, 0.9)])
def test_epochs_of_a_file(tmp_path, skip_empty, threshold):
    config = coco_files.config_for(coco_files.write(tmp_path / "data"), tmp_path / "cache")
    config.data.skip_empty, config.data.repeat_threshold = skip_empty, threshold
    images = len(list(sources.dataset(config, "train")))
    assert sources.num_examples(config, "train") == images
    config.train.epochs, config.train.batch_size = 3.0, 1
    fit.resolve_steps(config)
    assert config.train.steps == 3 * images or threshold and config.train.steps > 3 * images


@pytest.mark.slow
def test_a_whole_run_ends_early_and_is_not_continued(tmp_path):
    config = load_config(str(TINY))
    config.data.data_dir = str(tmp_path / "data")
    config.train.learning_rate, config.train.epochs, config.train.evaluate_every = 0.02, 400.0, 10
    config.train.patience = 2
    fit.train(config, tmp_path / "run")
    state = json.loads((tmp_path / "run" / "state.json").read_text())
    ended = state["evaluated_step"]
    assert ended == state["best_step"] + 20 < 1200
    metrics = (tmp_path / "run" / "metrics.json").read_text()
    log = (tmp_path / "run" / "log.jsonl").read_text()
    stored = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    fit.train(config, tmp_path / "run")
    assert sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir()) == stored
    assert (tmp_path / "run" / "metrics.json").read_text() == metrics
    assert (tmp_path / "run" / "log.jsonl").read_text() == log
