"""Ctrl-C before a tool has begun: one line and 130, and nothing is changed for other programs."""

import pathlib
import shutil
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
