"""How far long work is: Keras's bar where somebody looks, and a line now and then where the output is a file."""

import logging
import sys
import time

import keras

LOG = logging.getLogger("mask_rcnn_tf")
SECONDS_BETWEEN_LINES = 20


class Progress:
    """Counts what is done, as `keras.utils.Progbar` does, which in a log file leaves a copy of the bar for each image.

    Args:
      total: how much there is; None: not known.
      unit: what is counted, such as "image".
      verbose: 0 shows nothing.
    """

    def __init__(self, total: int | None, unit: str, verbose: int = 1):
        seen = sys.stdout.isatty() or "ipykernel" in sys.modules
        self.bar = keras.utils.Progbar(total, unit_name=unit, verbose=verbose if seen else 0)
        self.says = bool(verbose) and not seen
        self.done, self.total, self.unit, self.said = 0, total, unit, time.monotonic()

    def add(self, count: int = 1):
        """So many more are done."""
        self.done += count
        self.bar.add(count)
        if self.says and time.monotonic() >= self.said + SECONDS_BETWEEN_LINES:
            self.said = time.monotonic()
            of = "" if self.total is None else f" of {self.total}"
            LOG.info("%s %d%s", self.unit, self.done, of)
