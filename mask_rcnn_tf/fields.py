"""Fields of the configuration that say themselves what they may hold, the validator that reads it; to and from JSON."""

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Any

from mask_rcnn_tf.arguments import shown


class Section:
    """Base of the configuration's dataclasses: a misspelt field is an error where it is written."""

    def __setattr__(self, name: str, value: Any):
        known = [field.name for field in dataclasses.fields(self)]
        if name not in known:
            near = difflib.get_close_matches(name, known) or known
            raise AttributeError(f"{type(self).__name__} has no field {name!r}; allowed: {', '.join(near)}.")
        object.__setattr__(self, name, value)


def field(
    default: Any,
    *,
    above: float | None = None,
    at_least: float | None = None,
    at_most: float | None = None,
    below: float | None = None,
    multiple_of: int | None = None,
    odd: bool = False,
    one_of: tuple[str, ...] | None = None,
    length: int | None = None,
    most: int | None = None,
    some: bool = False,
    weights: str = "",
) -> Any:
    """A dataclass field with bounds; those of numbers hold for every number of a tuple.

    Args:
      default: its value, immutable.
      above, at_least, at_most, below: bounds of numbers.
      multiple_of, odd: of whole numbers.
      one_of: the words that are allowed.
      length: of a tuple.
      most: of a tuple, the highest length.
      some: whether a tuple or string must not be empty.
      weights: "same" where the weights of a model mean something else under another value; "norm" where the value is a
        kind of norm, whose weights some other kinds share; "" where they do not depend on it.
    """
    given = {
        "above": above,
        "at_least": at_least,
        "at_most": at_most,
        "below": below,
        "multiple_of": multiple_of,
        "odd": odd or None,
        "one_of": one_of,
        "length": length,
        "most": most,
        "some": some or None,
        "weights": weights or None,
    }
    return dataclasses.field(default=default, metadata={key: item for key, item in given.items() if item is not None})


def section(cls: type) -> Any:
    """A dataclass field that holds a section of its own."""
    return dataclasses.field(default_factory=cls)


def fail(name: str, came: Any, allowed: str):
    """Raises the ValueError of every wrong value, in one line."""
    raise ValueError(f"config.{name} is {shown(came)}; allowed: {allowed}.")


def check_fields(values: Any, path: str):
    """Checks every field of a section, and of those inside it, by its type and its bounds.

    Args:
      values: a section.
      path: its name after "config.", "" for the whole.

    Raises:
      ValueError: naming the field, what came and what is allowed.
    """
    for known in dataclasses.fields(values):
        value, name = getattr(values, known.name), f"{path}.{known.name}".lstrip(".")
        if dataclasses.is_dataclass(known.type):
            if not isinstance(value, known.type):
                fail(name, value, f"a {known.type.__name__}")
            check_fields(value, name)
        elif not fits(value, known.type):
            fail(name, value, type_in_words(known.type))
        else:
            _check_bounds(name, value, known.metadata)


TESTS = {  # of each number, by the name of the bound
    "above": lambda number, bound: number > bound,
    "at_least": lambda number, bound: number >= bound,
    "at_most": lambda number, bound: number <= bound,
    "below": lambda number, bound: number < bound,
    "multiple_of": lambda number, bound: number % bound == 0,
    "odd": lambda number, _: number % 2 == 1,
}
WORDS = {"above": "above {}", "at_least": "at least {}", "at_most": "at most {}", "below": "below {}"}
WORDS |= {"multiple_of": "a multiple of {}", "odd": "odd"}
TYPES = {int: "a whole number", float: "a number", str: "text", bool: "True or False"}
WHOLE_LIMIT = 2**63  # of every whole number: they become int64


def _check_bounds(name, value, bounds):
    leaves = list(_leaves(value))
    if any(isinstance(leaf, int) and abs(leaf) >= WHOLE_LIMIT for leaf in leaves):
        fail(name, value, "whole numbers below 2**63")
    numbers = [leaf for leaf in leaves if isinstance(leaf, int | float) and not isinstance(leaf, bool)]
    good = all(map(math.isfinite, numbers))
    good &= all(TESTS[kind](number, bound) for kind, bound in bounds.items() if kind in TESTS for number in numbers)
    good &= all(leaf in bounds["one_of"] for leaf in leaves) if "one_of" in bounds else True
    good &= len(value) == bounds["length"] if "length" in bounds else True
    good &= len(value) <= bounds["most"] if "most" in bounds else True
    good &= bool(value) or "some" not in bounds
    if not good:
        fail(name, value, allowed(value, bounds))


