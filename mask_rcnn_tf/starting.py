"""Ctrl-C while one of the tools still imports TensorFlow ends it in one line."""

import os
import pathlib
import signal
import sys
import threading

COMMAND = "mrcnn"


def begin():
    """Takes Ctrl-C where the program is `mrcnn` or one of tools/; in all others, which may want it, nothing is changed.

    `training.flags.run` gives it back by `end`.
    """
    if (
        (_is_command() or _is_tool(getattr(sys.modules.get("__main__"), "__file__", None)))
        and threading.current_thread() is threading.main_thread()
        and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ):
        signal.signal(signal.SIGINT, _leave)


def end():
    """Lets Ctrl-C raise KeyboardInterrupt again, where `begin` took it."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _is_command() -> bool:
    """Whether this is the program `mrcnn`, or `python -m mask_rcnn_tf`, of which `sys.argv` does not know yet."""
    return pathlib.Path(sys.argv[0]).name == COMMAND or sys.orig_argv[1:3] == ["-m", "mask_rcnn_tf"]


def _is_tool(path: str | None) -> bool:
    if not path:
        return False
    folder = pathlib.Path(path).resolve().parent
    return folder.name == "tools" and (folder.parent / "mask_rcnn_tf").is_dir()


def _leave(number, frame):
    # At once: an exception inside another package's import is not always let through.
    del number, frame
    name = COMMAND if _is_command() else pathlib.Path(sys.argv[0]).stem
    os.write(2, f"{name}: interrupted\n".encode())
    os._exit(130)


begin()  # whoever imports this first: the package, before all else
