"""Label Studio's two exports as one list of tasks: JSON, and JSON-MIN, which has a key for each control tag.

JSON-MIN keeps neither ids, parents and relations of regions nor whether an image was turned. Texts of other tags (one
choice, a comment) cannot be told from the task's own data there.

Source: labelstud.io/guide/task_format and /export; label-studio-sdk, `converter/converter.py` (`convert_to_json_min`,
`annotation_result_from_task`), `converter/utils.py` (`prettify_result`).
"""

import collections
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion.labelled import Report

MOST_BYTES = 2**30  # brushes are lists of numbers
LABELS = ("polygonlabels", "rectanglelabels", "ellipselabels", "brushlabels", "keypointlabels", "labels")
PLACES = ("x", "y", "width", "height", "rotation", "radiusX", "radiusY", "points", "rle")
SIZE = ("original_height", "original_width")
MINIMAL = ("annotation_id", "annotator")  # keys of JSON-MIN
UNFINISHED = "task without a finished annotation, taken as not labelled"
SEVERAL = "tasks have several annotations, of which one is taken: the ground truth, or else the first"


class Task(NamedTuple):
    """What one person said of an image.

    Attributes:
      where: its place, for messages.
      data: of the task, with the address of the image.
      rows: results as JSON has them: `id`, `type`, `value`, `original_height`, ...
    """

    where: str
    data: Any
    rows: list[dict]


def read_tasks(path: pathlib.Path, report: Report) -> Iterator[Task]:
    """The tasks of an export that somebody has finished.

    Args:
      path: the JSON file.
      report: gets the others.

    Yields:
      Tasks in the order of the file.

    Raises:
      ValueError: the file is no such export.
    """
    tasks = strict_json.read(path, "input", None, MOST_BYTES)
    if not isinstance(tasks, list) or not all(isinstance(task, dict) for task in tasks):
        raise ValueError(f"input is '{path}', which is no list of tasks; allowed: Label Studio's export as JSON.")
    if any("annotations" in task or "completions" in task for task in tasks) or not tasks:
        return _tasks(tasks, report)
    if any(key in task for task in tasks for key in MINIMAL) or any(map(_minimal_rows, tasks)):
        return _minimal_tasks(tasks, report)
    raise ValueError(f"input is '{path}' without annotations; allowed: Label Studio's export as JSON or JSON-MIN.")


def label_key(value: Any) -> str:
    """The key of a result's value that has its labels; "" where it has none."""
    return next((key for key in LABELS if key in value), "") if isinstance(value, dict) else ""


def _tasks(tasks: list[dict], report: Report) -> Iterator[Task]:
    for number, task in enumerate(tasks, 1):
        where = f"task {shown(task.get('id', number)):.40}"
        try:
            rows = _annotation(task, report).get("result")
            if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
                raise Rejected("annotation whose result is no list of tables", f"it is {shown(rows):.60}")
        except Rejected as error:
            report.lose(error, where)
            continue
        yield Task(
            where,
            task.get("data"),
            _once(rows, [repr(row["id"]) if row.get("id") is not None else None for row in rows]),
        )


def _annotation(task: dict, report: Report) -> dict:
    """What one person said of a task. Raises Rejected: nobody has finished it."""
    found = task.get("annotations", task.get("completions"))
    found = [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    finished = [row for row in found if not row.get("was_cancelled")]
    if not finished:
        raise Rejected(UNFINISHED)
    if len(finished) > 1:
        report.note(SEVERAL)
    return next((row for row in finished if row.get("ground_truth")), finished[0])


def _minimal_tasks(tasks: list[dict], report: Report) -> Iterator[Task]:
    """A task has an entry for each of its annotations; one that nobody has finished has one too."""
    known = collections.Counter()
    for number, task in enumerate(tasks, 1):
        key = repr(task.get("id", f"entry {number}"))
        where = f"task {shown(task.get('id', number)):.40}"
        rows = _minimal_rows(task)
        if not rows and task.get("annotation_id", "") is None:
            report.lose(Rejected(UNFINISHED), where)
            continue
        known[key] += 1
        if known[key] == 1:
            places = [repr([row["value"].get(name) for name in PLACES]) for row in rows]
            yield Task(where, task, _once(rows, places))
    if several := sum(count > 1 for count in known.values()):
        report.note(SEVERAL, several)


def _minimal_rows(task: dict) -> list[dict]:
    """The regions of all control tags of an entry, as JSON has them."""
    rows = [
        (name, value)
        for name, values in task.items()
        if isinstance(values, list)
        for value in values
        if isinstance(value, dict) and (label_key(value) or SIZE[0] in value)
    ]
    return [{"type": name, "value": value} | {side: value.get(side) for side in SIZE} for name, value in rows]


def _once(rows: list[dict], names: list[str | None]) -> list[dict]:
    """Results, but for those without a label beside one of the same name that has it: they are one region."""
    pairs = list(zip(rows, names, strict=True))
    labelled = {name for row, name in pairs if label_key(row.get("value"))} - {None}
    return [row for row, name in pairs if label_key(row.get("value")) or name not in labelled]
