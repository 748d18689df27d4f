"""Ctrl-C, SIGTERM and SIGHUP: the step ends, a checkpoint is stored, and one line says how to go on."""

import contextlib
import logging
import os
import signal
import stat
import sys
import threading
from collections.abc import Callable, Iterator

import keras

LOG = logging.getLogger("mask_rcnn_tf")

NAMES = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}  # HUP: a terminal closed


class _Stop(BaseException):
    """Leaves a run where it may be left; not an Exception, so that nothing on the way handles it."""


class Stopping:
    """Whether somebody asked the run to stop, and whether it may stop at once.

    A training step, a checkpoint and a file that is being written are finished first; preparing data, building the
    model and scoring, which are done again, are left at once.
    """

    def __init__(self):
        self._signal, self._at_once = None, False

    @property
    def requested(self) -> bool:
        """Whether a signal came."""
        return self._signal is not None

    def allow(self, at_once: bool):
        """Says whether the run may be left at once from here on; leaves it if that was asked before."""
        self._at_once = at_once
        self._leave_if_allowed()

    def leave(self):
        """Ends the run."""
        raise _Stop

    def _leave_if_allowed(self):
        if self._at_once and self.requested:
            self._at_once = False  # the way out is not left again
            self.leave()

    def _on_signal(self, number, frame):
        del frame
        self._signal = self._signal or signal.Signals(number)
        # A second Ctrl-C ends at once, inside TensorFlow too, where Python's handlers are not called. Not in a
        # notebook or a shell, whose process is more than this run.
        is_interactive = hasattr(sys, "ps1") or sys.flags.interactive
        signal.signal(signal.SIGINT, signal.default_int_handler if is_interactive else signal.SIG_DFL)
        _leave_dead_terminal()
        if sys.stderr is not None and sys.stderr.isatty():
            os.write(sys.stderr.fileno(), b"\nstopping after this step; Ctrl-C again ends at once\n")
        self._leave_if_allowed()

    @contextlib.contextmanager
    def handled(self, where: Callable[[], str]) -> Iterator[None]:
        """Takes the signals until the end of the block, in the main thread; in others nothing is changed.

        Args:
          where: function that says what of the run is stored.

        Raises:
          KeyboardInterrupt: after Ctrl-C, with the line that was logged.
          SystemExit: after SIGTERM, with exit code 143; after SIGHUP with 129.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in NAMES}
        try:
            for number, handler in before.items():
                if handler is not signal.SIG_IGN:  # as under nohup
                    signal.signal(number, self._on_signal)
            yield
        except _Stop:
            pass
        finally:
            for number, handler in before.items():
                if handler is not None:  # not installed from Python
                    signal.signal(number, handler)
        if self.requested:
            self._end(where())

    def _end(self, where):
        line = f"stopped by {NAMES[self._signal]}: {where}"
        LOG.warning("%s", line)
        raise KeyboardInterrupt(line) if self._signal == signal.SIGINT else SystemExit(128 + self._signal)


def _leave_dead_terminal():
    """Lets what is printed go nowhere where its terminal is gone: an error there would end the run before it stores."""
    for number in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, number)
                os.close(nowhere)


class AllowStop(keras.callbacks.Callback):
    """At an epoch's end, from its place among the callbacks on, the run may, or may not, be left at once."""

    def __init__(self, stopping: Stopping, at_once: bool):
        super().__init__()
        self.stopping, self.at_once = stopping, at_once

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        """Allows it or not."""
        self.stopping.allow(self.at_once)
