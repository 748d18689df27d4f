"""The prepared data sets on disk: which there are, which are of no use any more, and how to remove them."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import re
import shutil
import time
from collections.abc import Sequence

from mask_rcnn_tf.data import coco_builder, contents, locks, preparation, shapes

CURRENT = {"coco_json": str(coco_builder.CocoJson.VERSION), "mrcnn_shapes": shapes.VERSION}
ABANDONED_AFTER = 3600.0  # seconds in which a set that is being prepared has certainly grown
STALE = "stale"
# <builder>/<set>/<version>, the last one as TFDS calls it while it is written, too
_NAME = re.compile(
    r"(coco_json/(train|val)_[0-9a-f]{20}|mrcnn_shapes/shapes\d+_[0-9a-f]{12})/(incomplete\.\w+_)?\d+\.\d+\.\d+"
)


@dataclasses.dataclass(frozen=True)
class PreparedSet:
    """One prepared set, or what is left of one that was never finished."""

    name: str  # its path below the folder of all sets
    folder: pathlib.Path
    num_bytes: int
    num_images: int | None  # None where it was not finished
    created: float  # seconds since 1970
    used: float  # the last time; `created` where no use was noted
    source: contents.Source | None  # None for scenes, and where no use was noted
    stale: str  # why nothing will read it any more; "" where something may


def prepared_sets(data_dir: str = "") -> list[PreparedSet]:
    """All sets of this package below a folder, finished or not, by name.

    Args:
      data_dir: as `config.data.data_dir`; "" is TFDS's default.

    Returns:
      The sets. Other projects' data sets and links are left out.

    Raises:
      ValueError: there is no such folder.
    """
    root = pathlib.Path(contents.data_root(data_dir))
    if not root.is_dir():
        raise ValueError(f"data_dir is {str(root)!r}; there is no such folder.")
    folders = [folder for builder in CURRENT for folder in sorted(root.glob(f"{builder}/*/*"))]
    return [_describe(root, folder, data_dir) for folder in folders if _is_own(root, folder)]


def _is_own(root: pathlib.Path, folder: pathlib.Path) -> bool:
    """Whether a folder has a set's name and lies where it seems to: what a link leads to is not ours to remove."""
    name = folder.relative_to(root)
    return bool(_NAME.fullmatch(name.as_posix())) and folder.is_dir() and folder.resolve() == root.resolve() / name


def _describe(root: pathlib.Path, folder: pathlib.Path, data_dir: str) -> PreparedSet:
    states = [path.lstat() for path in folder.rglob("*") if not path.is_dir()]
    info, note = folder / "dataset_info.json", folder / contents.SOURCE_FILE
    finished = not folder.name.startswith("incomplete.") and info.is_file()
    created = (info if finished else folder).stat().st_mtime
    source = contents.read_source(folder)
    changed = max([folder.stat().st_mtime, *(state.st_mtime for state in states)])
    return PreparedSet(
        name=folder.relative_to(root).as_posix(),
        folder=folder,
        num_bytes=sum(state.st_size for state in states),
        num_images=_num_images(info) if finished else None,
        created=created,
        used=note.stat().st_mtime if note.is_file() else created,
        source=source,
        stale=_why_stale(folder, source, data_dir) if finished else _why_unfinished(changed),
    )


def _num_images(info: pathlib.Path) -> int | None:
    try:
        splits = json.loads(info.read_text())["splits"]
        return sum(int(count) for split in splits for count in split["shardLengths"])
    except (ValueError, KeyError, TypeError):
        return None


def _why_unfinished(changed: float) -> str:
    return "was never finished" if time.time() - changed > ABANDONED_AFTER else ""


def _why_stale(folder: pathlib.Path, source: contents.Source | None, data_dir: str) -> str:
    """Compares a finished set with what it was made from, and that as it is now."""
    builder = folder.parts[-3]
    if folder.name != CURRENT[builder]:
        return f"version {folder.name}; today's is {CURRENT[builder]}"
    if source is None:
        return ""
    try:
        content = pathlib.Path(source.annotations).read_bytes()
    except OSError:
        return "annotations are gone"
    if hashlib.sha256(content).hexdigest() != source.digest:
        return "annotations have changed"
    file_names = [image["file_name"] for image in json.loads(content)["images"]]
    is_same = contents.set_name(source, file_names, data_dir) == folder.parent.name
    return "" if is_same else "images have changed or are gone"


def remove(data_dir: str, names: Sequence[str]) -> list[PreparedSet]:
    """Removes prepared sets, and nothing else.

    Args:
      data_dir: as `config.data.data_dir`; "" is TFDS's default.
      names: of sets as `prepared_sets` gives them, or "stale" for all that are stale.

    Returns:
      The removed sets.

    Raises:
      ValueError: a name is not in the list or a process prepares or reads a set (nothing is removed
        then), or a set cannot be removed.
    """
    listed = {found.name: found for found in prepared_sets(data_dir)}
    for name in names:
        if name != STALE and name not in listed:
            raise ValueError(f"remove is {name!r}; allowed: {STALE!r}, {', '.join(map(repr, listed)) or 'no name'}.")
    chosen = [found for found in listed.values() if found.name in names or (STALE in names and found.stale)]
    with contextlib.ExitStack() as held:
        taken: set[pathlib.Path] = set()
        for found in chosen:
            _hold(found, held, taken)
        for found in chosen:
            try:
                shutil.rmtree(found.folder)
            except OSError as error:
                raise ValueError(f"remove is {found.name!r}; it cannot be removed: {error.strerror}.") from None
            with contextlib.suppress(OSError):  # another version is in it
                os.rmdir(found.folder.parent)
    return chosen


def _hold(found: PreparedSet, held: contextlib.ExitStack, taken: set[pathlib.Path]):
    """Locks a set, so that nothing prepares or reads it, unless the lock is `taken`: leftovers share one."""
    whole = found.folder.with_name(found.folder.name.rpartition("_")[2])
    for what, does in (("", "prepares"), (preparation.READING, "reads")):
        lock = preparation.lock_file(whole, what)
        if lock in taken or not lock.exists():
            continue
        taken.add(lock)
        try:
            held.callback(os.close, locks.take(lock))
        except BlockingIOError as holder:
            raise ValueError(f"remove is {found.name!r}; {holder} {does} it; allowed: when that has ended.") from None
        except OSError as error:
            raise ValueError(f"remove is {found.name!r}; its lock cannot be taken: {error.strerror}.") from None


def table(sets: Sequence[PreparedSet]) -> str:
    """Two lines a set, and their sum: what it is, and what it was made from."""
    lines = []
    for found in sets:
        images = "unfinished" if found.num_images is None else f"{found.num_images} images"
        created, used = (time.strftime("%Y-%m-%d %H:%M", time.localtime(at)) for at in (found.created, found.used))
        size = f"{found.num_bytes / 1e6:.1f} MB"
        lines.append(f"{found.name}  {images}, {size}, made {created}, used {used}")
        lines.append(f"  {_origin(found)}{'; stale: ' + found.stale if found.stale else ''}")
    stale = [found for found in sets if found.stale]
    total, free = (sum(found.num_bytes for found in group) / 1e6 for group in (sets, stale))
    return "\n".join([*lines, f"{len(sets)} prepared sets, {total:.1f} MB; {len(stale)} stale, {free:.1f} MB"])


def _origin(found: PreparedSet) -> str:
    if found.source:
        return f"{found.source.split}: {found.source.annotations}, images in {found.source.images}"
    return "synthetic scenes" if found.name.startswith("mrcnn_shapes/") else "of unknown files"
