"""What is compared: each table is a list of rows, each row a list of contestants that are asked in turn."""

import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from turns import Contestant

HERE = pathlib.Path(__file__).resolve().parent
BF16 = "mixed_bfloat16"
SIZES = ((800, 1216), (480, 640), (320, 320))


class Row(NamedTuple):
    """Contestants of one kind of work; the first is what the others are compared with."""

    name: str
    contestants: list[Contestant]


class Table(NamedTuple):
    """Rows made from the two Pythons: ours and torchvision's ("" where there is none)."""

    title: str
    rows: Callable[[str], list[Row]]


def ours(name: str, what: str, **options) -> Contestant:
    """One of `ours.py`."""
    return Contestant(name, [sys.executable, HERE / "ours.py", what, *flags(options)], {"TF_CPP_MIN_LOG_LEVEL": "2"})


def peer(python: str, name: str, what: str, **options) -> list[Contestant]:
    """One of `torchvision_peer.py`, where its Python is known."""
    return [Contestant(name, [python, HERE / "torchvision_peer.py", what, *flags(options)])] if python else []


def flags(options: dict) -> list[str]:
    """{"dtype": "float32"} as a command line has it."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _networks(what: str, sizes: list[dict], modes: dict[str, tuple[str, ...]]) -> Callable[[str], list[Row]]:
    """Ours, torchvision in each mode of a precision, and the machine's peak, for each size and precision."""

    def rows(python):
        made = []
        for size in sizes:
            for dtype, theirs in modes.items():
                others = [
                    one for mode in theirs for one in peer(python, f"torchvision {mode}", what, mode=mode, **size)
                ]
                contestants = [
                    ours("mask_rcnn_tf", what, dtype=dtype, **size),
                    *others,
                    ours("peak", "peak", dtype=dtype),
                ]
                made.append(Row(f"{_size(size)}, {dtype.removeprefix('mixed_')}", contestants))
        return made

    return rows


def _size(size: dict) -> str:
    return f"{size['height']} x {size['width']}, batch {size['batch']}"


def _inference() -> Callable[[str], list[Row]]:
    sizes = [{"height": height, "width": width, "batch": 1} for height, width in SIZES]
    modes = {"float32": ("fp32", "compiled", "compiled_cl"), BF16: ("bf16_cl", "compiled_bf16", "compiled_bf16_cl")}
    return _networks("inference", sizes, modes)


def _batches() -> Callable[[str], list[Row]]:
    sizes = [{"height": 480, "width": 640, "batch": batch} for batch in (1, 4, 8)]
    return _networks("inference", sizes, {"float32": (), BF16: ()})


def _training() -> Callable[[str], list[Row]]:
    sizes = [(480, 640, 1), (256, 256, 2), (800, 1216, 2)]
    sizes = [dict(zip(("height", "width", "batch"), size, strict=True)) for size in sizes]
    return _networks("training", sizes, {"float32": ("fp32", "fp32_cl"), BF16: ("bf16", "bf16_cl")})


def _ways(python: str) -> list[Row]:
    rows = []
    for dtype in ("float32", BF16):
        size = {"height": 480, "width": 640, "batch": 1}
        rows.append(
            Row(f"{_size(size)}, {dtype.removeprefix('mixed_')}", [ours("mask_rcnn_tf", "ways", dtype=dtype, **size)])
        )
    return rows


def _masks(python: str) -> list[Row]:
    size = {"height": 800, "width": 1333, "objects": 100}
    contestants = [ours("mask_rcnn_tf", "masks", **size), *peer(python, "torchvision and pycocotools", "masks", **size)]
    return [Row("100 masks, 800 x 1333", contestants)]


TABLES = {
    "inference": Table("Inference of one image, masks pasted", _inference()),
    "batches": Table("Inference of more images at once", _batches()),
    "training": Table("Training steps", _training()),
    "ways": Table("Ways to predict and to evaluate, in one process", _ways),
    "masks": Table("Masks of detections to run lengths", _masks),
}
