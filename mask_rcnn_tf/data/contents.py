"""What a prepared data set was made from. Its name follows from contents: no path and no time is part of it.

Reading all images at each start would take minutes, so the digest of a file is kept, beside the prepared sets, with the
size and times that the file had then; a file is read again when one of these is another. A touched, copied or moved
image is thus read once more and found to be the same.
"""

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import json
import logging
import os
import pathlib
import time
import uuid
from collections.abc import Iterable, Sequence

import tensorflow as tf
import tensorflow_datasets as tfds

LOG = logging.getLogger("mask_rcnn_tf")
SOURCE_FILE = "made_from.json"  # beside the examples; its own time is that of the last use
_SETTLED_NS = 2_000_000_000  # a file changed later than this before it was read may change again within one tick


@dataclasses.dataclass(frozen=True)
class Source:
    """An annotation file with its images, as they were last used, and the options that records were judged by."""

    split: str
    annotations: str  # absolute path
    images: str  # absolute path of the folder
    digest: str  # SHA-256 of the annotation file
    options: dict  # JSON types


def data_root(data_dir: str) -> str:
    """The folder of all prepared sets: `config.data.data_dir`, or where that is "" TFDS's default; maybe remote."""
    return os.path.expanduser(data_dir or tfds.core.constants.DATA_DIR)


def set_name(source: Source, file_names: Sequence[str], data_dir: str) -> str:
    """The name of a prepared set: the split, and a hash of all that its examples depend on.

    Args:
      source: the annotation file, the folder of its images and the options.
      file_names: of the images, in the annotation file's order, relative to the folder.
      data_dir: `config.data.data_dir`, where digests of images are kept.

    Returns:
      The name, equal for equal contents wherever the files are.
    """
    digests = image_digests(source.images, file_names, data_dir)
    state = hashlib.sha256(json.dumps([source.digest, source.options], sort_keys=True).encode())
    for name in file_names:
        state.update(f"{digests.get(name, 'missing')};".encode())  # missing: reported when the examples are prepared
    return f"{source.split}_{state.hexdigest()[:20]}"


def image_digests(images: str, file_names: Iterable[str], data_dir: str) -> dict[str, str]:
    """SHA-256 of each image that can be read, by its name; `images`: their folder; the others as in `set_name`."""
    folder = pathlib.Path(os.path.realpath(images))
    kept_as = f"{hashlib.sha256(bytes(folder)).hexdigest()[:16]}.json"
    return _digests(folder, file_names, os.path.join(data_root(data_dir), "coco_json", "digests", kept_as))


def _digests(folder: pathlib.Path, file_names: Iterable[str], memory: str) -> dict[str, str]:
    """SHA-256 of each image that can be read, by its name; reads those that are new or may have changed."""
    remembered = _read_json(memory)
    states = {name: _state(folder / name) for name in dict.fromkeys(file_names)}
    found = {name: remembered[name] for name in states if name in remembered and remembered[name][1:] == states[name]}
    unknown = [name for name, state in states.items() if state and name not in found]
    if unknown:
        LOG.info("data: reading %d of %d images in %s to know their contents", len(unknown), len(states), folder)
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            read = zip(unknown, pool.map(_digest, (folder / name for name in unknown)), strict=True)
            found |= {name: [digest, *states[name]] for name, digest in read if digest}
        _write_json(memory, remembered | {name: row for name, row in found.items() if _is_settled(row)})
    return {name: row[0] for name, row in found.items()}


def _state(path: pathlib.Path) -> list[int]:
    """Size, time of the last change, and of the last change of anything, which no program can set back; [] if none."""
    try:
        found = os.stat(path)
    except OSError:
        return []
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns]


def _is_settled(row: list) -> bool:
    return time.time_ns() - max(row[2:]) > _SETTLED_NS


def _digest(path: pathlib.Path) -> str:
    """SHA-256 of a file; "" if it cannot be read."""
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""


def _read_json(path: str) -> dict:
    """{} where nothing, or nothing whole, is kept."""
    try:
        with tf.io.gfile.GFile(path) as file:
            content = json.loads(file.read())
    except (tf.errors.OpError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write_json(path: str, content: dict):
    """At once or not at all: two processes may write. A read-only folder keeps nothing, which costs time only."""
    half = f"{path}.{uuid.uuid4().hex}"
    with contextlib.suppress(tf.errors.OpError):
        tf.io.gfile.makedirs(os.path.dirname(path))
        with tf.io.gfile.GFile(half, "w") as file:
            file.write(json.dumps(content))
        tf.io.gfile.rename(half, path, overwrite=True)


def record_use(folder: str | os.PathLike, source: Source | None = None) -> None:
    """Notes that a prepared set is used now, and from where.

    Args:
      folder: of the prepared set.
      source: what it was made from; None for scenes, which are drawn.
    """
    _write_json(os.path.join(folder, SOURCE_FILE), dataclasses.asdict(source) if source else {})


def read_source(folder: str | os.PathLike) -> Source | None:
    """The source that `record_use` noted last; None if there is none."""
    content = _read_json(os.path.join(folder, SOURCE_FILE))
    return Source(**content) if content.keys() == {field.name for field in dataclasses.fields(Source)} else None
