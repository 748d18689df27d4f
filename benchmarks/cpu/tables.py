"""What is compared: each table is a list of rows, each row a list of contestants that are asked in turn."""

import pathlib
import sys
from collections.abc import Callable
from typing import NamedTuple

from turns import Contestant, machine

HERE = pathlib.Path(__file__).resolve().parent
BF16 = "mixed_bfloat16"
SIZES = ((800, 1216), (480, 640), (320, 320))


class Row(NamedTuple):
    """Contestants of one kind of work; the first is what the others are compared with."""

    name: str
    contestants: list[Contestant]
    files: dict[pathlib.Path, list[str]] = {}  # what they read, and the command that writes it where it is not there


class Peers(NamedTuple):
    """The Pythons of other programs; "" where there is none."""

    torch: str = ""
    openvino: str = ""


Rows = Callable[[Peers, pathlib.Path], list[Row]]


class Table(NamedTuple):
    """Rows made for the peers that there are, and the folder of files that they read."""

    title: str
    rows: Rows
    flags: str = "--torch_python tv/bin/python"  # of `run.py`, for all contestants


def ours(name: str, what: str, **options) -> Contestant:
    """One of `ours.py`."""
    return Contestant(name, [sys.executable, HERE / "ours.py", what, *flags(options)], {"TF_CPP_MIN_LOG_LEVEL": "2"})


def peer(python: str, name: str, what: str, **options) -> list[Contestant]:
    """One of `torchvision_peer.py`, where its Python is known."""
    return [Contestant(name, [python, HERE / "torchvision_peer.py", what, *flags(options)])] if python else []


def flags(options: dict) -> list[str]:
    """{"dtype": "float32"} as a command line has it."""
    return [word for name, value in options.items() for word in (f"--{name}", str(value))]


