"""What running a model needs, measured in a process that does nothing else."""

import concurrent.futures
import multiprocessing
import os
import pathlib
from collections.abc import Sequence

from mask_rcnn_tf.evaluation.image_files import read_image
from mask_rcnn_tf.export.canvas import Canvas
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.runners import load_on_canvas

STATUS = pathlib.Path("/proc/self/status")


def measure_memory(path: str | os.PathLike, canvas: Canvas | None, files: Sequence[str | os.PathLike]) -> dict | None:
    """Loads a model in a process of its own, runs it on images and reads the process's peak.

    Args:
      path: of the model, see `runners.load`.
      canvas: (H, W) for a Keras model; other formats have their own.
      files: paths of images.

    Returns:
      {"peak_mb": of the whole process, "above_start_mb": what came on top of Python and this package}; None where the
      system does not say (it is Linux that does).

    Raises:
      ExportError: the process ended by itself, e.g. for want of memory.
    """
    if not STATUS.exists():
        return None
    # Spawned: a fork would start with the memory of this process.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(1, context) as pool:
        try:
            return pool.submit(_run, os.fspath(path), canvas, [os.fspath(file) for file in files]).result()
        except concurrent.futures.process.BrokenProcessPool:
            raise ExportError(f"model is '{path}'; a process that ran it by itself ended without an answer.") from None


def _run(path, canvas, files):
    before = _status_mb("VmRSS")
    runner = load_on_canvas(path, canvas)
    for file in files:
        runner.predict([read_image(file, kind=runner.config.preprocess.pixels)])
    peak = _status_mb("VmHWM")
    return {"peak_mb": round(peak), "above_start_mb": round(peak - before)}


def _status_mb(name):
    (line,) = (line for line in STATUS.read_text().splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) / 1024
