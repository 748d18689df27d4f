"""Experiments by name: the presets of `configs/`, and files of your own."""

import copy
import importlib
import importlib.util
import pathlib
import pkgutil
import traceback

from mask_rcnn_tf.arguments import PATH, check_kind
from mask_rcnn_tf.config import Config


def preset_names() -> list[str]:
    """Names of the presets, `mask_rcnn_tf.configs.*`."""
    import mask_rcnn_tf.configs as presets

    return sorted(module.name for module in pkgutil.iter_modules(presets.__path__))


def load_config(name_or_path: str) -> Config:
    """Loads a preset by name (`mask_rcnn_r50_fpn`) or a Python file that defines `get_config() -> Config`.

    A file is a program, and is run.

    Raises:
      ValueError: no such preset or file, the file fails, or what `get_config` returns does not validate.
    """
    check_kind("config", name_or_path, PATH, "the name of a preset, or a path")
    path = pathlib.Path(name_or_path)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"config is {name_or_path!r}; there is no such file.")
        config = _run_file(path)
    elif name_or_path in preset_names():
        config = importlib.import_module(f"mask_rcnn_tf.configs.{name_or_path}").get_config()
    else:
        raise ValueError(
            f"config is {name_or_path!r}; allowed: a path to a .py file, or one of {', '.join(preset_names())}."
        )
    return copy.deepcopy(config).validate()


def _run_file(path: pathlib.Path) -> Config:
    """What `get_config` of a file returns. Raises ValueError: naming the error and the line where the file fails."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        config = module.get_config()
    except Exception as error:  # somebody else's program fails in any way
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
        lines += [error.lineno] if isinstance(error, SyntaxError) else []
        where = f"line {lines[-1]}" if lines else "it"
        reason = error.msg if isinstance(error, SyntaxError) else " ".join(str(error).split())
        raise ValueError(f"config is '{path}'; {where} fails with {type(error).__name__}: {reason}") from error
    if not isinstance(config, Config):
        raise ValueError(f"config is '{path}'; get_config gives a {type(config).__name__}; allowed: a Config.")
    return config
