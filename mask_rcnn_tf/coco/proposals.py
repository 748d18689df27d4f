"""The file of stored proposals: boxes without classes of every image of a COCO file, written and read.

It is NumPy's .npz with `image_ids` int64 [I] ascending, `shapes` int32 [I, 2] (h, w) of the images, `counts` int64 [I],
`boxes` float32 [n, 4] ([y1, x1, y2, x2], pixels of the image, image after image, best first) and `scores` float32 [n].
"""

import os
import zipfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from mask_rcnn_tf import whole_files

# {name: (kind of number, axes)}
ARRAYS = {"image_ids": ("i", 1), "shapes": ("i", 2), "counts": ("i", 1), "boxes": ("f", 2), "scores": ("f", 1)}
SHOWN = 3


class Proposals(NamedTuple):
    """What a file holds, its arrays as above; `starts` int64 [I + 1] are the rows where images begin."""

    path: str
    image_ids: np.ndarray
    shapes: np.ndarray
    starts: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray

    def of_image(self, image_id: int) -> np.ndarray:
        """Boxes float32 [n, 4] of an image, which must be there (`check_images`)."""
        row = int(np.searchsorted(self.image_ids, image_id))
        return self.boxes[self.starts[row] : self.starts[row + 1]]


def write(path: str | os.PathLike, images: Iterable[tuple[int, tuple[int, int], np.ndarray, np.ndarray]]):
    """Writes a file, whole or not at all.

    Args:
      path: of the .npz file.
      images: (id, (h, w), boxes float32 [n, 4], scores float32 [n]) of each, in any order.
    """
    rows = sorted(images, key=lambda row: row[0])
    ids, shapes, boxes, scores = zip(*rows, strict=True) if rows else ((), (), (), ())
    arrays = {
        "image_ids": np.array(ids, np.int64),
        "shapes": np.array(shapes, np.int32).reshape(-1, 2),
        "counts": np.array([len(each) for each in boxes], np.int64),
        "boxes": np.concatenate([np.zeros((0, 4), np.float32), *boxes]).astype(np.float32),
        "scores": np.concatenate([np.zeros(0, np.float32), *scores]).astype(np.float32),
    }
    with whole_files.replacing(path) as partial, partial.open("wb") as file:
        np.savez(file, **arrays)


def read(path: str | os.PathLike, name: str = "proposals") -> Proposals:
    """Reads a file and checks that it holds together; nothing in it is run.

    Args:
      path: of the .npz file.
      name: of the argument that has the path, in messages.

    Raises:
      ValueError: in one line: there is no such file, or it is none of proposals.
    """
    where = f"{name} is {os.fspath(path)!r}"
    if not os.path.isfile(path):
        raise ValueError(f"{where}; there is no such file.")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {key: file[key] for key in ARRAYS}
    except (ValueError, KeyError, OSError, EOFError, AttributeError, zipfile.BadZipFile, MemoryError) as error:
        reason = " ".join(str(error).split())
        raise ValueError(
            f"{where}, no file of proposals ({reason:.100}); tools/write_proposals.py makes one."
        ) from None
    if wrong := _what_is_wrong(arrays):
        raise ValueError(f"{where}, a damaged file of proposals: {wrong}.")
    starts = np.concatenate([[0], np.cumsum(arrays["counts"])]).astype(np.int64)
    boxes, scores = (np.asarray(arrays[key], np.float32) for key in ("boxes", "scores"))
    return Proposals(os.fspath(path), arrays["image_ids"].astype(np.int64), arrays["shapes"], starts, boxes, scores)


def _what_is_wrong(arrays: dict[str, np.ndarray]) -> str:
    """Of the arrays of a file, in words; "" where nothing is."""
    for name, (kind, axes) in ARRAYS.items():
        if arrays[name].dtype.kind != kind or arrays[name].ndim != axes:
            return f"{name} is {arrays[name].dtype} {list(arrays[name].shape)}"
    ids, shapes, counts, boxes, scores = (arrays[name] for name in ARRAYS)
    if not len(ids) == len(shapes) == len(counts) or shapes.shape[1:] != (2,) or boxes.shape[1:] != (4,):
        return "its arrays are not of the same images"
    if (counts < 0).any() or not counts.sum() == len(boxes) == len(scores):
        return f"counts add up to {counts.sum()}, boxes are {len(boxes)}, scores {len(scores)}"
    if (np.diff(ids) <= 0).any():
        return "image_ids do not ascend"
    if not (np.isfinite(boxes).all() and np.isfinite(scores).all()):
        return "a box or a score is not finite"
    return "" if (boxes[:, 2:] >= boxes[:, :2]).all() else "a box ends before it begins"


def check_images(proposals: Proposals, images: Sequence[tuple[int, int, int]], name: str = "proposals"):
    """Makes sure before anything is trained or scored that a file has the proposals of these images.

    Args:
      proposals: of `read`.
      images: (id, height, width) of each, as an annotation file has them.
      name: of the argument that has the path, in messages.

    Raises:
      ValueError: images are missing, or have other sizes; the first are named.
    """
    shapes = dict(zip(proposals.image_ids.tolist(), map(tuple, proposals.shapes.tolist()), strict=True))
    missing = [number for number, _, _ in images if number not in shapes]
    if missing:
        raise ValueError(
            f"{name} is {proposals.path!r}, which lacks {len(missing)} of {len(images)} images (ids "
            f"{', '.join(map(str, missing[:SHOWN]))}{', ...' if len(missing) > SHOWN else ''}); allowed: proposals of "
            "all images of the annotations."
        )
    other = [(number, (h, w)) for number, h, w in images if shapes[number] != (h, w)]
    if other:
        number, size = other[0]
        raise ValueError(
            f"{name} is {proposals.path!r}, in which {len(other)} of {len(images)} images have other sizes than the "
            f"annotations say (image {number}: {shapes[number]} there, {size} here, h and w); allowed: the same images."
        )
