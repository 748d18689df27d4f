"""Keras's HDF5 files, read by `h5_process` in a process that may crash."""

import json
import math
import os
import pathlib
import signal
import subprocess
import sys
import tempfile

import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError

PROGRAM = pathlib.Path(__file__).with_name("h5_process.py")
# The process limits its own processor time; this is for a disk that does not answer.
TIMEOUT = 600


def read_h5(path: str) -> dict[str, np.ndarray]:
    """The weights of a Keras 2 .h5 file, by layer and weight: "conv1/kernel".

    Args:
      path: the file.

    Raises:
      CheckpointError: it is damaged, holds links, two weights of one name, or no plain arrays of numbers.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = os.path.join(folder, "arrays")
        arrays = _run("read", path, result)
        with open(result, "rb") as file:
            return {name: np.fromfile(file, dtype, math.prod(shape)).reshape(shape) for name, dtype, shape in arrays}


def copy_h5(path: str | os.PathLike, result: str | os.PathLike) -> dict[str, tuple[int, ...]]:
    """Copies the arrays of a Keras 3 .weights.h5 file into a new one, which libhdf5 may then read in this process.

    Args:
      path: the file.
      result: the file to write.

    Returns:
      {path of an array: its shape}; the arrays need no more bytes than the file has.

    Raises:
      CheckpointError: it is damaged, holds links, or no plain arrays of numbers, or declares more than it has.
    """
    return {name: tuple(shape) for name, _, shape in _run("copy", path, result)}


def _run(what, path, result) -> list[tuple[str, str, list[int]]]:
    """Name, dtype and shape of each array that the process wrote to `result`."""
    # No plugins: libhdf5 would load a filter that the file names from a folder of libraries.
    environment = {**os.environ, "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1"}
    # -P keeps this folder, whose modules have common names, off the module path.
    command = [sys.executable, "-P", str(PROGRAM), what, os.path.abspath(path), os.fspath(result)]
    try:
        done = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=TIMEOUT
        )
    except subprocess.TimeoutExpired as error:
        raise CheckpointError(f"reading it as HDF5 took more than {TIMEOUT} s: a damaged file") from error
    if done.returncode:
        raise CheckpointError(_failure(done))
    answer = json.loads(done.stdout)
    if "error" in answer:
        raise CheckpointError(f"not a readable Keras HDF5 file: {answer['error']}")
    return answer["arrays"]


def _failure(done: subprocess.CompletedProcess) -> str:
    if done.returncode == -signal.SIGXCPU:
        return "reading it as HDF5 took too long: a damaged file"
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        return f"the HDF5 library crashed on it ({name}): a damaged file"
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"the process that reads HDF5 failed: {ascii(last)[1:-1][:300]}"
