"""Optimizer, schedule, devices, callbacks, and `fit.train`, which joins them to a run."""
