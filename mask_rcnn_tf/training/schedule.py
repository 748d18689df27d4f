"""From the configuration to the learning rate at each step, and to the optimizer."""

import logging
import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import Config, TrainConfig
from mask_rcnn_tf.training.adam import FusedAdam
from mask_rcnn_tf.training.optimizer import TorchSGD, norm_variables

LOG = logging.getLogger("mask_rcnn_tf")


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class WarmupSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up, then steps down or a cosine to 0.

    Args:
      learning_rate: float, after the warm-up.
      total_steps: int, steps of the whole training.
      warmup_steps: int; 0 for none.
      warmup_factor: share of the learning rate at step 0.
      schedule: "step" or "cosine".
      decay_steps: steps (int) at which "step" multiplies by `decay_factor`, from that step on.
      decay_factor: float.
      warmup_rule: "product": the schedule times a factor that grows from `warmup_factor` to 1 (Detectron2's older
        WarmupMultiStepLR and WarmupCosineLR); "ramp": a line from `warmup_factor` times the schedule's start to its
        value at the end of the warm-up (Detectron2's WarmupParamScheduler). They differ for a cosine.

    Source: `detectron2/solver/lr_scheduler.py`.
    """

    def __init__(
        self,
        learning_rate: float,
        total_steps: int,
        warmup_steps: int = 0,
        warmup_factor: float = 1e-3,
        schedule: str = "step",
        decay_steps: Sequence[int] = (),
        *,
        decay_factor: float = 0.1,
        warmup_rule: str = "product",
    ):
        super().__init__()
        if warmup_rule not in ("product", "ramp"):
            raise ValueError(f"warmup_rule is {warmup_rule!r}; allowed: 'product', 'ramp'.")
        if schedule not in ("step", "cosine"):
            raise ValueError(f"schedule is {schedule!r}; allowed: 'step', 'cosine'.")
        self.learning_rate, self.total_steps = float(learning_rate), int(total_steps)
        self.warmup_steps, self.warmup_factor = int(warmup_steps), float(warmup_factor)
        self.schedule, self.decay_steps, self.decay_factor = schedule, tuple(decay_steps), float(decay_factor)
        self.warmup_rule = warmup_rule

    def __call__(self, step: int | tf.Tensor) -> tf.Tensor:
        """Learning rate, float32 [], of the update that takes `step` (int []) to `step` + 1."""
        step = tf.cast(tf.convert_to_tensor(step), tf.float32)
        if not self.warmup_steps:
            return self._after_warmup(step)
        done = tf.minimum(step / self.warmup_steps, 1.0)
        if self.warmup_rule == "product":
            return self._after_warmup(step) * (self.warmup_factor * (1.0 - done) + done)
        start, end = (self._after_warmup(tf.constant(float(at))) for at in (0, self.warmup_steps))
        ramp = start * self.warmup_factor * (1.0 - done) + end * done
        return tf.where(step < self.warmup_steps, ramp, self._after_warmup(step))

    def _after_warmup(self, step):
        rate = tf.constant(self.learning_rate)
        if self.schedule == "cosine":
            rate *= 0.5 * (1.0 + tf.cos(math.pi * tf.minimum(step / self.total_steps, 1.0)))
        elif self.decay_steps:
            passed = tf.cast(step >= tf.constant(self.decay_steps, tf.float32), tf.float32)
            rate *= self.decay_factor ** tf.reduce_sum(passed)
        return rate

    def get_config(self) -> dict[str, Any]:
        """Keras's configuration."""
        return {
            "learning_rate": self.learning_rate,
            "total_steps": self.total_steps,
            "warmup_steps": self.warmup_steps,
            "warmup_factor": self.warmup_factor,
            "schedule": self.schedule,
            "decay_steps": list(self.decay_steps),
            "decay_factor": self.decay_factor,
            "warmup_rule": self.warmup_rule,
        }


def scaled_learning_rate(train: TrainConfig) -> float:
    """The learning rate for the batch size in use, before warm-up and decay.

    SGD's is proportional to the batch (Goyal et al., arXiv:1706.02677, section 2.1). Adam's is not scaled: its step
    does not grow with the gradient.

    Args:
      train: `TrainConfig`.

    Returns:
      float.
    """
    return train.learning_rate * (1.0 if train.optimizer == "adam" else train.batch_size / train.base_batch_size)


def _say_learning_rate(train):
    if train.optimizer == "adam":
        LOG.info("learning rate %g, not scaled with the batch size for adam", train.learning_rate)
        return
    rate, base = scaled_learning_rate(train), train.base_batch_size
    LOG.info("learning rate %g = %g * %d images / %d", rate, train.learning_rate, train.batch_size, base)


def make_schedule(train: TrainConfig) -> WarmupSchedule:
    """The learning rate of every step of `train` (`TrainConfig`), as a `WarmupSchedule`."""
    return WarmupSchedule(
        scaled_learning_rate(train),
        train.steps,
        train.warmup_steps,
        train.warmup_factor,
        train.schedule,
        train.decay_steps,
        decay_factor=train.decay_factor,
        warmup_rule=train.warmup_rule,
    )


def make_optimizer(config: Config, model: keras.Model) -> keras.optimizers.Optimizer:
    """The optimizer of `config.train`, built for `model`; norm parameters get no weight decay. Logs the learning rate.

    "adam" is Keras's Adam, with its decoupled weight decay (AdamW) and its clipping, which is applied on each replica.

    Args:
      config: `Config`.
      model: built `keras.Model`; call this in the strategy's scope.

    Returns:
      `keras.optimizers.Optimizer` with all its variables.
    """
    train = config.train
    _say_learning_rate(train)
    schedule = make_schedule(train)
    averages = {"use_ema": True, "ema_momentum": train.ema_momentum} if train.ema_momentum else {}
    if train.optimizer == "adam":
        optimizer = FusedAdam(
            schedule,
            beta_2=train.adam_beta_2,
            weight_decay=train.weight_decay or None,
            global_clipnorm=train.clip_norm or None,
            name="adam",  # Keras would number a second one, and checkpoints store its variables by path
            **averages,
        )
    else:
        optimizer = TorchSGD(schedule, train.momentum, train.weight_decay, train.clip_norm, **averages)
    optimizer.exclude_from_weight_decay(var_list=norm_variables(model))
    optimizer.build(model.trainable_variables)
    return optimizer
