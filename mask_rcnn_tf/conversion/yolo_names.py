"""What a data set of YOLO says of itself: data.yaml, or classes.txt."""

import dataclasses
import pathlib
from collections.abc import Iterable
from typing import Any

import yaml

from mask_rcnn_tf.arguments import shown
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.conversion.image_folder import SUFFIXES, ImageFolder, files_below
from mask_rcnn_tf.conversion.labelled import category_name
from mask_rcnn_tf.conversion.text_files import read_text

LISTS = ("classes.txt", "obj.names", "labels.txt", "labels/classes.txt")
MOST_BYTES = 2**18
MOST_CLASSES = 10_000
MOST_KEYPOINTS = 1000


@dataclasses.dataclass(frozen=True)
class DataFile:
    """What is known of a data set.

    Attributes:
      names: of classes 0, 1, ...
      splits: entry of data.yaml -> folders or lists of images.
      keypoints: (J, numbers of each), or () where lines are no poses.
      joints: J names of the keypoints of each class, or () where lines are no poses.
      other_texts: text files below the folder that are not of an image.
    """

    names: tuple[str, ...]
    splits: dict[str, list[str]] = dataclasses.field(default_factory=dict)
    keypoints: tuple[int, ...] = ()
    joints: tuple[tuple[str, ...], ...] = ()
    other_texts: frozenset[str] = frozenset()

    def of_split(self, split: str, images: ImageFolder) -> list[str]:
        """The images of an entry. Raises ValueError: there is no such entry, or no image is in it."""
        if split not in self.splits:
            allowed = ", ".join(self.splits) or "none, there is no data.yaml with train and val"
            raise ValueError(f"split is {split!r:.60}; allowed: {allowed}.")
        found: dict[str, None] = {}
        for entry in self.splits[split]:
            found |= dict.fromkeys(_images_of(entry, images))
        if not found:
            raise ValueError(
                f"split is {split!r:.60}: no image below '{images.root}' is in {self.splits[split]!r:.200}."
            )
        return list(found)


def _images_of(entry: str, images: ImageFolder) -> list[str]:
    """The images in a folder that data.yaml names relative to somewhere, or of a list of names."""
    parts = [part for part in entry.replace("\\", "/").split("/") if part not in ("", ".", "..")]
    if parts and parts[-1].lower().endswith(".txt"):
        lists = [name for name in files_below(images.root) if name.split("/")[-1] == parts[-1]]
        return _listed(images.root / lists[0], images) if lists else []
    if parts and parts[-1].lower().endswith(SUFFIXES):
        return _found([entry], "data.yaml", images)
    for start in range(len(parts)):  # the first parts may be of another machine
        folder = "".join(f"{part}/" for part in parts[start:])
        if found := [name for name in images.names if name.startswith(folder)]:
            return found
    return [] if parts else list(images.names)


def _listed(path: pathlib.Path, images: ImageFolder) -> list[str]:
    lines = filter(None, map(str.strip, read_text(path, "list of images").splitlines()))
    return _found(lines, f"list of images '{path}'", images)


def _found(entries: Iterable[str], where: str, images: ImageFolder) -> list[str]:
    try:
        return [images.find(entry) for entry in entries]
    except Rejected as error:
        raise ValueError(f"{where}: {error}.") from None


def find_data_file(path: pathlib.Path) -> tuple[pathlib.Path, DataFile]:
    """The folder of a data set, and what it says of itself.

    Args:
      path: the folder, or data.yaml.

    Returns:
      (folder, what is known).

    Raises:
      ValueError: no names of classes, several files with some, or a file that cannot be used.
    """
    if path.is_file():
        return path.parent, _of_yaml(path)
    files = list(files_below(path))
    yamls = [name for name in files if "/" not in name and name.lower().endswith((".yaml", ".yml"))]
    named = {name: content for name in yamls if "names" in (content := _load(path / name))}
    if len(named) > 1:
        raise ValueError(f"input is '{path}' with {' and '.join(sorted(named))}; allowed: one; name it as input.")
    texts = frozenset(name for name in files if name.split("/")[-1].lower() in LISTS)
    if named:
        ((name, _),) = named.items()
        return path, dataclasses.replace(_of_yaml(path / name), other_texts=texts)
    for name in LISTS:
        if (path / name).is_file():
            lines = read_text(path / name, "names of classes", MOST_BYTES).splitlines()
            return path, DataFile(_names([line for line in lines if line.strip()], path / name), other_texts=texts)
    raise ValueError(f"input is '{path}' without names of classes; allowed: with data.yaml (names) or classes.txt.")


