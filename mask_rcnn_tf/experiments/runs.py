"""The runs of a table, one variant and seed after the other: finished ones are kept, a killed one goes on."""

import contextlib
import copy
import functools
import json
import logging
import os
import pathlib
import shutil
from typing import Any

import keras

from mask_rcnn_tf import whole_files
from mask_rcnn_tf.config import Config, from_dict
from mask_rcnn_tf.experiments.summary import write_summary
from mask_rcnn_tf.experiments.tables import Fields, Table
from mask_rcnn_tf.training.fit import resolve, train
from mask_rcnn_tf.training.four_steps import train_four_steps, train_separately
from mask_rcnn_tf.training.run_folder import as_json, read_object
from mask_rcnn_tf.training.storage import write_atomically

LOG = logging.getLogger("mask_rcnn_tf")
RESULT = "result.json"  # of a finished run, in its folder
END_TO_END = "end_to_end"


def run_table(base: Config, name: str, table: Table, output: str | os.PathLike, seeds: int = 3) -> str:
    """Trains and scores every variant with every seed, and writes what came of it after each.

    Runs are in `output/name/variant-seed`, as `tools/train.py` leaves them; `output/name` gets what
    `summary.write_summary` writes. Called again it goes on where it was stopped, also with more seeds. What another
    table in `output` has trained already is copied, and scored again if it is scored otherwise.

    Args:
      base: `Config` that the variants differ from; its `train.seed` is that of the first run.
      name: of the table.
      table: `Table`.
      output: folder; made if it is missing.
      seeds: how many.

    Returns:
      The summary, Markdown.

    Raises:
      ValueError: a variant does not validate, said before the first run, or its folder holds a run of another
        configuration.
      FloatingPointError: the loss of a run was not finite, said once the others are done.
    """
    folder, bad = pathlib.Path(output) / name, []
    planned = [(variant, base.train.seed + number) for number in range(seeds) for variant in table.variants]
    configs = {run: resolve(configured(base, table, *run)) for run in planned}  # all of them, before the first trains
    folder.mkdir(parents=True, exist_ok=True)
    done = {run: finished(configs[run], _training(table, run), _place(folder, *run)) for run in planned}
    text = _summed_up(name, table, done, folder)
    for run in [run for run in planned if done[run] is None]:
        LOG.info("%s: run %d of %d, %s, seed %d", name, planned.index(run) + 1, len(planned), *run)
        try:
            done[run] = _run(configs[run], _training(table, run), _place(folder, *run), folder.parent)
        except FloatingPointError as error:
            bad.append(f"{run[0]}, seed {run[1]}: {error}")
        text = _summed_up(name, table, done, folder)
    if bad:
        raise FloatingPointError("; ".join(bad))
    return text


def _summed_up(name: str, table: Table, done: dict, folder: pathlib.Path) -> str:
    return write_summary(name, table, {run: metrics for run, metrics in done.items() if metrics is not None}, folder)


def configured(base: Config, table: Table, variant: str, seed: int) -> Config:
    """The configuration of one run."""
    config = _with_fields(base, {**table.fields, **table.variants[variant]})
    config.train.seed = config.model.seed = seed
    return config.validate()


def _with_fields(base: Config, fields: Fields) -> Config:
    config = copy.deepcopy(base)
    for path, value in fields.items():
        *sections, name = path.split(".")
        setattr(functools.reduce(getattr, sections, config), name, value(base) if callable(value) else value)
    return config


def _training(table: Table, run: tuple[str, int]) -> str:
    return table.training.get(run[0], END_TO_END)


def finished(config: Config, training: str, place: pathlib.Path) -> dict[str, Any] | None:
    """The metrics of a run that is done; None where there is none, or one of another configuration or training."""
    stored = read_object(place / RESULT)
    return stored["metrics"] if stored and _identity(stored) == (training, _comparable(config)) else None


def _identity(stored: dict) -> tuple[str, dict]:
    """What tells a finished run from others: the way it was trained, and its configuration."""
    values = stored["config"]
    with contextlib.suppress(ValueError):  # it has a field that there is no more: another run
        values = _comparable(from_dict(Config, values))  # a field that is newer than the run has its default
    return stored.get("training", END_TO_END), values


def _comparable(config: Config) -> dict:
    """As JSON has it, without where things are and what does not change the result."""
    values = as_json(config)
    for section, name in (("data", "data_dir"), ("train", "checkpoint_every"), ("train", "summary_every")):
        del values[section][name]
    return values


def _place(folder: pathlib.Path, variant: str, seed: int) -> pathlib.Path:
    return folder / f"{variant}-{seed}"


def _run(config: Config, training: str, place: pathlib.Path, output: pathlib.Path) -> dict[str, Any]:
    """The metrics of one: trains it, unless another table has trained it already."""
    if not place.exists() and (alike := _trained_alike(config, training, output)):
        LOG.info("%s is trained already, in %s", place.name, alike)
        _copy(alike, place, with_result=finished(config, training, alike) is not None)
    if finished(config, training, place) is None:
        {END_TO_END: train, "separate": train_separately, "four_steps": train_four_steps}[training](config, place)
        metrics = json.loads((place / "metrics.json").read_text())
        result = {"metrics": metrics, "training": training, "config": _comparable(config)}
        write_atomically(place / RESULT, json.dumps(result) + "\n")
        keras.utils.clear_session()  # or graphs of all runs stay in memory
    return finished(config, training, place)


def _trained_alike(config: Config, training: str, output: pathlib.Path) -> pathlib.Path | None:
    """A finished run of this configuration, or else one that differs only in how it is scored.

    The second is of no use where several models were trained: each is scored when it ends.
    """

    def without_scoring(values):
        return {name: section for name, section in values.items() if name != "eval"}

    stored = {path.parent: _identity(read_object(path)) for path in sorted(output.glob(f"*/*/{RESULT}"))}
    wanted = _comparable(config)
    exact = [folder for folder, found in stored.items() if found == (training, wanted)]
    trained = [
        folder
        for folder, (way, values) in stored.items()
        if way == training == END_TO_END and without_scoring(values) == without_scoring(wanted)
    ]
    return next(iter(exact + trained), None)


def _copy(source: pathlib.Path, place: pathlib.Path, with_result: bool):
    """A whole run, or none, in its new place."""
    partial = place.with_name(f"{place.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    left = ("run.lock",) if with_result else ("run.lock", RESULT, "metrics.json")
    shutil.copytree(source, partial, ignore=shutil.ignore_patterns(*left))
    whole_files.put(partial, place)
