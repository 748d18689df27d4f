"""Which image files there are to predict: those a COCO file lists, or those of paths, folders and glob patterns."""

import collections
import dataclasses
import glob
import os
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np

from mask_rcnn_tf.coco import pictures
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.ops.decode_image import MAX_PIXELS
from mask_rcnn_tf.ops.stored_images import image_format
from mask_rcnn_tf.pixels import RGB, PixelKind

SUFFIXES = (".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
HEAD = 16  # bytes that tell the format
LONGEST = 200  # bytes of a name that a picture's name keeps: 255 is what file systems take
NOT_READ = "is not read: convert it to PNG or JPEG"
# (bytes, where they stand, what they begin); of the last kind there are several brands
OTHERS = (
    (b"ftypavif", 4, f"AVIF {NOT_READ}"),
    (b"ftyp", 4, f"HEIC (or a video) {NOT_READ}"),
    (b"\0\0\0\x0cjP", 0, f"JPEG 2000 {NOT_READ}"),
    (b"\0\0\0\x0cJXL", 0, f"JPEG XL {NOT_READ}"),
    (b"\xff\x0a", 0, f"JPEG XL {NOT_READ}"),
    (b"8BPS", 0, f"Photoshop's format {NOT_READ}"),
    (b"%PDF", 0, f"PDF {NOT_READ}"),
    (b"SIMPLE", 0, f"FITS {NOT_READ}"),
)


@dataclasses.dataclass
class ImageFile:
    """An image to predict; `shape` is (h, w) where a COCO file says it, else None."""

    image_id: int
    path: pathlib.Path
    file_name: str
    shape: tuple[int, int] | None = None


def find_images(*sources: str | os.PathLike) -> list[ImageFile]:
    """Image files of paths, folders or glob patterns (`**` goes into subfolders), sorted, numbered from 1.

    What an image is, its first bytes say; a file that has the name of one and other bytes is taken too, as damaged.

    Args:
      sources: paths of files, of folders (their own image files, without .npy), or glob patterns.

    Returns:
      The files, each once; `file_name` is relative to the deepest folder that holds them all.

    Raises:
      ValueError: there are none.
    """
    paths = sorted({path for path, reason in _candidates(sources) if not reason})
    if not paths:
        shown = repr(os.fspath(sources[0])) if len(sources) == 1 else f"{len(sources)} paths"
        home = (
            any(os.fspath(source).startswith("~") for source in sources) * " The shell reads ~ only in front of a word."
        )
        raise ValueError(f"input is {shown}; there are no image files ({', '.join(SUFFIXES)} in a folder).{home}")
    root = os.path.commonpath([path.parent.absolute() for path in paths])
    return [ImageFile(i, path, os.path.relpath(path, root)) for i, path in enumerate(paths, start=1)]


def picture_paths(files: Sequence[ImageFile], folder: pathlib.Path) -> dict[int, pathlib.Path]:
    """Where pictures of predicted files go, by the files' ids: the file's name behind its number, cut where it is long.

    Raises:
      ValueError: a picture would replace one of the files.
    """
    names = {file.image_id: os.fsdecode(os.fsencode(file.path.stem)[:LONGEST]) for file in files}
    paths = {number: folder / f"{number:04d}_{name}.jpg" for number, name in names.items()}
    replaced = {os.path.realpath(path) for path in paths.values()} & {os.path.realpath(file.path) for file in files}
    if replaced:
        name = printable(os.path.basename(min(replaced)))
        raise ValueError(f"output is {str(folder)!r}; {name}, an image, would be replaced there.")
    return paths


def passed_over(*sources: str | os.PathLike) -> dict[str, list[str]]:
    """The files that `find_images` leaves out: {reason: names}."""
    groups = collections.defaultdict(list)
    for path, reason in sorted(set(_candidates(sources))):
        if reason:
            groups[reason].append(printable(path.name))
    return dict(groups)


def _candidates(sources) -> Iterator[tuple[pathlib.Path, str]]:
    """Each file and why it is no image to predict, "" where it is one. Folders in folders are not entered."""
    for source in sources:
        is_folder = os.path.isdir(source)
        if is_folder:
            found = list(pathlib.Path(source).iterdir())
        elif os.path.lexists(source):
            found = [pathlib.Path(source)]
        else:
            found = [pathlib.Path(path) for path in glob.glob(os.fspath(source), recursive=True)]
        yield from ((path, _reason(path, is_folder)) for path in found if not path.is_dir())


def _reason(path: pathlib.Path, of_folder: bool) -> str:
    named_so = path.suffix.lower() in SUFFIXES and not path.name.startswith(".")
    if not path.is_file():
        return "" if named_so and path.is_symlink() else "not a regular file"
    try:
        with path.open("rb") as file:
            head = file.read(HEAD)
    except OSError:
        return "" if named_so else "cannot be read"
    form = image_format(head)
    if form == "NPY" and of_folder:  # beside images lie arrays of other things
        return "an array; name it, or give 'folder/*.npy'"
    if form:
        return ""
    for magic, start, reason in OTHERS:
        if head[start:].startswith(magic):
            return reason
    return "" if named_so else "no image"


def list_images(ground_truth: dict, folder: str) -> list[ImageFile]:
    """Image files of a COCO file, in its order, with its ids and sizes."""
    root = pathlib.Path(folder)
    return [
        ImageFile(image["id"], root / image["file_name"], image["file_name"], (image["height"], image["width"]))
        for image in ground_truth["images"]
    ]


def read_image(
    path: str | os.PathLike,
    shape: tuple[int, int] | None = None,
    kind: PixelKind = RGB,
    max_pixels: int = MAX_PIXELS,
) -> np.ndarray:
    """Decodes an image file, JPEG as Pillow does, turned as `coco.pictures` says.

    Args:
      path: JPEG, PNG, TIFF, WebP, BMP, GIF (its first frame) or .npy.
      shape: the (h, w) it must have, or None: then it is turned as people see it.
      kind: what the pixels are to be.
      max_pixels: h * w that it may have.

    Returns:
      `kind.dtype` [h, w, channels].

    Raises:
      ValueError: there is no such file, it does not decode, or it has another size.
    """
    return pictures.read_pixels(path, shape, kind, max_pixels)[0]
