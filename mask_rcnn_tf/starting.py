"""While a tool imports TensorFlow: Ctrl-C ends it in one line, and what libraries say of themselves is left out.

TensorFlow's libraries write lines such as "oneDNN custom operations are on" before they read TF_CPP_MIN_LOG_LEVEL.
"""

import contextlib
import os
import pathlib
import re
import signal
import sys
import threading

COMMAND = "mrcnn"
LEVEL = "TF_CPP_MIN_LOG_LEVEL"
NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog|[IW]0000 |To enable the following instructions:"
)
_stderr: list[int] = []  # the real one, while another is in its place


def begin():
    """Takes Ctrl-C and stderr where the program is `mrcnn` or one of tools/; in all others nothing is changed.

    `training.flags.run` gives them back by `end`. Who sets TF_CPP_MIN_LOG_LEVEL to 0 or 1 sees everything.
    """
    if not (_is_command() or _is_tool(getattr(sys.modules.get("__main__"), "__file__", None))):
        return
    if threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    if os.environ.setdefault(LEVEL, "2") not in ("0", "1"):
        with contextlib.suppress(OSError):  # stderr is closed
            _leave_out_noise()


def end():
    """Lets Ctrl-C raise KeyboardInterrupt again, and gives stderr back, where `begin` took them."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    while _stderr:
        os.dup2(real := _stderr.pop(), 2)
        os.close(real)


def _leave_out_noise():
    """Puts a pipe in the place of stderr, from which another process passes on all but the noise.

    Another process, because it outlives this one: what a library says before it crashes is passed on too.
    """
    real = os.dup(2)
    reading, writing = os.pipe()
    if not os.fork():
        _pass_on(reading, real, writing)
    os.dup2(writing, 2)
    os.close(reading)
    os.close(writing)
    _stderr.append(real)


def _pass_on(reading: int, real: int, writing: int):
    """Until all that write are gone; it does not return."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.closerange(0, 3)
        os.close(writing)
        with os.fdopen(reading, "rb") as lines:
            for line in iter(lines.readline, b""):
                if not NOISE.match(line):
                    os.write(real, line)
    finally:
        os._exit(0)


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
    os.write(_stderr[0] if _stderr else 2, f"{name}: interrupted\n".encode())
    os._exit(130)


begin()  # whoever imports this first: the package, before all else
