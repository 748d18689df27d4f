"""A process that starts runs which end themselves by a signal at a chosen moment; see test_kills.py.

It imports what a run needs once, and forks for each line of its input, a JSON object of `run`'s arguments. Each
answer is a line with the exit status: of a signal negative, as `subprocess` has it.
"""

import json
import os
import random
import signal
import sys
import threading
import time

import keras
import tensorflow as tf
from tiny_config import get_config

from mask_rcnn_tf.data import coco, shapes
from mask_rcnn_tf.training.fit import train

assert coco and shapes  # imported before the forks

STEPS, EVERY = 24, 16


def config_of(data_dir, ema_momentum):
    config = get_config()
    config.data.data_dir = data_dir
    config.train.steps, config.train.evaluate_every, config.train.summary_every = STEPS, EVERY, 2
    config.train.ema_momentum = ema_momentum
    return config


def run(folder, data_dir, kind=None, number=0, signal_name="SIGKILL", ema_momentum=0.0):
    """Trains; the signal comes at moment `number` of its kind."""

    def end():
        os.kill(os.getpid(), signal.Signals[signal_name])
        if signal_name == "SIGKILL":
            time.sleep(60)

    if kind:
        MOMENTS[kind](folder, data_dir, number, end)
    try:
        train(config_of(data_dir, ema_momentum), folder)
    except KeyboardInterrupt:
        sys.exit(130)


def at_file(part):
    """Before file operation `number` (open, rename, remove, ...) on a path with `part` in it."""

    def arrange(folder, data_dir, number, end):
        left, wanted = [number], part or folder

        def hook(event, arguments):
            if event in ("open", "os.rename", "os.remove", "os.mkdir", "os.truncate", "shutil.rmtree"):
                if any(wanted in str(argument) for argument in arguments if isinstance(argument, str | os.PathLike)):
                    left[0] -= 1
                    if left[0] == 0:
                        end()

        sys.addaudithook(hook)

    return arrange


def at_call(owner, name):
    """A random moment, at most 20 ms, after call `number` of a method begins."""

    def arrange(folder, data_dir, number, end):
        called, left = getattr(owner, name), [number]

        def counting(*arguments, **options):
            left[0] -= 1
            if left[0] == 0:
                threading.Timer(random.uniform(0, 0.02), end).start()
            return called(*arguments, **options)

        setattr(owner, name, counting)

    return arrange


def at_time(folder, data_dir, number, end):
    """After `number` tenths of a second."""
    timer = threading.Timer(number / 10, end)
    timer.daemon = True
    timer.start()


MOMENTS = {
    "folder": at_file(""),
    "best": at_file("best.partial.keras"),
    "preparation": at_file("mrcnn_shapes"),
    "evaluation": at_call(keras.Model, "predict_on_batch"),
    "checkpoint": at_call(tf.train.Checkpoint, "write"),
    "save": at_call(keras.Model, "save"),
    "time": at_time,
}


def main():
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            run(**json.loads(line))
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(process, 0)
        print(f"\nstatus {os.waitstatus_to_exitcode(status)}", flush=True)


if __name__ == "__main__":
    main()
