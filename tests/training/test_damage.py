"""What a run does with a folder that a crash, a full disk or a person has damaged."""

import json
import logging
import os
import random
import shutil

import numpy as np
import pytest
import tensorflow as tf
from small_run import checkpointing, write_run

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.training.callbacks import StepLog
from mask_rcnn_tf.training.checkpoint import BestModel
from mask_rcnn_tf.training.checkpoint_files import find_damage
from mask_rcnn_tf.training.run_folder import FILES, FOLDERS, check_places, find_start


@pytest.fixture(scope="module")
def stored(tmp_path_factory):
    """A run's folder with the checkpoints of steps 3, 6 and 9, whose weights are equal to the step."""
    folder = tmp_path_factory.mktemp("stored")
    write_run(folder)
    return folder


@pytest.fixture
def folder(stored, tmp_path):
    shutil.copytree(stored, tmp_path / "run")
    return tmp_path / "run"


def edit(change):
    """A way to damage a file: `change` of its bytes."""
    return lambda path: path.write_bytes(change(path.read_bytes()))


def flip(at):
    def change(data):
        position = int(at * len(data))
        return data[:position] + bytes([data[position] ^ 255]) + data[position + 1 :]

    return edit(change)


HALF, EMPTY, ZEROS = (
    edit(lambda data: data[: len(data) // 2]),
    edit(lambda data: b""),
    edit(lambda data: bytes(len(data))),
)
DATA, INDEX, LIST = "step-9.data-00000-of-00001", "step-9.index", "checkpoint"
DAMAGES = {  # name: (file, what happens to it, the step of the newest whole checkpoint)
    "data half": (DATA, HALF, 6),
    "data zeroed": (DATA, ZEROS, 6),
    "data empty": (DATA, EMPTY, 6),
    "data gone": (DATA, os.remove, 6),
    "a byte of data": (DATA, flip(0.5), 6),
    "last byte of data": (DATA, flip(0.9999), 6),
    "data of an older one": (DATA, lambda path: shutil.copy(str(path).replace("-9.", "-6."), path), 6),
    "index half": (INDEX, HALF, 6),
    "index zeroed": (INDEX, ZEROS, 6),
    "index empty": (INDEX, EMPTY, 6),
    "index gone": (INDEX, os.remove, 6),
    "a byte of the index": (INDEX, flip(0.5), 6),
    "list gone": (LIST, os.remove, 9),
    "list empty": (LIST, EMPTY, 9),
    "list half": (LIST, HALF, 9),
    "list garbage": (LIST, edit(lambda data: bytes(range(256))), 9),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_newest_whole_checkpoint_is_taken(folder, caplog, name):
    file, damage, step = DAMAGES[name]
    damage(folder / "checkpoints" / file)
    caplog.set_level(logging.INFO, "mask_rcnn_tf")
    model, callback = checkpointing(folder)
    assert callback.restore()
    assert int(model.optimizer.iterations) == step
    assert {float(np.ravel(variable)[0]) for variable in model.weights} == {float(step)}
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 1 + (step < 9) and said[-1].endswith(f"resumed from {folder}/checkpoints/step-{step}")
    if step < 9:
        assert "step-9 is damaged (" in said[0] and "continues from step-6" in said[0] and "\n" not in said[0]
        callback.on_step(7, {})  # what the run has left behind goes, so that a kill now finds step 7
        assert callback.manager.steps() == [3, 6, 7]
        assert tf.train.latest_checkpoint(str(folder / "checkpoints")).endswith("step-7")


def test_no_whole_checkpoint_is_one_line_and_not_step_0(folder):
    for path in (folder / "checkpoints").glob("*.index"):
        HALF(path)
    with pytest.raises(
        ValueError, match=r"model_dir is .*run.*3 checkpoints, none of which is whole: .*step-9"
    ) as error:
        find_start(Config(), folder)
    assert "\n" not in str(error.value)
    shutil.rmtree(folder / "checkpoints")
    with pytest.raises(ValueError, match=r"holds a run \(state.json, best.keras\) and no checkpoint"):
        find_start(Config(), folder)
    config = Config()
    config.train.checkpoint_every = 5
    with pytest.raises(ValueError, match=r"best.keras, log.jsonl up to step 9\) and no checkpoint"):
        find_start(config, folder)


def test_a_run_without_a_first_checkpoint_begins_again_and_says_so(tmp_path, caplog):
    assert find_start(Config(), tmp_path) == (None, {}) and not caplog.text
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "log.jsonl").write_text('{"step": 20, "loss": 1.0}\n')
    assert find_start(Config(), tmp_path) == (None, {})
    assert "ended before its first checkpoint: it begins again, at step 0" in caplog.text


def test_a_kill_in_the_first_checkpoint_loses_no_run(folder):
    """The log has the step, and the data have their name, before the index has."""
    for step in (3, 6):
        for path in (folder / "checkpoints").glob(f"step-{step}.*"):
            path.unlink()
    (folder / "checkpoints" / INDEX).unlink()
    (folder / "state.json").unlink()
    (folder / "best.keras").unlink()
    config = Config()
    config.train.checkpoint_every = 9
    assert find_start(config, folder) == (None, {})
    model, callback = checkpointing(folder)
    assert not callback.restore()
    callback.on_step(9, {})
    assert not find_damage(callback.manager.prefix(9))
    config.train.checkpoint_every = 8
    (folder / "checkpoints" / INDEX).unlink()
    with pytest.raises(ValueError, match="log.jsonl up to step 9"):
        find_start(config, folder)


@pytest.mark.parametrize("damage", [os.remove, HALF, EMPTY, edit(lambda data: b"[" * 100_000)])
def test_the_configuration_is_stored_with_the_checkpoint(folder, damage):
    damage(folder / "config.json")
    path, note = find_start(Config(), folder)
    assert path.endswith("step-9") and note["config"]["train"]["steps"] == 90_000
    config = Config()
    config.train.batch_size = 3
    with pytest.raises(ValueError, match=r"train.batch_size differ: train.batch_size was 16 and is 3"):
        find_start(config, folder)


def test_a_moved_folder_goes_on(folder, tmp_path):
    os.rename(folder, tmp_path / "elsewhere")
    config = Config()
    config.data.data_dir = "moved too"
    path, _ = find_start(config, tmp_path / "elsewhere")
    assert path == str(tmp_path / "elsewhere" / "checkpoints" / "step-9") and not find_damage(path)


@pytest.mark.parametrize(
    "damage", [os.remove, HALF, EMPTY, edit(lambda data: data.replace(b"0.5", b"NaN")), edit(lambda data: b"[1]")]
)
def test_the_state_is_stored_with_the_checkpoint(folder, damage, caplog):
    noted = {"monitor": "val_segm_AP", "best": 0.25, "best_step": 3, "evaluated_step": 3}
    damage(folder / "state.json")
    best = BestModel(folder, "val_segm_AP")
    best.resume(9, noted, evaluated=False)
    assert best.state == noted == json.loads((folder / "state.json").read_text())
    assert ("state.json is damaged" in caplog.text) == (damage is not os.remove)


def test_a_state_without_its_note_or_its_model(folder, caplog):
    best = BestModel(folder, "val_segm_AP")
    best.resume(4, None, evaluated=False)  # an older checkpoint: the evaluation at 6 is done again, and the best stays
    assert best.state == {"monitor": "val_segm_AP", "best": 0.5, "best_step": 6, "evaluated_step": 3}
    HALF(folder / "best.keras")
    best.resume(4, None, evaluated=False)
    assert best.state["best"] is None and "best.keras of step 6 is gone or damaged" in caplog.text
    HALF(folder / "state.json")
    with pytest.raises(ValueError, match="state.json is damaged: .*; allowed: without it"):
        BestModel(folder, "val_segm_AP").resume(4, None, evaluated=False)


def test_the_log_has_each_step_once(tmp_path, caplog):
    log, path = StepLog(tmp_path, 3, lambda step: 0.1, 4), tmp_path / "log.jsonl"
    lines = ['{"step": 3, "loss": 1}', '{"step": 6, "loss": 2}', '{"step": 6, "val_AP": 1}', '{"step": 9, "loss": 3}']
    others = ["not json", '{"step": "6"}', '{"step": -1}', "[6]", '{"loss": 1}', '{"step": true}', '{"step": 6, "los']
    path.write_bytes("\n".join([*others, lines[0], lines[0], *lines, *others]).encode() + b"\xff")
    log.resume(6, {"lines": 2, "last": {"step": 6, "loss": 2}}, in_epoch=False)
    assert path.read_text().splitlines() == lines[:3] and not caplog.text
    path.write_text(lines[0] + "\n" + lines[1][:9])  # torn: the line is in the checkpoint's note
    log.resume(6, {"lines": 2, "last": {"step": 6, "loss": 2}}, in_epoch=False)
    assert path.read_text().splitlines() == lines[:2] and not caplog.text
    path.unlink()
    log.resume(6, {"lines": 2, "last": {"step": 6, "loss": 2}}, in_epoch=False)
    assert path.read_text().splitlines() == lines[1:2] and "has lost 1 lines up to step 6" in caplog.text


def test_a_damaged_byte_anywhere_is_found(folder):
    """Each of 40 flipped bytes of the data: checksums cover all of it."""
    source, random_ = folder / "checkpoints" / DATA, random.Random(0)
    whole = source.read_bytes()
    for _ in range(40):
        position = random_.randrange(len(whole))
        source.write_bytes(
            whole[:position] + bytes([whole[position] ^ (1 << random_.randrange(8))]) + whole[position + 1 :]
        )
        assert find_damage(str(folder / "checkpoints" / "step-9")), position


@pytest.mark.parametrize("name", FILES + FOLDERS)
def test_a_folder_in_a_files_place_is_found_before_the_first_step(folder, name):
    check_places(folder)
    path = folder / name
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    path.write_text("") if name in FOLDERS else path.mkdir()
    came, allowed = ("a file", "a folder") if name in FOLDERS else ("a folder", "a file")
    with pytest.raises(ValueError, match=f"model_dir is .*run', in which {name} is {came}; allowed: {allowed}, or no"):
        check_places(folder)


def test_a_folder_that_must_not_be_written_is_found_before_the_first_step(folder, monkeypatch):
    """By a stand-in for what the system says, which lets root write anywhere."""
    monkeypatch.setattr(os, "access", lambda path, how: path.name != "checkpoints")
    with pytest.raises(PermissionError, match="must not be written, and a run writes there: '.*checkpoints'"):
        check_places(folder)


def test_folders_named_like_a_checkpoints_files_are_removed_with_it(folder):
    (folder / "checkpoints" / INDEX).unlink()
    (folder / "checkpoints" / INDEX).mkdir()
    _, callback = checkpointing(folder)
    assert callback.manager.newest_whole().endswith("step-6")
    for step in (9, 12, 15, 18):
        callback.manager.write(callback.checkpoint, step)
    assert callback.manager.steps() == [12, 15, 18]


def test_a_file_in_the_place_of_tensorboards_folder_is_one_line(tmp_path):
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(
        OSError, match="tensorboard cannot be written: Not a directory; what was stored before is whole"
    ):
        StepLog(tmp_path, 1, lambda step: 0.1, 1)
