"""Contestants in processes of their own, asked in turn, so that a machine that slows down slows all of them down."""

import contextlib
import json
import os
import pathlib
import platform
import subprocess
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from answering import ANSWERS

# Seconds before each call: OpenMP's threads, as torch has them, go on waiting for work for a while, on the cores that
# the next one wants. Right after another program a call of ours took 5 % longer, with the same CPU seconds (measured).
PAUSE = 0.5
FEATURES = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")


class Contestant(NamedTuple):
    """A process that `answering.serve`s."""

    name: str
    command: Sequence[str]
    env: dict[str, str] = {}


class Running:
    """A contestant that is at work. Its messages are in a file of its name.

    Raises:
      RuntimeError: it ended.
    """

    def __init__(self, contestant: Contestant, folder: pathlib.Path):
        self.name, self.log = contestant.name, folder / f"{contestant.name.replace(' ', '_').replace('/', '_')}.log"
        answers, theirs = os.pipe()
        with open(self.log, "w") as log, os.fdopen(theirs, "w") as pipe:
            self.process = subprocess.Popen(
                list(map(str, contestant.command)),
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ | contestant.env | {ANSWERS: str(pipe.fileno())},
                pass_fds=[pipe.fileno()],
            )
        self.answers = os.fdopen(answers)
        self.about = self._read()

    def ask(self, call: str) -> dict[str, Any]:
        """The figures of one call."""
        with contextlib.suppress(BrokenPipeError):  # reading says why
            print(call, file=self.process.stdin, flush=True)
        return self._read()

    def _read(self):
        line = self.answers.readline()
        if not line:
            raise RuntimeError(f"{self.name} ended with {self.process.wait()}; {self.log} says why.")
        return json.loads(line)

    def end(self):
        """Lets it finish; one that does not is killed."""
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.answers.close()


def take_turns(contestants: Sequence[Contestant], rounds: int, folder: pathlib.Path) -> list[dict[str, Any]]:
    """Sets up all, one after the other, and has every call of each run once a round; each round begins with another.

    Returns:
      A dict for each call of a contestant: "contestant", "call", lists of `rounds` figures "seconds", "cpu_seconds" and
      "load" (that of the machine's last minute), "peak_mb", and what the contestant says about itself.

    Raises:
      RuntimeError: a contestant ended.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        running = []
        for contestant in contestants:
            running.append(Running(contestant, folder))
            stack.callback(running[-1].end)
        entries = [(one, call) for one in running for call in one.about["calls"]]
        answers = {(one.name, call): [] for one, call in entries}
        for number in range(rounds):
            first = number % len(entries)
            for one, call in entries[first:] + entries[:first]:
                time.sleep(PAUSE)
                answers[one.name, call].append(one.ask(call) | {"load": os.getloadavg()[0]})
        return [_line(one, call, answers[one.name, call]) for one, call in entries]


def _line(one, call, answers):
    figures = {name: [round(answer[name], 5) for answer in answers] for name in ("seconds", "cpu_seconds", "load")}
    about = {name: value for name, value in one.about.items() if name != "calls"}
    return {"contestant": one.name, "call": call, **about, **figures, "peak_mb": max(a["peak_mb"] for a in answers)}


def machine() -> dict[str, Any]:
    """What figures depend on besides the programs: "date", "cpu", "features" and "cores" that may be used."""
    names, flags = [], set()
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            names += [value] * (name == "model name")
            flags |= set(value.split()) if name == "flags" else set()
    return {
        "date": time.strftime("%Y-%m-%d"),
        "cpu": names[0] if names else platform.processor() or platform.machine(),
        "features": [name for name in FEATURES if name in flags],
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
    }