def _load(path: pathlib.Path) -> dict:
    """A table in YAML. Aliases, which a few lines can multiply to billions, are refused."""
    text = read_text(path, "data file", MOST_BYTES)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text)):
            raise ValueError("it has aliases")
        content = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"data file is '{path}', which is not plain YAML: {reason}.") from None
    return content if isinstance(content, dict) else {}


def _of_yaml(path: pathlib.Path) -> DataFile:
    content = _load(path)
    names = content.get("names")
    if isinstance(names, dict):
        if sorted(map(repr, names)) != sorted(map(repr, range(len(names)))):
            raise ValueError(f"names of '{path}' have the numbers {shown(list(names)):.60}; allowed: 0, 1, 2, ...")
        names = [names[number] for number in range(len(names))]
    if not isinstance(names, list):
        raise ValueError(f"names of '{path}' are {shown(names):.60}; allowed: a list, or a table by number.")
    splits = {key: _paths(content[key]) for key in ("train", "val", "valid", "test") if content.get(key)}
    names, shape = _names(names, path), _keypoints(content.get("kpt_shape"), path)
    return DataFile(
        names, splits, shape, _joints(content.get("kpt_names"), (len(names), *shape), path) if shape else ()
    )


def _paths(value: Any) -> list[str]:
    return [entry for entry in (value if isinstance(value, list) else [value]) if isinstance(entry, str)]


def _names(names: list, path: pathlib.Path) -> tuple[str, ...]:
    try:  # YAML reads a bare 7 or yes as a number or a truth
        found = tuple(category_name(str(name) if isinstance(name, int | float) else name) for name in names)
    except Rejected as error:
        raise ValueError(f"names of '{path}': {error}.") from None
    if not 0 < len(found) <= MOST_CLASSES or len(set(found)) != len(found):
        raise ValueError(f"names of '{path}' are {shown(found):.60}; allowed: 1 to {MOST_CLASSES} different ones.")
    return found


def _keypoints(shape: Any, path: pathlib.Path) -> tuple[int, ...]:
    if shape is None:
        return ()
    is_pair = isinstance(shape, list) and len(shape) == 2 and all(type(value) is int for value in shape)
    if not is_pair or not 0 < shape[0] <= MOST_KEYPOINTS or shape[1] not in (2, 3):
        raise ValueError(f"kpt_shape of '{path}' is {shown(shape):.60}; allowed: [keypoints, 2 or 3].")
    return tuple(shape)


def _joints(found: Any, sizes: tuple[int, ...], path: pathlib.Path) -> tuple[tuple[str, ...], ...]:
    """The names of the keypoints of each class, given as a list or as a table by number; numbers where it has none."""
    numbered = [f"keypoint {number}" for number in range(1, sizes[1] + 1)]
    lists = [found.get(number, numbered) for number in range(sizes[0])] if isinstance(found, dict) else found
    lists = [numbered] * sizes[0] if found is None else lists
    if not isinstance(lists, list) or len(lists) != sizes[0] or not all(isinstance(names, list) for names in lists):
        raise ValueError(f"kpt_names of '{path}' are {shown(found):.60}; allowed: a list of names for each class.")
    joints = tuple(_names(names, path) for names in lists)
    if any(len(names) != sizes[1] for names in joints):
        raise ValueError(f"kpt_names of '{path}' are {shown(found):.60}; allowed: {sizes[1]} names, as kpt_shape says.")
    return joints
