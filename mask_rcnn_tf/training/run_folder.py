"""Where a run in a folder stands: the checkpoint to go on from, and whether the configuration is that of the run."""

import errno
import json
import logging
import os
import pathlib
from collections.abc import Callable
from typing import Any

from mask_rcnn_tf import config as configuration
from mask_rcnn_tf import strict_json
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import sources
from mask_rcnn_tf.training import checkpoint_files
from mask_rcnn_tf.training.log_file import LogFile

LOG = logging.getLogger("mask_rcnn_tf")

# Fields in which a run may differ from the one it continues.
FREE_FIELDS = (
    "eval.",
    *(f"train.{name}" for name in ("steps", "epochs", "patience", "accumulation_steps")),
    *(f"train.{name}_every" for name in ("checkpoint", "evaluate", "summary")),
)
# Where things are. What the annotations say is compared instead; `init_from` is read at step 0 only.
PLACES = ("data.data_dir", "train.init_from")
# The step after the checkpoint may be another one: lower after a loss that is not finite, or for more steps.
OPTIMISATION = (
    "train.learning_rate",
    "train.clip_norm",
    "train.schedule",
    "train.warmup_steps",
    "train.warmup_factor",
    "train.decay_steps",
    "train.decay_factor",
)
FOLDERS = ("checkpoints", "tensorboard")
RESULTS = ("state.json", "best.keras", "model.keras", "metrics.json", "report.html")

FILES = (*RESULTS, "config.json", "log.jsonl", "predictions.png", "run.lock", "checkpoints/checkpoint")


def check_places(folder: pathlib.Path):
    """Looks before the first step whether what a run writes can be written.

    Raises:
      ValueError: there is a folder in the place of a file, or a file in that of a folder.
      OSError: a folder must not be written.
    """
    for name in FOLDERS + FILES:
        path, is_folder = folder / name, name in FOLDERS
        if path.exists() and path.is_dir() != is_folder:
            kinds = ("a file", "a folder") if is_folder else ("a folder", "a file")
            raise ValueError(
                f"model_dir is '{folder}', in which {name} is {kinds[0]}; allowed: {kinds[1]}, or nothing."
            )
    for path in (folder, *(folder / name for name in FOLDERS)):
        if path.exists() and not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(errno.EACCES, "must not be written, and a run writes there", str(path))


def find_start(config: Config, folder: pathlib.Path) -> tuple[str | None, dict[str, Any]]:
    """The checkpoint that a run in `folder` goes on from.

    Args:
      config: resolved, of this call.
      folder: of the run.

    Returns:
      Its path and its note (see `checkpoint_files.read_note`), or (None, {}) where a run begins.

    Raises:
      ValueError: the folder holds a run and no whole checkpoint, or the run has another configuration.
    """
    try:
        path = checkpoint_files.CheckpointFiles(folder / "checkpoints").newest_whole()
    except ValueError as error:
        raise ValueError(f"model_dir is '{folder}', which holds {error}") from None
    if path is None:
        _check_nothing_is_lost(config, folder)
        return None, {}
    note = checkpoint_files.read_note(path)
    check_same_run(config, folder, note)
    return path, note


def facts(config: Config) -> dict[str, Callable[[], Any]]:
    """What a checkpoint notes of the run it belongs to: its configuration and the digests of its annotations."""
    digests = {split: sources.digest(config, split) for split in ("train", "val")}
    return {"config": lambda: as_json(config), "data": lambda: digests}


def _check_nothing_is_lost(config, folder):
    """A run that was killed before its first checkpoint begins again; one whose checkpoints are gone does not."""
    # A line is written before the checkpoint of its step: the first one after the first checkpoint's step tells.
    last = LogFile(folder / "log.jsonl").last_step()
    found = [name for name in RESULTS if (folder / name).exists()]
    if last > min(config.train.checkpoint_every, config.train.evaluate_every, config.train.steps):
        found.append(f"log.jsonl up to step {last}")
    if found:
        raise ValueError(
            f"model_dir is '{folder}', which holds a run ({', '.join(found)}) and no checkpoint to continue it from; "
            "allowed: a folder with its checkpoints/, or a new one, which starts from step 0."
        )
    if (folder / "config.json").exists():
        LOG.warning("%s holds a run that ended before its first checkpoint: it begins again, at step 0", folder)


def check_same_run(config: Config, folder: pathlib.Path, note: dict[str, Any]):
    """Compares the configuration with that of the run, and says what of the optimisation changes.

    Args:
      config: resolved, of this call.
      folder: of the run.
      note: of the checkpoint that the run goes on from; where it is {}, `config.json` is read.

    Raises:
      ValueError: naming the fields that differ and may not, or `config.json` cannot be read.
    """
    theirs = _stored_config(folder, note)
    if theirs is None:
        LOG.warning("%s has no config.json: nobody can tell whether the configuration is that of the run", folder)
        return
    theirs, ours = _flatten(as_json(theirs)), _flatten(as_json(config))
    changed = [name for name in sorted(ours.keys() | theirs.keys()) if ours.get(name) != theirs.get(name)]
    free = FREE_FIELDS + PLACES + _moved(config, note, changed)
    changed = [name for name in changed if not name.startswith(free)]
    refused = [name for name in changed if name not in OPTIMISATION]
    if refused:
        name = refused[0]
        raise ValueError(
            f"model_dir is '{folder}', which holds a run with another configuration ({', '.join(refused)} differ: "
            f"{name} was {theirs.get(name)!r:.200} and is {ours.get(name)!r:.200}); allowed: a new folder, or the same "
            "configuration except eval, train.steps, checkpoint_every, evaluate_every, summary_every, and "
            f"{', '.join(name.removeprefix('train.') for name in OPTIMISATION)}."
        )
    for name in changed:
        LOG.warning("the run goes on with another %s: it was %r and is %r", name, theirs.get(name), ours.get(name))


def _moved(config, note, changed):
    """Fields of data that lies elsewhere and is the same. Says where it is not the same in its old place."""
    free, digests = (), note.get("data") or {}
    for split, digest in digests.items():
        names = (f"data.{split}_annotations", f"data.{split}_images")
        if digest == sources.digest(config, split):
            free += names
        elif names[0] not in changed:
            LOG.warning("%s has other contents than when the run was stored", getattr(config.data, names[0][5:]))
    return free


def _stored_config(folder, note):
    """The run's configuration; a field that is newer than the run has its default. None where there is none."""
    path = folder / "config.json"
    try:
        values = note["config"] if note else read_object(path)
        return None if values is None else configuration.from_dict(Config, values)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"model_dir is '{folder}', whose config.json is not of this version: {error}") from None


def read_object(path: pathlib.Path) -> dict[str, Any] | None:
    """The JSON object in a file; None if there is no file. Raises ValueError if it holds something else."""
    if not path.exists():
        return None
    try:
        content = strict_json.parse(path.read_bytes(), deepest=None)
    except ValueError as error:
        raise ValueError(f"{path} is damaged: {str(error)[:100]}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path} is damaged: no JSON object")
    return content


def as_json(config: Config) -> dict[str, Any]:
    """A configuration as `config.json` has it when it is read: tuples are lists."""
    return json.loads(json.dumps(configuration.to_dict(config)))


def _flatten(values, prefix=""):
    if not isinstance(values, dict):
        return {prefix[:-1]: values}
    return {name: leaf for key, value in values.items() for name, leaf in _flatten(value, f"{prefix}{key}.").items()}
