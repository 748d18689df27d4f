"""Preparing a data set once: other processes wait for it, and what is damaged or half-made is prepared again."""

import json
import logging
import pathlib
import shutil
from collections.abc import Callable

import tensorflow as tf
import tensorflow_datasets as tfds

from mask_rcnn_tf.data import contents, locks
from mask_rcnn_tf.data.quiet import quiet

LOG = logging.getLogger("mask_rcnn_tf")
READING = ".reading"
FRAMING = 16  # bytes that TFRecord adds to each record: its length and two checksums


def prepare(make: Callable[[], tfds.core.DatasetBuilder], place: str, data_dir: str) -> tfds.core.DatasetBuilder:
    """A prepared builder.

    Args:
      make: gives the builder; it fails where the set's own description is damaged.
      place: of the set below `data_dir`: builder/set/version.
      data_dir: as `config.data.data_dir`.

    Raises:
      OSError: the set cannot be written, as on a full disk; nothing is left of it then.
      ValueError: see the builders.
    """
    root = contents.data_root(data_dir)
    if "://" in root:  # no locks there
        return _prepared(make, None)
    folder = pathlib.Path(root, place)
    locks.share(lock_file(folder, READING))
    if not find_damage(folder):
        return _prepared(make, None)
    try:
        lock = lock_file(folder)
        lock.parent.mkdir(parents=True, exist_ok=True)
        with locks.held(lock, f"prepares {folder}"):
            return _prepared(make, folder)
    except (OSError, RuntimeError, tf.errors.OpError) as error:  # TFDS turns TensorFlow's errors into RuntimeError
        why = " ".join((getattr(error, "strerror", None) or getattr(error, "message", None) or str(error)).split())
        raise OSError(f"data_dir is {root!r}; {place} cannot be prepared there: {why[:400]}.") from error


def lock_file(folder: pathlib.Path, what: str = "") -> pathlib.Path:
    """The lock of a set's folder (builder/set/version) that the process has which prepares it, or those that read."""
    return folder.parents[1] / "locks" / f"{folder.parent.name}_{folder.name}{what}.lock"


def _prepared(make, folder):
    """Prepares unless that is done; `folder` is given to the one process that may remove what is there."""
    damage = find_damage(folder) if folder else ""
    if damage and folder.exists():
        LOG.warning("%s: %s; it is prepared again", folder, damage)
        shutil.rmtree(folder)
    if damage:
        for left in folder.parent.glob(f"incomplete.*_{folder.name}"):  # by a process that was killed
            shutil.rmtree(left, ignore_errors=True)
        LOG.info("preparing %s, once", folder)
    with quiet():
        builder = make()
        builder.download_and_prepare(
            file_format="tfrecord", download_config=tfds.download.DownloadConfig(try_download_gcs=False)
        )
    return builder


def find_damage(folder: pathlib.Path) -> str:
    """Why a prepared set cannot be read; "" if nothing seems wrong: files are there, as long as they should be."""
    try:
        splits = json.loads((folder / "dataset_info.json").read_bytes())["splits"]
        json.loads((folder / "features.json").read_bytes())
        for split in splits:
            lengths = [int(length) for length in split["shardLengths"]]
            files = list(folder.glob(f"*-{split['name']}.tfrecord-*-of-{len(lengths):05d}"))
            size = sum(file.stat().st_size for file in files)
            if len(files) != len(lengths) or size != int(split["numBytes"]) + FRAMING * sum(lengths):
                return f"the records of {split['name']!r} are not all there"
    except OSError as error:
        return f"{pathlib.Path(error.filename or folder).name} is missing"
    except (ValueError, KeyError, TypeError, RecursionError):
        return "its description is damaged"
    return ""
