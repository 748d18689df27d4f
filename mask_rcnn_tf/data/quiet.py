"""Silences what TensorFlow Datasets says about data sets that are made on the spot."""

import contextlib
import io
from collections.abc import Iterator

import absl.logging


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Without TFDS's notes on custom configurations and downloads (there are none); progress and errors still show."""
    verbosity = absl.logging.get_verbosity()
    absl.logging.set_verbosity(absl.logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        absl.logging.set_verbosity(verbosity)
