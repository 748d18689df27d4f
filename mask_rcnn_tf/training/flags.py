"""How the tools start and end: flags, `--config` with every leaf open to overrides, one line for what is wrong."""

import dataclasses
import difflib
import logging
import math
import os
import pathlib
import re
import shutil
import sys
from collections.abc import Callable, Sequence
from typing import Any

import absl.logging
import tensorflow as tf
from absl import app, flags
from ml_collections import config_flags

from mask_rcnn_tf import command, explained, starting
from mask_rcnn_tf.config import AugmentationConfig, Config, ModelConfig
from mask_rcnn_tf.detections import legend_of
from mask_rcnn_tf.evaluation.tiles import Tiling
from mask_rcnn_tf.models.prediction import Predict
from mask_rcnn_tf.presets import load_config, preset_names

# What is wrong with an argument, a file, a disk or the machine, and not with the program.
EXPECTED = (
    ValueError,
    OSError,
    FloatingPointError,
    MemoryError,
    tf.errors.ResourceExhaustedError,
    tf.errors.PermissionDeniedError,
    tf.errors.NotFoundError,
    tf.errors.UnimplementedError,  # a path such as gs://, without its file system
)
OVERRIDE = re.compile(r"--?(?:no)?config\.([^=]*)")


def define_config(flag_values: flags.FlagValues = flags.FLAGS) -> flags.FlagHolder:
    """Defines `--config NAME_OR_PATH` and, after it, `--config.section.key=value` for every key of `Config`.

    Bools take `--config.data.cache`, `--noconfig.data.cache` and `--config.data.cache=true`. Tuples take Python's
    notation: `--config.data.canvases='((512, 512),)'`. Start the tool by `run`.

    Args:
      flag_values: `absl.flags.FlagValues` to define it in.

    Returns:
      Holder whose `value`, in the tool's main function, is a validated `Config` of the caller's own.
    """
    help_string = f"a path to a .py file with get_config(), or a preset: {', '.join(preset_names())}"
    return config_flags.DEFINE_config_dataclass("config", Config(), help_string, flag_values, parse_fn=load_config)


def define_augmentation(flag_values: flags.FlagValues = flags.FLAGS) -> Callable[[], AugmentationConfig]:
    """Defines `--short_sides`, `--max_side` and `--flip`, of test-time augmentation.

    Args:
      flag_values: `absl.flags.FlagValues` to define them in.

    Returns:
      Function without arguments, for the tool's main function, to what was given. Raises ValueError: a side is none.
    """
    sides = flags.DEFINE_list(
        "short_sides", [], "Test-time augmentation: sizes in pixels; none: the model's alone.", flag_values=flag_values
    )
    longest = flags.DEFINE_integer(
        "max_side", 0, "Of it: largest long side; 0: in proportion.", flag_values=flag_values
    )
    flip = flags.DEFINE_bool("flip", True, "Of it: mirrored images too.", flag_values=flag_values)

    def given() -> AugmentationConfig:
        if not all(side.strip().isdigit() for side in sides.value):
            raise ValueError(f"short_sides is {','.join(sides.value)}; allowed: numbers such as 640,800.")
        config = Config()
        config.eval.augmentation = AugmentationConfig(tuple(map(int, sides.value)), longest.value, flip.value)
        return config.validate().eval.augmentation

    return given


def define_tiling(flag_values: flags.FlagValues = flags.FLAGS) -> Callable[[], Tiling | None]:
    """Defines `--tile` and `--overlap`, of images that are too large for the network.

    Args:
      flag_values: `absl.flags.FlagValues` to define them in.

    Returns:
      Function without arguments, for the tool's main function, to what was given; None without `--tile`. Raises
      ValueError: a tile is too small, or overlaps by more than half of it.
    """
    side = flags.DEFINE_integer(
        "tile", 0, "Side of tiles in pixels, as images of the training were; 0: whole images.", flag_values=flag_values
    )
    overlap = flags.DEFINE_integer(
        "overlap", 128, "Of tiles, in pixels: as long as most objects.", flag_values=flag_values
    )
    return lambda: Tiling(side.value, overlap.value) if side.value else None


