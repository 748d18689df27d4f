"""Silences what TensorFlow Datasets says about data sets that are made on the spot."""

import contextlib
import io
import sys
from collections.abc import Iterator

import absl.logging
import tensorflow_datasets as tfds


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without TFDS's notes on custom configurations and downloads (there are none), and its bars where nobody looks."""
    if not sys.stderr.isatty() and "ipykernel" not in sys.modules:
        tfds.disable_progress_bar()
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)
