"""What a configuration has that its preset, or the defaults, have not."""

import dataclasses
import functools
from typing import Any

from mask_rcnn_tf import explained
from mask_rcnn_tf.config import Config, ModelConfig
from mask_rcnn_tf.presets import load_config, preset_names

LONGEST = 160  # characters of a value


@dataclasses.dataclass(frozen=True)
class Setting:
    """One value that differs."""

    name: str  # after `config.`
    value: str
    usual: str
    about: str


@dataclasses.dataclass(frozen=True)
class Settings:
    """All values that differ, and from what."""

    usual: str  # in words
    rows: tuple[Setting, ...]


def of_run(config: Config) -> Settings:
    """The differences of a run's configuration from the preset of its name, or from the defaults."""
    if config.name in preset_names():
        return Settings(f"the preset {config.name}", _differences(config, load_config(config.name), ""))
    return Settings("the defaults", _differences(config, Config(), ""))


def of_model(config: ModelConfig) -> Settings:
    """The differences of a model's configuration from the defaults."""
    return Settings("the defaults", _differences(config, ModelConfig(), "model"))


def _differences(ours: Any, theirs: Any, path: str) -> tuple[Setting, ...]:
    rows = []
    for group in explained.groups(type(ours), path):
        for key in group.keys:
            names = key.name.removeprefix(f"{path}.").split(".")
            value, usual = (functools.reduce(getattr, names, config) for config in (ours, theirs))
            if value != usual:
                rows.append(Setting(key.name, _shown(value), _shown(usual), key.about))
    return tuple(rows)


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."
