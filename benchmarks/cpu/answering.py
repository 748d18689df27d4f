"""The side of a contestant: it is set up once, and then runs once whenever it is asked to. Python alone.

It answers with a JSON object a line, in the pipe whose number the variable ANSWERS has, since libraries print to
standard output what they like; without the variable it answers there.
"""

import argparse
import json
import os
import resource
import sys
import time

ANSWERS = "ANSWERS"
CLEAR_REFS, STATUS = "/proc/self/clear_refs", "/proc/self/status"


def run_one(functions, description, **options):
    """Runs the one of `functions`, each from arguments to nothing, that the command line names.

    Args:
      functions: by their names.
      description: of the program.
      options: defaults of those that the program has besides sizes and numbers.
    """
    what = {function.__name__: function for function in functions}
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=what)
    for name, default in {**options, "height": 480, "width": 640, "batch": 1, "objects": 100}.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    args = parser.parse_args()
    what[args.what](args)


def serve(calls, about=None, warm_up=2):
    """Runs `warm_up` times, says that it is ready, and answers each line of standard input, a name of a call.

    Args:
      calls: {name: a function of nothing that returns when its work is done}.
      about: what else is to be known of it, for instance {"gflop": of one call}; it may be a function, which is called
        when all have run.
      warm_up: calls before the first that counts: compiling, first allocations.
    """
    answers = os.fdopen(int(os.environ.get(ANSWERS, sys.stdout.fileno())), "w")
    started = time.perf_counter()
    for _ in range(warm_up):
        for call in calls.values():
            call()
    forget_peak()
    said = about() if callable(about) else about or {}
    say(answers, {"calls": list(calls), "warm_up_s": round(time.perf_counter() - started, 1), **said})
    for line in sys.stdin:
        seconds, cpu_seconds = time.perf_counter(), time.process_time()
        calls[line.strip()]()
        seconds, cpu_seconds = time.perf_counter() - seconds, time.process_time() - cpu_seconds
        say(answers, {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mb": peak_mb()})


def say(answers, line):
    """Writes one line."""
    print(json.dumps(line), file=answers, flush=True)


def forget_peak():
    """Starts the process's peak of memory anew, where the system can: setting up needs more than running."""
    if os.path.exists(CLEAR_REFS):
        with open(CLEAR_REFS, "w") as file:
            file.write("5")


def peak_mb():
    """Of the whole process, since `forget_peak`."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if os.path.exists(STATUS):
        with open(STATUS) as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
    return round(peak / 1024)
