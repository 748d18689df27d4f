"""Reading files in COCO format: annotations and results. Their structure is checked here, their records in `judge`."""

import os
import pathlib
from collections.abc import Iterable
from typing import Any

from mask_rcnn_tf import strict_json
from mask_rcnn_tf.coco import categories, judge, lvis
from mask_rcnn_tf.coco.errors import Rejected

TABLES = ("images", "annotations", "categories")
ID_LIMIT = 2**63  # ids travel as int64


def read_annotations(path: str | os.PathLike) -> dict:
    """Reads a COCO annotation file and checks its structure, not its records.

    Args:
      path: of a JSON file, of COCO's own or of LVIS.

    Returns:
      The file's dict: `images`, `annotations`, `categories`. Images of LVIS have a `file_name` too.

    Raises:
      ValueError: no such file, not JSON, not COCO (missing keys), or image or category ids that repeat.
    """
    coco = _load(path, "annotations")
    try:
        if isinstance(coco, dict):
            lvis.name_images(coco.get("images"))
        check_structure(coco)
    except ValueError as error:
        raise ValueError(f"annotations {path} is not in COCO format: {error}.") from None
    return coco


def read_truth(path: str | os.PathLike) -> dict:
    """Reads what results are scored against: a COCO file that may lack what `check_scored` does not ask for.

    Args:
      path: of a JSON file.

    Returns:
      The file's dict.

    Raises:
      ValueError: no such file, not JSON, or not a table.
    """
    coco = _load(path, "ground_truth")
    if not isinstance(coco, dict):
        raise ValueError(f"ground_truth {path} holds a {type(coco).__name__}; allowed: a table in COCO format.")
    return coco


def read_results(path: str | os.PathLike) -> list[dict]:
    """Reads COCO results and judges each.

    Args:
      path: of a JSON file, a list of results.

    Returns:
      The results, as `judge.judge_result` gives them.

    Raises:
      ValueError: no such file, not JSON, not a list, or a result that cannot be used.
    """
    rows = _load(path, "results")
    if not isinstance(rows, list):
        raise ValueError(f"results {path} holds a {type(rows).__name__}; allowed: a list of COCO results.")
    return judge_results(rows, f"results {path}")


def judge_results(rows: list[dict], where: str = "results") -> list[dict]:
    """Judges every result of a list. Raises ValueError, naming `where` and the first that cannot be used."""
    if not isinstance(rows, Iterable) or isinstance(rows, (str, bytes, dict)):
        raise ValueError(f"{where} is a {type(rows).__name__}; allowed: a list of COCO results.")
    judged = []
    for index, row in enumerate(rows):
        try:
            judged.append(judge.judge_result(row))
        except Rejected as error:
            raise ValueError(f"{where}: result {index}: {error}.") from None
    return judged


def _load(path: str | os.PathLike, name: str) -> Any:
    if not pathlib.Path(path).is_file():
        raise ValueError(f"{name} is {str(path)!r}; there is no such file.")
    try:
        return strict_json.parse(pathlib.Path(path).read_bytes(), deepest=None)
    except ValueError as error:
        reason = str(error).removeprefix("it is not JSON: ")
        raise ValueError(f"{name} {path} is not JSON: {reason}.") from error


def check_structure(coco: Any):
    """Checks all that training, checking and evaluating image files read of the tables.

    Args:
      coco: what the JSON held.

    Raises:
      ValueError: the tables or columns that are missing or of another type, or ids or names that repeat.
    """
    if not isinstance(coco, dict) or any(not isinstance(coco.get(table), list) for table in TABLES):
        came = ", ".join(map(repr, coco)) if isinstance(coco, dict) else f"a {type(coco).__name__}"
        raise ValueError(f"it must be a table with the lists 'images', 'annotations' and 'categories'; it has {came}")
    _check_rows(coco, "images", {"id": int, "file_name": str, "width": int, "height": int})
    _check_rows(coco, "categories", {"id": int, "name": str})
    _check_rows(coco, "annotations", {"image_id": int, "category_id": int})
    for table, key in (("images", "id"), ("categories", "id")):
        _check_unique(coco[table], table, key)
    _check_unique(categories.without_shadows(coco), "categories", "name")
    if not coco["categories"]:
        raise ValueError("categories is empty; at least one is needed")


def check_scored(coco: dict):
    """Checks the little that scoring results reads of the tables: ids. Names of files and sizes may be missing.

    Args:
      coco: COCO-format dict.

    Raises:
      ValueError: what is missing or of another type, or ids that repeat.
    """
    missing = [key for key in TABLES if not isinstance(coco.get(key), list)]
    if missing:
        raise ValueError(f"ground_truth has no {missing[0]!r}; a COCO-format dict has images, annotations, categories.")
    try:
        for table in ("images", "categories"):
            _check_rows(coco, table, {"id": int})
            _check_unique(coco[table], table, "id")
        _check_rows(coco, "annotations", {"image_id": int, "category_id": int})
        named = [row for row in coco["categories"] if row.get("name") is not None]
        _check_rows({"categories": named}, "categories", {"name": str})
    except ValueError as error:
        raise ValueError(f"ground_truth is not in COCO format: {error}.") from None


def _check_rows(coco: dict, table: str, keys: dict[str, type]):
    for index, row in enumerate(coco[table]):
        if not isinstance(row, dict):
            raise ValueError(f"{table}[{index}] is {row!r:.60}; allowed: a table")
        for key, kind in keys.items():
            if key not in row:
                raise ValueError(f"{table}[{index}] has no {key!r}")
            value = row[key]
            if not isinstance(value, kind) or isinstance(value, bool):
                raise ValueError(f"{table}[{index}].{key} is {value!r:.60}; allowed: {kind.__name__}")
            if kind is int and abs(value) >= ID_LIMIT:
                raise ValueError(f"{table}[{index}].{key} is {value!r:.60}; allowed: whole numbers below 2**63")
            if kind is str and not _is_text(value):
                raise ValueError(f"{table}[{index}].{key} is {value!r:.60}; allowed: text that can be a file's name")


def _is_text(value: str) -> bool:
    """Whether a text is Unicode without NUL: a file's name may be made of it, and it may be printed."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return "\0" not in value


def _check_unique(rows: list[dict], table: str, key: str):
    seen = set()
    for row in rows:
        if row[key] in seen:
            raise ValueError(f"{table} has {key} {row[key]!r} twice")
        seen.add(row[key])


def keypoint_count(coco: dict) -> int:
    """J: the number of keypoints that the categories name, or else that the first annotation with some has; or 0.

    Raises:
      ValueError: keypoints are no list, or categories name different numbers of them.
    """
    rows = [row for table in ("categories", "annotations") for row in coco[table]]
    wrong = next((row for row in rows if row.get("keypoints") and not isinstance(row["keypoints"], list)), None)
    if wrong:
        raise ValueError(f"keypoints is {wrong['keypoints']!r:.60}; allowed: a list.")
    counts = {len(row["keypoints"]) for row in coco["categories"] if row.get("keypoints")}
    if len(counts) > 1:
        raise ValueError(f"categories name {sorted(counts)} keypoints; allowed: the same number where there are any.")
    if counts:
        return counts.pop()
    return next((len(row["keypoints"]) // 3 for row in coco["annotations"] if row.get("keypoints")), 0)