def define_selection(flag_values: flags.FlagValues = flags.FLAGS) -> Callable[[Predict, ModelConfig], Predict]:
    """Defines `--min_score` and `--classes`, of what is found.

    Args:
      flag_values: `absl.flags.FlagValues` to define them in.

    Returns:
      Function, for the tool's main function, from `mask_rcnn_tf.make_predictor`'s and the model's configuration to one
      that finds what was asked for. Raises ValueError: the model has no such class.
    """
    least = flags.DEFINE_float(
        "min_score", 0.0, "Lowest score of the results.", lower_bound=0, upper_bound=1, flag_values=flag_values
    )
    names = flags.DEFINE_list(
        "classes", [], "Classes of the results, by names or category ids; none: all.", flag_values=flag_values
    )

    def selecting(predict: Predict, config: ModelConfig) -> Predict:
        legend = legend_of(config)
        classes = [legend.number_of(name) for name in names.value] or None
        if classes is None and not least.value:
            return predict
        return lambda images: [found.select(least.value, classes) for found in predict(images)]

    return selecting


def parse(
    argv: Sequence[str],
    flag_values: flags.FlagValues = flags.FLAGS,
    config_required: bool = True,
    takes_paths: bool = False,
) -> list[str]:
    """Parses `sys.argv` for a tool that has `define_config`'s flag.

    Args:
      argv: list of str, the program's name first; overrides are looked for in `sys.argv`, which must be the same.
      flag_values: what was defined.
      config_required: whether `--config` may be left out, and then all its overrides too.
      takes_paths: whether there may be arguments that are no flags.

    Returns:
      List of the arguments that are no flags.

    Raises:
      ValueError: in one line, what is wrong and what is allowed.
    """
    if "config" in flag_values:
        _check_keys(argv, config_required)
    try:
        rest = flag_values(argv)
    except flags.Error as error:
        raise ValueError(one_line(error)) from error
    for name in flag_values:
        value = flag_values[name].value
        if isinstance(value, float) and math.isnan(value):  # which is inside of all bounds
            raise ValueError(f"{name} is nan; allowed: a number.")
        if value == "" and flag_values[name].present and flag_values[name].default is None:
            raise ValueError(f"{name} is ''; allowed: a path or a name.")
    for name in _repeated(argv, flag_values):
        print(
            f"{pathlib.Path(argv[0]).stem}: warning: --{name} is given more than once; the last counts", file=sys.stderr
        )
    if len(rest) > 1 and not takes_paths:
        raise ValueError(f"arguments are {rest[1:]}; allowed: flags only, --name=value.")
    if "config" in flag_values:
        flag_values["config"].value.validate()
    return rest


