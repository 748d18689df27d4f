"""Reads a checkpoint of another project into named NumPy arrays. Nothing in the file is run.

| file | recognised by |
| --- | --- |
| torch .pth, since 1.6 | zip |
| torch .pth, before 1.6 | a pickled magic number |
| .pkl of Detectron2, Detectron, MSRA | a pickle of protocol 0 to 5 |
| Keras 2 .h5 | the signature of HDF5 |
| .safetensors | the length of a JSON header |
"""

import dataclasses
import mmap
import os
import re
import stat
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers import h5_files, pickled_arrays, raw_arrays, safetensors_files, torch_files
from mask_rcnn_tf.weights.readers.raw_arrays import describe

FORMATS = "torch .pth (zip or legacy), .pkl (Detectron2, Detectron, MSRA), Keras 2 .h5, .safetensors"
LONGEST_HEADER = 100_000_000  # of .safetensors, as its package has it
TEXT_PICKLE = re.compile(rb"\(d|\(l|\}[q(r}.]|c[\w.]+\n\w+\n")  # protocols 0 and 1 begin without a mark of their own
# What wrappers put before every name: DataParallel, torch.compile, and the attribute that Lightning modules and many
# scripts keep the model in.
WRAPPED = re.compile(r"(?:(?:module|_orig_mod|model|net)\.)+")
SHOWN = 5
PART = 2**24  # elements that are looked at at once


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """What a file holds.

    Args:
      arrays: name -> array of floats, integers or bool, native byte order, C order; bfloat16 as float32. It may be
        read-only.
      prefix: what was taken off every name, "" for nothing.
      metadata: texts beside the tensors (.safetensors).
    """

    arrays: dict[str, np.ndarray]
    prefix: str = ""
    metadata: dict[str, str] = dataclasses.field(default_factory=dict)


def read_checkpoint(path: str | os.PathLike) -> Checkpoint:
    """The named arrays of a checkpoint file, recognised by its content.

    Dictionaries around the weights are entered, what is no array is left out (`pickled_arrays.named_arrays`), and the
    prefixes of wrapped models are taken off if every name has them (`WRAPPED`). Otherwise names are those of the file,
    of HDF5 the last two parts of the path.

    Args:
      path: the file.

    Returns:
      `Checkpoint`.

    Raises:
      CheckpointError: no such file, an unknown format, a file that is damaged or asks for anything but arrays, or a
        tensor that is not finite.
    """
    try:
        arrays, metadata = _read(os.fspath(path))
        prefix = _common_prefix(arrays)
        arrays = {name[len(prefix) :]: array for name, array in arrays.items()}
        _check(arrays)
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from error
    except Exception as error:  # a damaged file makes parsers fail in any way, MemoryError and RecursionError too
        reason = str(error).strip().splitlines()[:1] or ["no message"]
        message = f"not readable, perhaps damaged ({type(error).__name__}: {ascii(reason[0])[1:-1][:200]})"
        raise CheckpointError(f"{path}: {message}") from error
    return Checkpoint(arrays, prefix, metadata)


def _common_prefix(names: Iterable[str]) -> str:
    """All the prefixes of `WRAPPED` that every name begins with, one after the other."""
    matches = map(WRAPPED.match, names)
    common = os.path.commonprefix([match[0] if match else "" for match in matches])
    return common[: common.rfind(".") + 1]


def _read(path: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """Arrays by name, and metadata."""
    if not os.path.exists(path):
        raise CheckpointError("no such file")
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise CheckpointError("not a file; needed: one checkpoint file")
    if not os.path.getsize(path):
        raise CheckpointError("the file is empty")
    with open(path, "rb") as file:
        # Not closed here: an error's frames may still hold views of it.
        return _read_mapped(path, file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))


def _read_mapped(path: str, file: BinaryIO, mapped: mmap.mmap) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    start = mapped[:512]
    if start.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return torch_files.read_torch_zip(file, mapped), {}
    if start.startswith(b"\x89HDF\r\n\x1a\n"):
        return h5_files.read_h5(path), {}
    if start[8:9] == b"{" and int.from_bytes(start[:8], "little") <= LONGEST_HEADER:
        return safetensors_files.read_safetensors(path, mapped)
    if torch_files.LEGACY_MAGIC in start[:64]:
        return torch_files.read_torch_legacy(mapped), {}
    if (start[0] == 0x80 and start[1:2] <= b"\x05") or TEXT_PICKLE.match(start):
        return pickled_arrays.read_pickle(mapped), {}
    if start[257:262] == b"ustar":
        raise CheckpointError("a tar file, torch's format before 0.2; load and save it with a newer torch")
    raise CheckpointError(f"unknown content, it begins with {start[:16]!r}; allowed: {FORMATS}")


def _check(arrays: dict[str, np.ndarray]) -> None:
    """The same for every format: something is there, under printable names, and finite."""
    if not arrays:
        raise CheckpointError("no tensors in it")
    if len(arrays) > raw_arrays.MOST_TENSORS:
        raise CheckpointError(f"{len(arrays)} tensors in it; allowed: at most {raw_arrays.MOST_TENSORS}")
    unprintable = [name for name in arrays if not name.isprintable() or not name]
    if unprintable:
        raise CheckpointError(f"{len(unprintable)} names of tensors are not printable: {_some(unprintable)}")
    broken = [name for name, array in arrays.items() if array.dtype.kind == "f" and not _is_finite(array)]
    if broken:
        raise CheckpointError(f"{len(broken)} tensors have values that are not finite: {_some(broken)}")


def _is_finite(array: np.ndarray) -> bool:
    flat = array.reshape(-1)
    return all(np.isfinite(flat[start : start + PART]).all() for start in range(0, flat.size, PART))


def _some(names: list[str]) -> str:
    return ", ".join(describe(name) for name in names[:SHOWN]) + (", ..." if len(names) > SHOWN else "")
