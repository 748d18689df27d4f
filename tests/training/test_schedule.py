"""Learning rates against Detectron2's formulas, written out in float64."""

import bisect
import logging
import math

import keras
import numpy as np
import pytest

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.training.adam import FusedAdam
from mask_rcnn_tf.training.optimizer import TorchSGD
from mask_rcnn_tf.training.schedule import WarmupSchedule, make_optimizer, make_schedule, scaled_learning_rate

CHECKED = (0, 1, 499, 999, 1000, 59_999, 60_000, 79_999, 80_000, 89_999)


def detectron2(step, kind):
    """`_get_warmup_factor_at_iter` and the two schedules of detectron2/solver/lr_scheduler.py."""
    alpha = step / 1000
    warmup = 1.0 if step >= 1000 else 0.001 * (1 - alpha) + alpha
    if kind == "cosine":
        return 0.02 * warmup * 0.5 * (1 + math.cos(math.pi * step / 90_000))
    return 0.02 * warmup * 0.1 ** bisect.bisect_right([60_000, 80_000], step)


@pytest.mark.parametrize("kind", ["step", "cosine"])
def test_detectron2(kind):
    train = Config().train
    train.schedule = kind
    schedule = make_schedule(train)
    ours = [float(schedule(step)) for step in CHECKED]
    np.testing.assert_allclose(ours, [detectron2(step, kind) for step in CHECKED], rtol=2e-5, atol=1e-11)


def test_without_warmup_or_decay():
    schedule = WarmupSchedule(0.5, 10)
    assert [float(schedule(step)) for step in (0, 5, 20)] == [0.5, 0.5, 0.5]


def test_serialisable():
    schedule = WarmupSchedule(0.5, 10, 3, 0.1, "step", (4, 8), decay_factor=0.3)
    copy = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(schedule))
    assert isinstance(copy, WarmupSchedule)
    assert [float(copy(step)) for step in range(10)] == [float(schedule(step)) for step in range(10)]


def test_bad_schedule():
    with pytest.raises(ValueError, match="schedule is 'poly'; allowed: 'step', 'cosine'"):
        WarmupSchedule(0.5, 10, schedule="poly")


def test_linear_scaling():
    train = Config().train
    train.batch_size = 4
    assert scaled_learning_rate(train) == pytest.approx(0.005)
    train.optimizer = "adam"
    assert scaled_learning_rate(train) == pytest.approx(0.02)


@pytest.mark.parametrize(("name", "kind"), [("torch_sgd", TorchSGD), ("adam", FusedAdam)])
def test_make_optimizer(name, kind, caplog):
    config = Config()
    config.train.optimizer = name
    config.train.clip_norm, config.train.batch_size = 2.0, 4
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()])
    with caplog.at_level(logging.INFO):
        optimizer = make_optimizer(config, model)
    assert type(optimizer) is kind
    assert optimizer.built
    if name == "torch_sgd":
        assert float(optimizer.learning_rate) == pytest.approx(5e-6)
        assert "learning rate 0.005 = 0.02 * 4 images / 16" in caplog.text
        assert optimizer.get_config()["excluded"] == [2, 3]
        assert optimizer.clip_norm == 2.0
    else:
        assert float(optimizer.learning_rate) == pytest.approx(2e-5)
        assert "learning rate 0.02, not scaled" in caplog.text
        assert optimizer.global_clipnorm == 2.0
        assert optimizer.beta_2 == 0.999


def warmup_param_scheduler(step, rate, total, warmup, factor):
    """Detectron2's WarmupParamScheduler over a cosine, `rescale_interval=False`, in float64."""
    cosine = lambda share: 0.5 * rate * (1 + np.cos(np.pi * share))  # noqa: E731
    if step / total < warmup / total:
        start, end = factor * cosine(0.0), cosine(warmup / total)
        return start + (end - start) * (step / total) / (warmup / total)
    return cosine(step / total)


def warmup_cosine_lr(step, rate, total, warmup, factor):
    """Detectron2's older WarmupCosineLR, in float64."""
    done = min(step / warmup, 1.0)
    return rate * (factor * (1 - done) + done) * 0.5 * (1 + np.cos(np.pi * step / total))


@pytest.mark.parametrize("rule, expected", [("ramp", warmup_param_scheduler), ("product", warmup_cosine_lr)])
def test_cosine_with_warmup(rule, expected):
    schedule = WarmupSchedule(0.02, 100, 30, 0.001, "cosine", warmup_rule=rule)
    steps = range(0, 100)
    ours = [float(schedule(step)) for step in steps]
    theirs = [expected(step, 0.02, 100, 30, 0.001) for step in steps]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=2e-8)
    assert abs(warmup_cosine_lr(20, 0.02, 100, 30, 0.001) - warmup_param_scheduler(20, 0.02, 100, 30, 0.001)) > 1e-4


def test_unknown_warmup_rule_is_refused():
    with pytest.raises(ValueError, match="warmup_rule is 'line'; allowed: 'product', 'ramp'"):
        WarmupSchedule(0.5, 10, warmup_rule="line")
