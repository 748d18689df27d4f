"""What the help and the page of the configuration say: every key, from the comment at its field."""

import dataclasses
import pathlib

import pytest

from mask_rcnn_tf import explained
from mask_rcnn_tf.config import Config, to_dict
from mask_rcnn_tf.fields import Section, field

PAGE = pathlib.Path(__file__).parents[1] / "docs" / "configuration.md"


@dataclasses.dataclass
class Written(Section):
    """A section in all ways of writing."""

    behind: int = field(3, above=0)  # seconds
    # one line
    # and the next
    above: str = ""
    none: bool = False
    # above
    both: float = 1.0  # and behind
    wrapped: int = field(8, above=0, at_most=9)  # behind a bracket
    # a tuple # with a sign
    pairs: tuple[tuple[int, int], ...] = ()

    def method(self):
        # no field's
        return self.behind  # nor this


def leaves(values, prefix=""):
    if not isinstance(values, dict):
        return [prefix[:-1]]
    return [leaf for key, value in values.items() for leaf in leaves(value, f"{prefix}{key}.")]


def test_comments_of_all_forms():
    assert explained.comments(Written) == {
        "behind": "seconds",
        "above": "one line and the next",
        "both": "above and behind",
        "wrapped": "behind a bracket",
        "pairs": "a tuple # with a sign",
    }


def test_every_key_is_explained():
    keys = [key for group in explained.groups() for key in group.keys]
    assert sorted(key.name for key in keys) == sorted(leaves(to_dict(Config())))
    assert not [key.name for key in keys if len(key.about) < 2]
    found = {key.name: key for key in keys}
    assert found["train.ema_momentum"] == explained.Key(
        "train.ema_momentum",
        "0.0",
        "a number of at least 0, below 1",
        "of a moving average of the weights, which is scored and saved in their place; 0: off. 0.999 is usual",
    )


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("train.steps", "a whole number above 0"),
        ("model.class_names", "any number of values, each text"),
        ("model.preprocess.mean", "any number of values, each a number"),
        ("data.keypoint_flip_pairs", "any number of values, each at least 0"),
        ("data.cache", "True or False"),
        ("train.init_from", "text"),
        ("train.optimizer", "'torch_sgd', 'adam'"),
    ],
)
def test_what_is_allowed(name, words):
    assert {key.name: key.allowed for group in explained.groups() for key in group.keys}[name] == words


def test_the_help_has_every_key_in_narrow_lines():
    lines = explained.text(80).splitlines()
    for name in leaves(to_dict(Config())):
        assert len([line for line in lines if line.startswith(f"  --config.{name}=")]) == 1, name
    assert max(len(line) for line in lines if not line.startswith("  --config.")) <= 80


def test_the_page_is_as_the_program_writes_it():
    assert PAGE.read_text() == explained.page(), "write explained.page() to docs/configuration.md"