def _leaves(value) -> Iterator[Any]:
    if isinstance(value, tuple):
        for item in value:
            yield from _leaves(item)
    else:
        yield value


def allowed(value: Any, bounds: Mapping[str, Any]) -> str:
    """The bounds of a field, its metadata, in words; `value` is any of its type."""
    if "one_of" in bounds:
        return ", ".join(map(repr, bounds["one_of"]))
    text = _range(bounds)
    if not isinstance(value, tuple):
        word = "a number of" if text.startswith("at ") else "a number"
        return f"{word} {text}" if text else "text that is not empty" if "some" in bounds else "a finite number"
    count = bounds.get("length", "one or more" if "some" in bounds else "any number of")
    count = f"at most {bounds['most']}" if "most" in bounds else count
    return f"{count} values, each {text or 'finite'}"


def _range(bounds):
    """The bounds of a number, as what follows the word."""
    rest = {kind: bound for kind, bound in bounds.items() if kind in WORDS}
    words = []
    if "at_least" in rest and "at_most" in rest:
        words = [f"from {rest.pop('at_least')} to {rest.pop('at_most')}"]
    return ", ".join(words + [text.format(rest[kind]) for kind, text in WORDS.items() if kind in rest])


def fits(value: Any, kind: Any) -> bool:
    """Whether a value is of an annotated type; a whole number is a float too, a bool is no number."""
    if typing.get_origin(kind) is not tuple:
        return isinstance(value, (int, float) if kind is float else kind) and isinstance(value, bool) is (kind is bool)
    if not isinstance(value, tuple):
        return False
    kinds = typing.get_args(kind)
    if kinds[-1] is Ellipsis:
        return all(fits(item, kinds[0]) for item in value)
    return len(value) == len(kinds) and all(map(fits, value, kinds))


def type_name(kind: Any) -> str:
    """A type as it is written."""
    return getattr(kind, "__name__", "") if typing.get_origin(kind) is None else str(kind).replace("typing.", "")


def type_in_words(kind: Any) -> str:
    """A field's type for who writes a value: "a whole number"; a tuple as it is written."""
    return TYPES.get(kind) or type_name(kind)


def weight_fields(cls: type, kind: str, path: str = "") -> Iterator[str]:
    """Dotted names of the fields that the weights depend on.

    Args:
      cls: a section's class.
      kind: "same" or "norm", see `field`.
      path: what the names start with.
    """
    for known in dataclasses.fields(cls):
        name = f"{path}{known.name}"
        if dataclasses.is_dataclass(known.type):
            yield from weight_fields(known.type, kind, f"{name}.")
        elif known.metadata.get("weights") == kind:
            yield name


def to_dict(config: Any) -> dict:
    """A configuration (any section) as nested dicts of JSON types; tuples become lists when written."""
    return dataclasses.asdict(config)


def from_dict(cls: type, values: dict, path: str = "config") -> Any:
    """Rebuilds a section from `to_dict`, or from the same after JSON (lists become tuples again).

    Args:
      cls: the dataclass to build.
      values: nested dict; missing keys keep their defaults.
      path: name of the section in error messages.

    Raises:
      ValueError: a key is unknown, or a value is of the wrong type.
    """
    if not isinstance(values, dict):
        raise ValueError(f"{path} is {shown(values)}; allowed: a table of {cls.__name__}'s keys.")
    fields = {field.name: field for field in dataclasses.fields(cls)}
    unknown = sorted(set(values) - set(fields))
    if unknown:
        raise ValueError(f"{path} has no key {', '.join(map(shown, unknown[:9]))}; known: {', '.join(sorted(fields))}.")
    built = {}
    for name, value in values.items():
        kind = fields[name].type
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, dict):
                raise ValueError(f"{path}.{name} is {shown(value)}; allowed: a table of {kind.__name__}'s keys.")
            built[name] = from_dict(kind, value, f"{path}.{name}")
        else:
            built[name] = _checked(_restore(value), kind, f"{path}.{name}")
    return cls(**built)


def _restore(value: Any) -> Any:
    return tuple(_restore(item) for item in value) if isinstance(value, (list, tuple)) else value


def _checked(value: Any, kind: Any, name: str) -> Any:
    """The value, if it is of the annotated type, of which the items of a tuple are checked later."""
    allowed = (int, float) if kind is float else typing.get_origin(kind) or kind
    if not isinstance(value, allowed) or isinstance(value, bool) is not (kind is bool):
        raise ValueError(f"{name} is {shown(value)}; allowed: {type_in_words(kind)}.")
    return value
