"""Every key of the configuration with its meaning, which is the comment at its field, its default, what it may be.

python -m mask_rcnn_tf.explained > docs/configuration.md
"""

import dataclasses
import inspect
import io
import textwrap
import tokenize
import typing
from collections.abc import Iterator

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.fields import allowed, type_in_words


@dataclasses.dataclass(frozen=True)
class Key:
    """One value of the configuration.

    Attributes:
      name: after `config.`, such as "train.steps".
      default: as Python writes it.
      allowed: its type and bounds, in words.
      about: its meaning, unit and source.
    """

    name: str
    default: str
    allowed: str
    about: str


@dataclasses.dataclass(frozen=True)
class Group:
    """The values of one section.

    Attributes:
      name: of the section after `config.`, "" for the whole.
      about: first line of its docstring.
      keys: its own, without those of sections in it.
    """

    name: str
    about: str
    keys: tuple[Key, ...]


def groups(cls: type = Config, path: str = "") -> Iterator[Group]:
    """A section's class and those inside it, in the order of their fields."""
    said, found, inner = comments(cls), [], []
    for known in dataclasses.fields(cls):
        name = f"{path}.{known.name}".lstrip(".")
        if dataclasses.is_dataclass(known.type):
            inner.append((known.type, name))
        else:
            words = _words(known)
            found.append(Key(name, repr(known.default), words, said.get(known.name, "")))
    if found:
        yield Group(path, inspect.getdoc(cls).splitlines()[0], tuple(found))
    for kind, name in inner:
        yield from groups(kind, name)


def _words(known: dataclasses.Field) -> str:
    """What a field may hold: its bounds, with the type of its values."""
    if known.type in (bool, str) and not known.metadata:
        return type_in_words(known.type)
    bounds, kind = allowed(known.default, known.metadata), known.type
    while typing.get_origin(kind) is tuple:
        kind = typing.get_args(kind)[0]
    if kind is int:
        bounds = bounds.replace("a number", "a whole number", 1)
    return bounds.replace("each finite", f"each {type_in_words(kind)}")


def comments(cls: type) -> dict[str, str]:
    """The comment of each field of a class, by its name: of the lines above it, or behind it.

    They are read from the source, where whoever changes a field sees them.
    """
    found, above, field, behind = {}, [], None, []
    for token in tokenize.generate_tokens(io.StringIO(textwrap.dedent(inspect.getsource(cls))).readline):
        if token.type == tokenize.COMMENT:
            text = token.string.lstrip("# ").rstrip()
            (above if field is None else behind).append(text)
        elif token.type == tokenize.NAME and field is None and token.start[1] == token.line.find(token.line.strip()):
            field = token.string
        elif token.type == tokenize.NEWLINE:
            if above or behind:
                found[field] = " ".join(above + behind)
            above, field, behind = [], None, []
    return {known.name: found[known.name] for known in dataclasses.fields(cls) if known.name in found}


def text(width: int) -> str:
    """All keys as flags of a tool, a section after the other, in lines of `width` characters."""
    lines = ["Configuration: any of these after --config, with the default of no preset.", ""]
    for group in groups():
        lines += textwrap.wrap(f"{group.name or 'the whole'}: {group.about}", width)
        for key in group.keys:
            about = f"{key.about[:1].upper()}{key.about[1:]}. Allowed: {key.allowed}."
            lines.append(f"  --config.{key.name}={key.default}")
            lines += textwrap.wrap(about, width, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append("")
    return "\n".join(lines)


def page() -> str:
    """All keys as docs/configuration.md, a table a section."""
    lines = [
        "# Configuration",
        "Every key of `mask_rcnn_tf.Config`, the default of no preset, and what is allowed. On a command line",
        "`--config.train.steps=500` after `--config PRESET`; in Python `config.train.steps = 500`. A wrong value is",
        "refused in one line. The page is `mask_rcnn_tf.explained.page()`.",
    ]
    for group in groups():
        lines += ["", f"## {group.name or 'The whole'}", group.about, "", "| key | default | meaning | allowed |"]
        lines.append("| --- | --- | --- | --- |")
        for key in group.keys:
            cells = (f"`{key.name.rpartition('.')[2]}`", f"`{key.default}`", key.about, key.allowed)
            lines.append(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |")
    return "\n".join([*lines, ""])
