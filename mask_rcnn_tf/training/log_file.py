"""The file `log.jsonl` of a run: one JSON object a line, each step once."""

import json
import os
import pathlib

from mask_rcnn_tf.training import storage


class LogFile:
    """Adds lines, and removes those that a killed run left behind.

    A step has at most one line of training and one of an evaluation, whose names start with `val_`.

    Args:
      path: of the file.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = pathlib.Path(path)

    def lines(self) -> list[tuple[dict, str]]:
        """(content, text) of every whole line; a killed run may have left half of one."""
        if not self.path.exists():
            return []
        parsed = [(_parse(text), text) for text in self.path.read_text(errors="replace").splitlines()]
        return [(content, text) for content, text in parsed if content]

    def last_step(self) -> int:
        """The largest step that has a line; 0 without any."""
        return max((content["step"] for content, _ in self.lines()), default=0)

    def cut(self, step: int) -> int:
        """Keeps lines up to `step`, of each kind and step the last; returns how many of training there are."""
        kept = {(content["step"], is_evaluation(content)): text for content, text in self.lines()}
        kept = {key: text for key, text in kept.items() if key[0] <= step}
        self._rewrite(kept.values())
        return sum(not of_evaluation for _, of_evaluation in kept)

    def has(self, step: int, evaluation: bool) -> bool:
        """Whether there is a line of that step and kind."""
        return any(content["step"] == step and is_evaluation(content) == evaluation for content, _ in self.lines())

    def drop_evaluation(self, step: int):
        """Removes the line of the evaluation at `step`, if there is one: it is done again."""
        lines = self.lines()
        self._rewrite(text for content, text in lines if content["step"] != step or not is_evaluation(content))

    def add(self, content: dict):
        """Adds a line."""
        storage.append(self.path, json.dumps(content))

    def _rewrite(self, texts):
        text = "".join(f"{line}\n" for line in texts)
        if self.path.exists() and text.encode() != self.path.read_bytes():
            storage.write_atomically(self.path, text)


def is_evaluation(content: dict) -> bool:
    """Whether a line has the figures of an evaluation."""
    return any(name.startswith("val_") for name in content)


def _parse(text: str) -> dict | None:
    """A line's content; None where it is not whole or has no step."""
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        return None
    step = content.get("step") if isinstance(content, dict) else None
    return content if type(step) is int and step > 0 else None