def _networks(what: str, sizes: list[dict], modes: dict[str, tuple[str, ...]]) -> Rows:
    """Ours, torchvision in each mode of a precision, and the machine's peak, for each size and precision.

    A size has "height", "width", "batch", and "heads" where they are not masks.
    """

    def rows(peers, folder):
        made = []
        for size in sizes:
            for dtype, theirs in modes.items():
                others = [
                    one for mode in theirs for one in peer(peers.torch, f"torchvision {mode}", what, mode=mode, **size)
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
    words = [f"{size['height']} x {size['width']}", f"batch {size['batch']}"]
    return ", ".join([*words, size["heads"]] if "heads" in size else words)


def _inference() -> Rows:
    sizes = [{"height": height, "width": width, "batch": 1} for height, width in SIZES]
    sizes += [size | {"heads": "keypoints"} for size in sizes]
    modes = {"float32": ("fp32", "compiled", "compiled_cl"), BF16: ("bf16_cl", "compiled_bf16", "compiled_bf16_cl")}
    return _networks("inference", sizes, modes)


def _batches() -> Rows:
    sizes = [{"height": 480, "width": 640, "batch": batch} for batch in (1, 4, 8)]
    return _networks("inference", sizes, {"float32": (), BF16: ()})


def _training() -> Rows:
    sizes = [(480, 640, 1), (256, 256, 2), (800, 1216, 2)]
    sizes = [dict(zip(("height", "width", "batch"), size, strict=True)) for size in sizes]
    return _networks(
        "training", sizes, {"float32": ("fp32", "fp32_cl", "compiled"), BF16: ("bf16", "bf16_cl", "compiled_bf16")}
    )


def _ways(peers: Peers, folder: pathlib.Path) -> list[Row]:
    rows = []
    for dtype in ("float32", BF16):
        size = {"height": 480, "width": 640, "batch": 1}
        rows.append(
            Row(f"{_size(size)}, {dtype.removeprefix('mixed_')}", [ours("mask_rcnn_tf", "ways", dtype=dtype, **size)])
        )
    return rows


def _runtimes(peers: Peers, folder: pathlib.Path) -> list[Row]:
    """ONNX Runtime reads the form of any size, OpenVINO the one on a canvas; bfloat16 where the processor has it.

    OpenVINO makes bfloat16 of the float32 file itself; what is not int8 in an int8 one is float32.
    """
    half = ("bfloat16",) if {"avx512_bf16", "amx_bf16"} & set(machine()["features"]) else ()
    runtimes = (
        ("ONNX Runtime", sys.executable, 0, ("float32", "int8")),
        ("OpenVINO", peers.openvino, 1, ("float32", *half, "int8")),
    )
    rows = []
    for height, width in SIZES[:2]:
        size, files = {"height": height, "width": width, "batch": 1}, {}
        contestants = [ours("mask_rcnn_tf", "detections", **size)]
        contestants += [ours(f"mask_rcnn_tf {dtype}", "detections", dtype=f"mixed_{dtype}", **size) for dtype in half]
        for runtime, python, canvas, dtypes in runtimes:
            for dtype in dtypes if python else ():
                written, rest = ("int8", "float32") if dtype == "int8" else ("float32", dtype)
                path = folder / f"r50_fpn_{height}x{width}_{'canvas' if canvas else 'any'}_{written}.onnx"
                files[path] = ours("", "onnx_file", **size, dtype=written, canvas=canvas, file=path).command
                options = flags(size | {"file": path, "dtype": rest})
                what = [python, HERE / "onnx_peer.py", runtime.lower().replace(" ", ""), *options]
                contestants.append(Contestant(f"{runtime} {dtype}", what))
        rows.append(Row(_size(size), [*contestants, ours("peak", "peak")], files))
    return rows


GROWTH = {  # options of `growing` that grow together, and what they are then
    "megapixels": [{"height": side, "width": side} for side in (320, 480, 640, 800, 1024, 1440, 2048)],
    "images": [{"batch": batch} for batch in (1, 2, 4, 8, 16)],
    "objects": [{"objects": objects} for objects in (1, 10, 50, 100, 200, 500)],
    "classes": [{"classes": classes} for classes in (1, 20, 80, 365, 1203)],
}
GROWING = {"detections": ("megapixels", "images", "classes"), "training step": tuple(GROWTH)}
LEAST = {"height": 320, "width": 320, "batch": 1, "objects": 10, "classes": 80}


def _scale(peers: Peers, folder: pathlib.Path) -> list[Row]:
    """A row for each value, or the largest would be in memory together."""
    rows = []
    for work, axes in GROWING.items():
        for axis in axes:
            for values in GROWTH[axis]:
                size = LEAST | values
                name = f"{work}, {axis}: {' x '.join(map(str, values.values()))}"
                rows.append(Row(name, [ours("mask_rcnn_tf", "growing", work=work, axis=axis, **size)]))
    return rows


def _reading(peers: Peers, folder: pathlib.Path) -> list[Row]:
    files = {"images": 64, "batch": 2}
    contestants = [
        ours("mask_rcnn_tf, masks in boxes", "reading", **files),
        *peer(peers.torch, "torchvision CocoDetection, transforms v2", "reading", **files),
        ours("mask_rcnn_tf, masks on the canvas", "reading", frame="canvas", **files),
    ]
    return [Row("64 images of 480 x 640 to 800 x 1067, 7 masks each", contestants)]


def _scoring(peers: Peers, folder: pathlib.Path) -> list[Row]:
    kinds = {"boxes": "bbox", "masks": "segm"}
    return [
        Row(f"{name} of 5000 images, 50 of each", [ours("mask_rcnn_tf", "scoring", images=5000, kind=kind)])
        for name, kind in kinds.items()
    ]


def _masks(peers: Peers, folder: pathlib.Path) -> list[Row]:
    size = {"height": 800, "width": 1333, "objects": 100}
    contestants = [
        ours("mask_rcnn_tf", "masks", **size),
        *peer(peers.torch, "torchvision and pycocotools", "masks", **size),
    ]
    return [Row("100 masks, 800 x 1333", contestants)]


TABLES = {
    "inference": Table("Inference of one image, masks pasted", _inference()),
    "batches": Table("Inference of more images at once", _batches()),
    "runtimes": Table(
        "Detections of one image by other runtimes, of our ONNX files", _runtimes, "--openvino_python ov/bin/python"
    ),
    "training": Table("Training steps", _training()),
    "scale": Table("What grows with what", _scale, ""),
    "ways": Table("Ways to predict and to evaluate, in one process", _ways, ""),
    "reading": Table("Images and masks from files to batches", _reading),
    "scoring": Table("Scoring of results, by pycocotools and by faster-coco-eval", _scoring, ""),
    "masks": Table("Masks of detections to run lengths", _masks),
}
