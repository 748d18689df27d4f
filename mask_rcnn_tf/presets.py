"""Experiments by name: the presets of `configs/`, and files of your own."""

import copy
import importlib
import importlib.util
import pathlib
import pkgutil

from mask_rcnn_tf.config import Config


def preset_names() -> list[str]:
    """Names of the presets, `mask_rcnn_tf.configs.*`."""
    import mask_rcnn_tf.configs as presets

    return sorted(module.name for module in pkgutil.iter_modules(presets.__path__))


def load_config(name_or_path: str) -> Config:
    """Loads a preset by name (`mask_rcnn_r50_fpn`) or a Python file that defines `get_config() -> Config`.

    Raises:
      ValueError: no such preset or file, or what `get_config` returns does not validate.
    """
    path = pathlib.Path(name_or_path)
    if path.suffix == ".py":
        if not path.is_file():
            raise ValueError(f"config is {name_or_path!r}; there is no such file.")
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    elif name_or_path in preset_names():
        module = importlib.import_module(f"mask_rcnn_tf.configs.{name_or_path}")
    else:
        raise ValueError(
            f"config is {name_or_path!r}; allowed: a path to a .py file, or one of {', '.join(preset_names())}."
        )
    return copy.deepcopy(module.get_config()).validate()
