"""What docs/hyper_parameters.md names exists: keys, with values that are allowed, presets, signs of the report."""

import re

from test_readme import ROOT

from mask_rcnn_tf import explained
from mask_rcnn_tf.config import Config
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.report import words

PAGE = (ROOT / "docs" / "hyper_parameters.md").read_text()
KEYS = sorted(set(re.findall(r"`(?:--config\.)?((?:model|data|train|eval)\.[\w.]+)(?:=[^`]*)?`", PAGE)))
SETTINGS = re.findall(r"`(?:--config\.)?((?:model|data|train|eval)\.[\w.]+)=([^`]+)`", PAGE)


def test_keys_are_leaves_of_the_configuration():
    assert len(KEYS) > 20 and set(KEYS) <= {key.name for group in explained.groups() for key in group.keys}


def test_settings_are_allowed():
    assert len(SETTINGS) >= 3
    for key, text in SETTINGS:
        *sections, name = key.split(".")
        config = section = Config()
        for part in sections:
            section = getattr(section, part)
        kind = type(getattr(section, name))
        setattr(section, name, kind(text))
        config.validate()


def test_presets_and_signs_exist():
    for preset in set(re.findall(r"`(mask_\w*rcnn_\w+)`", PAGE)):
        load_config(preset)
    assert {name for name, _ in words.ERRORS.values()} >= {"missed", "found twice"}
    assert "`missed`" in PAGE and "`found twice`" in PAGE
