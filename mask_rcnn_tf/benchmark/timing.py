"""Repeated timing, peak memory, and the machine they were taken on."""

import os
import pathlib
import platform
import resource
import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

STATUS = pathlib.Path("/proc/self/status")
CLEAR_REFS = pathlib.Path("/proc/self/clear_refs")


def measure(function: Callable[[], Any], runs: int, warm_up: int = 1) -> tuple[list[float], Any]:
    """Runs a function repeatedly.

    Args:
      function: takes nothing; what it starts on a device is waited for.
      runs: how many times it is timed, int.
      warm_up: how many times it runs before, untimed: tracing and first allocations.

    Returns:
      Seconds of each timed run, list of float; and what the last run returned.
    """
    seconds, result = [], None
    for run in range(warm_up + runs):
        started = time.perf_counter()
        result = function()
        tf.test.experimental.sync_devices()
        if run >= warm_up:
            seconds.append(time.perf_counter() - started)
    return seconds, result


def summary(seconds: Sequence[float]) -> dict[str, float]:
    """Figures of some runs.

    Args:
      seconds: list of float.

    Returns:
      {"median_s", "min_s", "max_s", "spread" ((max - min) / median), "runs"}.
    """
    median = statistics.median(seconds)
    return {
        "median_s": round(median, 5),
        "min_s": round(min(seconds), 5),
        "max_s": round(max(seconds), 5),
        "spread": round((max(seconds) - min(seconds)) / median, 3),
        "runs": len(seconds),
    }


def reset_peak_memory():
    """Forgets the peaks so far, where the system can: building a model needs more than running it."""
    if CLEAR_REFS.exists():
        CLEAR_REFS.write_text("5")
    for device in _gpus():
        tf.config.experimental.reset_memory_stats(device)


def peak_memory() -> dict[str, Any]:
    """Peaks since `reset_peak_memory`.

    Returns:
      {"peak_host_mb": int} and, for each GPU that was used, its peak under "peak_gpu_mb", list of int.
    """
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # of the whole process; kilobytes on Linux
    if STATUS.exists():
        peak = next(int(line.split()[1]) for line in STATUS.read_text().splitlines() if line.startswith("VmHWM"))
    memory = {"peak_host_mb": round(peak / 1024)}
    gpus = _gpus()
    if gpus:
        memory["peak_gpu_mb"] = [round(tf.config.experimental.get_memory_info(gpu)["peak"] / 2**20) for gpu in gpus]
    return memory


def _gpus():
    return [device.name.removeprefix("/device:") for device in tf.config.list_logical_devices("GPU")]


def environment() -> dict[str, Any]:
    """What a figure depends on besides the code.

    Returns:
      {"tensorflow", "keras", "python", "machine", "cores", "devices", "load"}; load is that of the last minute.
    """
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    return {
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "devices": names or ["CPU"],
        "load": round(os.getloadavg()[0], 2),
    }