def run(main: Callable[[Sequence[str]], Any], config_required: bool = True, takes_paths: bool = False):
    """Runs a tool: parses the flags (see `parse`), calls `main(argv)`, and ends in one line where a person erred.

    Exit status: 2 for a wrong flag, 1 for what `EXPECTED` has, 130 for Ctrl-C. Other errors are ours and keep their
    traceback; so do all with `--verbosity=1`.
    """

    def parse_or_exit(argv):
        if {"--help", "-help", "-h"} & set(argv[1:]):
            _explain()
            sys.exit(0)
        try:
            return parse(argv, config_required=config_required, takes_paths=takes_paths)
        except ValueError as error:
            print(f"{pathlib.Path(argv[0]).stem}: {one_line(error)}", file=sys.stderr)
            sys.exit(2)

    def run_quietly(argv):
        # Our own logger and not absl's, whose INFO level (0, what its `run` sets by default) belongs to TFDS.
        verbose = flags.FLAGS.verbosity > absl.logging.INFO
        absl.logging.set_verbosity(flags.FLAGS.verbosity if verbose else absl.logging.WARNING)
        logging.getLogger("mask_rcnn_tf").setLevel(logging.INFO)
        tool = pathlib.Path(argv[0]).stem
        try:
            return main(argv)
        except EXPECTED as error:
            if flags.FLAGS.verbosity > 0:
                raise
            print(f"{tool}: {one_line(error)}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print(f"{tool}: interrupted", file=sys.stderr)
            sys.exit(130)

    program = sys.modules["__main__"]
    if getattr(program, "__spec__", None) and program.__spec__.name.startswith(command.PACKAGE):  # not as a file
        program.__doc__ = command.in_its_words(program.__doc__)
    try:
        starting.end()
        app.run(run_quietly, flags_parser=parse_or_exit)
    except KeyboardInterrupt:  # while the flags are parsed
        print(f"{pathlib.Path(sys.argv[0]).stem}: interrupted", file=sys.stderr)
        sys.exit(130)


def _explain():
    """The help: what the tool is for, its flags, and every key of the configuration where it takes one."""
    app.usage(shorthelp=True, writeto_stdout=True)
    if "config" in flags.FLAGS:
        print(explained.text(min(120, shutil.get_terminal_size().columns)))


def check_output(path: str | os.PathLike):
    """Makes the folder of a file that is to be written, before work is done for it.

    Raises:
      OSError: the folder cannot be made or written, or there is a folder in the file's place.
      ValueError: another flag names the same place.
    """
    check_apart(path)
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    existed = path.exists()
    path.open("ab").close()
    if not existed:
        path.unlink()


def check_apart(path: str | os.PathLike, flag_values: flags.FlagValues = flags.FLAGS):
    """Raises ValueError where two flags name the place that is to be written: what is read there would be lost."""
    names = {}
    for flag in (flag_values[name] for name in flag_values):
        values = flag.value if isinstance(flag.value, list) else [flag.value]
        if any(isinstance(value, str) and value and _same_place(value, path) for value in values):
            names[flag.name] = None
    if len(names) > 1:
        raise ValueError(
            f"{' and '.join(names)} are one place, {os.fspath(path)!r:.200}; allowed: one of its own to write to."
        )


def _same_place(first: str, second: str | os.PathLike) -> bool:
    if os.path.realpath(first) == os.path.realpath(second):
        return True
    return os.path.exists(first) and os.path.exists(second) and os.path.samefile(first, second)


def one_line(error: BaseException) -> str:
    """What an error says, in one line: the file and the reason where the system refused one."""
    if isinstance(error, OSError) and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return ": ".join([" -> ".join(names), error.strerror] if names else [error.strerror])
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError):
        return f"out of memory: {text}" if text else "out of memory"
    return text or type(error).__name__


def _repeated(argv: Sequence[str], flag_values: flags.FlagValues) -> list[str]:
    """The flags that have one value and are given several others."""
    given = {}
    for match in filter(None, (re.fullmatch(r"--?([\w.]+)=(.*)", argument, re.DOTALL) for argument in argv[1:])):
        given.setdefault(match[1], set()).add(match[2])
    many = [name for name, values in given.items() if len(values) > 1]
    return [name for name in many if not (name in flag_values and isinstance(flag_values[name], flags.MultiFlag))]


def _check_keys(argv, required):
    given = any(argument.split("=")[0] in ("--config", "-config", "--help", "--helpfull") for argument in argv)
    if not given and (required or any(map(OVERRIDE.match, argv))):
        raise ValueError(f"--config is missing; allowed: a path to a .py file, or one of {', '.join(preset_names())}.")
    for path in filter(None, map(OVERRIDE.match, argv)):
        section, names = Config, ["config"]
        for name in path.group(1).split("."):
            known = {field.name: field.type for field in dataclasses.fields(section)} if section else {}
            where = ".".join(names)
            if name not in known:
                near = "".join(f" Did you mean {key!r}?" for key in difflib.get_close_matches(name, known, 1))
                raise ValueError(
                    f"{where} has no key {name!r}; known: {', '.join(sorted(known)) or 'none, it is a value'}.{near}"
                )
            names.append(name)
            section = known[name] if dataclasses.is_dataclass(known[name]) else None
        if section:
            keys = ", ".join(sorted(field.name for field in dataclasses.fields(section)))
            raise ValueError(f"{'.'.join(names)} is a section; give a value to one of its keys: {keys}.")
