"""Ctrl-C, SIGTERM, two runs at once, and a disk that is full."""

import contextlib
import errno
import json
import os
import pathlib
import resource
import signal
import sys
import threading
import types

import forked
import keras
import numpy as np
import pytest
from small_run import checkpointing

from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import locks, shapes
from mask_rcnn_tf.training import run_lock, storage
from mask_rcnn_tf.training.callbacks import PredictionPictures
from mask_rcnn_tf.training.checkpoint import StopOnRequest, save_model
from mask_rcnn_tf.training.checkpoint_files import find_damage
from mask_rcnn_tf.training.log_file import LogFile
from mask_rcnn_tf.training.stopping import AllowStop, Stopping
from mask_rcnn_tf.training.tensorboard import EventWriter

REPOSITORY = pathlib.Path(__file__).parents[2]
HOLD = """
import sys, time
from mask_rcnn_tf.config import Config, ShapesConfig
from mask_rcnn_tf.data import locks, shapes
locks.take(sys.argv[1])
print("held", flush=True)
time.sleep(60)
"""


def send(number):
    os.kill(os.getpid(), number)


STOPS = {signal.SIGINT: "Ctrl-C", signal.SIGTERM: "SIGTERM", signal.SIGHUP: "SIGHUP"}


@pytest.mark.parametrize(
    "number, error",
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_signal_waits_for_where_the_run_may_be_left(number, error, caplog):
    before, done = [signal.getsignal(each) for each in STOPS], []
    with pytest.raises(error) as raised:
        stopping = Stopping()
        with stopping.handled(lambda: "step 7 is stored"):
            send(number)
            done.append("the step ends")
            assert stopping.requested
            stopping.allow(at_once=True)
            done.append("never")
    assert done == ["the step ends"] and [signal.getsignal(each) for each in STOPS] == before
    line = f"stopped by {STOPS[number]}: step 7 is stored"
    assert caplog.messages == [line]
    assert raised.value.args == ((line,) if number == signal.SIGINT else (128 + number,))


def test_nohup_is_respected():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Stopping().handled(str):
            send(signal.SIGHUP)
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_closed_terminal_is_no_error(monkeypatch):
    ours, theirs = os.openpty()
    kept = os.dup(2)
    try:
        os.dup2(theirs, 2)
        os.close(theirs)
        os.close(ours)
        with pytest.raises(OSError, match="Input/output"):
            os.write(2, b"x")
        with pytest.raises(SystemExit), Stopping().handled(str):
            send(signal.SIGHUP)
            assert os.write(2, b"x") == 1
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def test_at_once_where_it_may_and_at_the_latest_at_the_end():
    stopping, done = Stopping(), []
    with pytest.raises(SystemExit), stopping.handled(str):
        stopping.allow(at_once=True)
        send(signal.SIGTERM)
        done.append("never")
    with pytest.raises(SystemExit), Stopping().handled(str):
        send(signal.SIGTERM)
        send(signal.SIGTERM)
        done.append("all of it")
    assert done == ["all of it"]


def test_after_the_first_ctrl_c_the_second_is_the_systems(monkeypatch):
    handlers = []
    for interactive in (False, True):
        if interactive:
            monkeypatch.setattr(sys, "ps1", ">>> ", raising=False)
        with pytest.raises(KeyboardInterrupt), Stopping().handled(str):
            send(signal.SIGINT)
            handlers.append(signal.getsignal(signal.SIGINT))
    assert handlers == [signal.SIG_DFL, signal.default_int_handler]


def test_other_threads_and_ignored_signals_are_left_alone():
    found = []

    def inside():
        with Stopping().handled(str):
            found.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with Stopping().handled(str):
            found.append(signal.getsignal(signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    assert found == [signal.SIG_DFL, signal.SIG_IGN]


def test_fit_ends_after_the_step_with_a_checkpoint_of_it(tmp_path):
    model, checkpoints = checkpointing(tmp_path)
    model.compile(model.optimizer, "mse")
    checkpoints.due, stopping, seen = (lambda step: step == 2), Stopping(), []

    class Signals(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(batch)
            if batch == 4:
                send(signal.SIGTERM)

    callbacks = [
        AllowStop(stopping, True),
        AllowStop(stopping, False),
        checkpoints,
        StopOnRequest(stopping, checkpoints),
    ]
    with pytest.raises(SystemExit), stopping.handled(str):
        stopping.allow(at_once=True)
        inputs, outputs = np.ones((40, 8)), np.ones((40, 64))
        model.fit(inputs, outputs, batch_size=4, callbacks=[*callbacks, Signals()], verbose=0)
    assert seen == [0, 1, 2, 3, 4] and checkpoints.manager.steps() == [2, 5]
    assert int(model.optimizer.iterations) == 5 and not find_damage(checkpoints.manager.latest_checkpoint)


def test_a_second_run_is_refused_and_a_dead_one_is_not(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / run_lock.LOCK_FILE)]
    holder = forked.Process(command, env=environment)
    holder.wait_for_line()
    taken = f"model_dir is '{tmp_path}', in which process {holder.pid} on .* trains; allowed: another folder"
    with pytest.raises(ValueError, match=taken), run_lock.locked(tmp_path):
        pass
    with pytest.raises(ValueError, match=taken):
        checkpointing(tmp_path)[1].on_step(1, {})
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    with run_lock.locked(tmp_path):
        checkpointing(tmp_path)[1].on_step(1, {})
        with pytest.raises(ValueError, match="this one, trains"), run_lock.locked(tmp_path):
            pass
    with run_lock.locked(tmp_path):
        pass


def test_waiting_says_for_what(tmp_path, caplog):
    number, order = locks.take(tmp_path / "lock"), []
    caplog.set_level("INFO", "mask_rcnn_tf")

    def other():
        with locks.held(tmp_path / "lock", "prepares it"):
            order.append("second")

    thread = threading.Thread(target=other)
    thread.start()
    while not caplog.messages:
        pass
    order.append("first")
    os.close(number)
    thread.join()
    assert order == ["first", "second"]
    assert caplog.messages[0].startswith(f"waiting for process {os.getpid()} on ") and "prepares it" in caplog.text


def test_without_locks_the_run_goes_on_and_says_so(tmp_path, monkeypatch, caplog):
    def unsupported(number, how):
        raise OSError(errno.EOPNOTSUPP, "not supported")

    monkeypatch.setattr(locks.fcntl, "flock", unsupported)
    os.close(locks.take(tmp_path / "lock"))
    assert "the file system has no locks" in caplog.text


@contextlib.contextmanager
def room_for(count):
    """No file grows beyond `count` bytes: a full disk for everything that writes, TensorFlow and h5py too."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def write_event(folder):
    writer = EventWriter(folder / "tensorboard")
    for step in range(50):
        writer.scalars(step, {"x" * 100: 1.0})


def write_lines(folder):
    for step in range(1, 50):
        LogFile(folder / "log.jsonl").add({"step": step, "x" * 100: 1.0})


def write_pictures(folder):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), np.uint8)
    truth = {"categories": [{"id": 1, "name": "a"}], "annotations": []}
    writer = types.SimpleNamespace(image=lambda step, name, image: None)
    PredictionPictures(
        folder, [(1, noise)], types.SimpleNamespace(results=[], options={"iou_types": ("bbox",)}), truth, writer
    ).on_epoch_end(0)


@pytest.mark.parametrize(
    "what",
    ["checkpoint", "best.keras", "model.keras", "metrics.json", "log.jsonl", "tensorboard", "predictions.png"],
)
def test_a_full_disk_is_one_line_and_nothing_is_lost(tmp_path, what):
    model, checkpoints = checkpointing(tmp_path)
    write = {
        "checkpoint": lambda: checkpoints.on_step(int(model.optimizer.iterations) + 5, {}),
        "metrics.json": lambda: storage.write_atomically(tmp_path / what, json.dumps({"x" * 3000: 1})),
        "log.jsonl": lambda: write_lines(tmp_path),
        "tensorboard": lambda: write_event(tmp_path),
        "predictions.png": lambda: write_pictures(tmp_path),
    }.get(what, lambda: save_model(model, tmp_path / what))
    if what not in ("log.jsonl", "tensorboard"):
        write()
    model.optimizer.iterations.assign(4)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    with (
        room_for(2000),
        pytest.raises(OSError, match="cannot be written: .*; what was stored before is whole") as error,
    ):
        write()
    assert "\n" not in str(error.value) and str(tmp_path) in str(error.value) and len(str(error.value)) < 500
    assert not [path for path, content in before.items() if path.read_bytes() != content]
    if what == "log.jsonl":
        text = (tmp_path / what).read_text()
        assert text.endswith("\n") and all(json.loads(line) for line in text.splitlines()) and 0 < len(text) <= 2000
    assert not list(tmp_path.rglob("*partial*"))
    write()
    if what == "checkpoint":
        assert checkpoints.manager.steps() == [5, 9] and not find_damage(checkpoints.manager.prefix(9))


def test_a_folder_that_cannot_hold_files_is_known_before_training(tmp_path):
    storage.check_folder(tmp_path / "checkpoints")
    assert os.listdir(tmp_path) == ["checkpoints"] and not os.listdir(tmp_path / "checkpoints")
    (tmp_path / "file").write_text("x")
    for folder in (tmp_path / "file", pathlib.Path("/proc/none")):
        with pytest.raises(OSError, match=f"^{folder} cannot be written: ") as error:
            storage.check_folder(folder)
        assert "\n" not in str(error.value)


def test_a_full_disk_while_data_are_prepared(tmp_path):
    config = Config()
    config.data.data_dir = str(tmp_path)
    config.data.shapes = ShapesConfig(size=48, train_scenes=6, val_scenes=2, max_side=24)
    with room_for(20_000), pytest.raises(OSError, match="data_dir is .* cannot be prepared there: .*") as error:
        shapes.dataset(config, "train")
    assert "\n" not in str(error.value) and not list(tmp_path.glob("mrcnn_shapes/shapes*/*"))
    assert len(list(shapes.dataset(config, "train"))) == 6


@pytest.mark.parametrize("damage", ["cut", "records gone", "info gone", "info empty", "features gone", "killed"])
def test_damaged_prepared_data_are_prepared_again(tmp_path, damage, caplog):
    config = Config()
    config.data.data_dir = str(tmp_path)
    config.data.shapes = ShapesConfig(size=48, train_scenes=2, val_scenes=1, max_side=24)
    shapes.dataset(config, "train")
    (folder,) = tmp_path.glob("mrcnn_shapes/shapes*/*")
    (records,) = folder.glob("*-train.tfrecord-*")
    {
        "cut": lambda: records.write_bytes(records.read_bytes()[:-100]),
        "records gone": records.unlink,
        "info gone": (folder / "dataset_info.json").unlink,
        "info empty": lambda: (folder / "dataset_info.json").write_text(""),
        "features gone": (folder / "features.json").unlink,
        "killed": lambda: folder.rename(folder.parent / f"incomplete.ABCDEF_{folder.name}"),
    }[damage]()
    assert [int(record["image_id"]) for record in shapes.dataset(config, "train")] == [1, 2]
    assert ("it is prepared again" in caplog.text) == (damage != "killed")
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
