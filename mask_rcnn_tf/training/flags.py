"""The `--config` flag of the tools: a preset or a file, with every leaf open to overrides on the command line."""

import dataclasses
import logging
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import absl.logging
from absl import app, flags
from ml_collections import config_flags

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.presets import load_config, preset_names

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


def parse(argv: Sequence[str], flag_values: flags.FlagValues = flags.FLAGS, config_required: bool = True) -> list[str]:
    """Parses `sys.argv` for a tool that has `define_config`'s flag.

    Args:
      argv: list of str, the program's name first; overrides are looked for in `sys.argv`, which must be the same.
      flag_values: what was defined.
      config_required: whether `--config` may be left out, and then all its overrides too.

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
        raise ValueError(" ".join(str(error).split())) from error
    if len(rest) > 1:
        raise ValueError(f"arguments are {rest[1:]}; allowed: flags only, --name=value.")
    if "config" in flag_values:
        flag_values["config"].value.validate()
    return rest


def run(main: Callable[[Sequence[str]], Any], config_required: bool = True):
    """Runs a tool: parses the flags (see `parse`), prints a wrong one as one line, calls `main(argv)`."""

    def parse_or_exit(argv):
        try:
            return parse(argv, config_required=config_required)
        except ValueError as error:
            print(f"{argv[0]}: {error}", file=sys.stderr)
            sys.exit(2)

    def run_quietly(argv):
        # Our own logger and not absl's, whose INFO level belongs to TFDS.
        absl.logging.set_verbosity(absl.logging.WARNING)
        logging.getLogger("mask_rcnn_tf").setLevel(logging.INFO)
        return main(argv)

    app.run(run_quietly, flags_parser=parse_or_exit)


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
                raise ValueError(
                    f"{where} has no key {name!r}; known: {', '.join(sorted(known)) or 'none, it is a value'}."
                )
            names.append(name)
            section = known[name] if dataclasses.is_dataclass(known[name]) else None
        if section:
            keys = ", ".join(sorted(field.name for field in dataclasses.fields(section)))
            raise ValueError(f"{'.'.join(names)} is a section; give a value to one of its keys: {keys}.")
