"""Progress: a bar on a terminal, few lines in a file."""

import logging
import sys

import pytest

from mask_rcnn_tf import progress


@pytest.fixture
def clock(monkeypatch):
    """The seconds that have passed, to be set."""
    passed = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: passed[0])
    return passed


def run(clock, total, verbose=1):
    shown = progress.Progress(total, "image", verbose)
    for _ in range(100):
        clock[0] += 1.0
        shown.add(1)


def test_a_file_gets_a_line_now_and_then(clock, capsys, caplog):
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        run(clock, 100)
    assert caplog.messages == [f"image {done} of 100" for done in (20, 40, 60, 80, 100)]
    assert capsys.readouterr() == ("", "")


def test_without_a_total(clock, caplog):
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        run(clock, None)
    assert caplog.messages[0] == "image 20"


def test_nothing_where_nothing_is_asked_for(clock, capsys, caplog):
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        run(clock, 100, verbose=0)
    assert not caplog.messages and capsys.readouterr() == ("", "")


@pytest.mark.parametrize("verbose", [0, 1])
def test_a_terminal_has_the_bar_alone(clock, monkeypatch, capsys, caplog, verbose):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    with caplog.at_level(logging.INFO, "mask_rcnn_tf"):
        run(clock, 100, verbose)
    assert not caplog.messages and ("100/100" in capsys.readouterr().out) is bool(verbose)
