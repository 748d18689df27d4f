"""Ctrl-C before a tool has begun: one line and 130, and nothing is changed for other programs."""

import os
import pathlib
import shutil
import signal
import subprocess
import sys

import pytest

SOURCE = pathlib.Path(__file__).parents[1] / "mask_rcnn_tf" / "starting.py"
PROGRAM = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import starting  # alone: without the package, and so without the seconds of TensorFlow
starting.begin()
if "end" in sys.argv:
    starting.end()
try:
    os.kill(os.getpid(), signal.SIGINT)
    print("went on")
except BaseException as error:  # as packages do around what they may import or not
    print("caught", type(error).__name__)
"""


@pytest.mark.parametrize(
    ("folder", "rest", "status", "printed", "said"),
    [
        ("tools", [], 130, "", "my_tool: interrupted\n"),
        ("tools", ["end"], 0, "caught KeyboardInterrupt\n", ""),
        ("mine", [], 0, "caught KeyboardInterrupt\n", ""),
    ],
)
def test_ctrl_c(tmp_path, folder, rest, status, printed, said):
    (tmp_path / "mask_rcnn_tf").mkdir()
    shutil.copy(SOURCE, tmp_path / "mask_rcnn_tf")
    program = tmp_path / folder / "my_tool.py"
    program.parent.mkdir()
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), str(tmp_path / "mask_rcnn_tf"), *rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (status, printed, said)


def test_an_ignored_signal_stays_ignored(tmp_path):
    (tmp_path / "mask_rcnn_tf").mkdir()
    shutil.copy(SOURCE, tmp_path / "mask_rcnn_tf")
    (tmp_path / "tools").mkdir()
    program = tmp_path / "tools" / "my_tool.py"
    program.write_text(PROGRAM)
    quiet = (
        "import signal, os, sys; signal.signal(signal.SIGINT, signal.SIG_IGN); os.execv(sys.executable, sys.argv[1:])"
    )
    command = [sys.executable, "-c", quiet, sys.executable, str(program), str(tmp_path / "mask_rcnn_tf")]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "went on\n"


NOISY = """
import os, signal, sys
sys.path.insert(0, sys.argv[1])
import starting
lines = [b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR", b"I0000 00:00 x"]
lines += [b"F0000 00:00 this CPU lacks AVX", b"somebody's line", b"W0000 00:00 y", b"without an end"]
os.write(2, b"\\n".join(lines))
if "crash" in sys.argv:
    os.kill(os.getpid(), signal.SIGABRT)
starting.end()
os.write(2, b"I0000 is of the program from here on")
"""
KEPT = "F0000 00:00 this CPU lacks AVX\nsomebody's line\nwithout an end"


@pytest.mark.parametrize("level, kept", [(None, KEPT), ("2", KEPT), ("0", None)])
@pytest.mark.parametrize("rest, after", [([], "I0000 is of the program from here on"), (["crash"], "")])
def test_what_libraries_say_of_themselves_is_left_out(tmp_path, level, kept, rest, after):
    """And nothing else, also when the program crashes right after it."""
    (tmp_path / "mask_rcnn_tf").mkdir()
    shutil.copy(SOURCE, tmp_path / "mask_rcnn_tf")
    (tmp_path / "tools").mkdir()
    program = tmp_path / "tools" / "my_tool.py"
    program.write_text(NOISY)
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    environment |= {"TF_CPP_MIN_LOG_LEVEL": level} if level else {}
    command = [sys.executable, str(program), str(tmp_path / "mask_rcnn_tf"), *rest]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    assert done.returncode == (-signal.SIGABRT if rest else 0)
    said = done.stderr
    if kept is None:
        assert said.startswith("WARNING: All log") and "W0000" in said and said.endswith(after)
    else:
        assert sorted(said.replace(after, "").split("\n")) == sorted(kept.split("\n")) and after in said
