"""Optimizer, schedule, devices, callbacks, and `fit.train`, which joins them to a run."""

# Importing registers them: a saved model names its optimizer and schedule.
from mask_rcnn_tf.training.optimizer import TorchSGD, norm_variables
from mask_rcnn_tf.training.schedule import WarmupSchedule, make_optimizer

__all__ = ["TorchSGD", "WarmupSchedule", "make_optimizer", "norm_variables"]
