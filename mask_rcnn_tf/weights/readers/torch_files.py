"""Files of `torch.save`, the zip format and the one before it, without torch.

Both hold a pickle, in which a storage is a persistent id and a tensor a call with storage, offset, size and stride,
and the bytes of the storages.

Source: `torch/serialization.py` (`_save`, `_legacy_save`, `_legacy_load`), `torch/_utils.py` (`_rebuild_*`).
"""

import dataclasses
import io
import math
import mmap
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers import pickled_arrays, raw_arrays
from mask_rcnn_tf.weights.readers.pickles import Global, Inert, interpret
from mask_rcnn_tf.weights.readers.raw_arrays import Budget, check_size, count_elements, describe

LEGACY_MAGIC = b"\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."  # the pickle of 0x1950A86A20F9469CFC6C
LEGACY_PROTOCOL = 1001
STORAGES = {
    "DoubleStorage": "f8",
    "FloatStorage": "f4",
    "HalfStorage": "f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "i8",
    "IntStorage": "i4",
    "ShortStorage": "i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "b1",
}
# Types of the tensors of `_rebuild_tensor_v3`, whose storages are untyped.
DTYPES = {"torch uint16": "u2", "torch uint32": "u4", "torch uint64": "u8"}
OTHER_DTYPES = "float64 float32 float16 bfloat16 int64 int32 int16 int8 uint8 bool".split()


@dataclasses.dataclass(frozen=True)
class _Storage(Inert):
    """A persistent id: `count` elements of the stored bytes `key`, from `start` on; the file must have `total`."""

    key: str
    element: str
    total: int
    start: int
    count: int


@dataclasses.dataclass(frozen=True)
class _Tensor(pickled_arrays.ArrayInFile):
    """A view of a storage, not yet read."""

    storage: _Storage
    element: str
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]
    file: "_TorchPickle"

    def array(self) -> np.ndarray:
        self.file.budget.spend(math.prod(self.size) * raw_arrays.ELEMENT_BYTES[self.element])
        data = self.file.load(self.storage)
        view = raw_arrays.view_bytes(data, self.element, self.file.big_endian, self.size, self.stride, self.offset)
        return raw_arrays.convert(np.array(view, order="C"), self.element)  # a copy: the file is unmapped


class _TorchPickle:
    """What the pickle of a torch file may name, and where its storages are."""

    def __init__(self, file_bytes: int, big_endian: bool):
        self.budget, self.big_endian = Budget(file_bytes), big_endian
        self.load: Callable[[_Storage], memoryview] | None = None  # set once the storages are found
        self.storages: dict[str, _Storage] = {}
        names = {f"torch._utils _rebuild_{name}": self._tensor for name in ("tensor", "tensor_v2")}
        names["torch._utils _rebuild_tensor_v3"] = self._untyped_tensor
        names["torch._utils _rebuild_parameter"] = self._first
        names["torch._utils _rebuild_parameter_with_state"] = self._first
        names["torch._tensor _rebuild_from_type_v2"] = self._typed
        names |= {
            "torch Size": Inert,
            "torch device": Inert,
            "torch Tensor": None,
            "torch.nn.parameter Parameter": None,
        }
        names |= dict.fromkeys((*DTYPES, *(f"torch {name}" for name in OTHER_DTYPES)))
        for storage in (*STORAGES, "UntypedStorage"):
            names |= dict.fromkeys((f"torch {storage}", f"torch.cuda {storage}", f"torch.storage {storage}"))
        names = {name: Global(name.replace(" ", "."), call) for name, call in names.items()}
        self.names = pickled_arrays.make_names(self.budget) | names

    def _tensor(self, storage: Any, offset: Any, size: Any, stride: Any, *_: Any) -> _Tensor:
        if not isinstance(storage, _Storage):
            raise CheckpointError(f"a tensor must have a storage, got {describe(storage)}")
        return self._view(storage, storage.element, storage.start, storage.count, offset, size, stride)

    def _untyped_tensor(
        self, storage: Any, offset: Any, size: Any, stride: Any, _gradient: Any, _hooks: Any, dtype: Any, *_: Any
    ) -> _Tensor:
        element = DTYPES.get(dtype.name.replace(".", " ")) if isinstance(dtype, Global) else None
        if not isinstance(storage, _Storage) or storage.element != "u1" or element is None:
            raise CheckpointError(f"a tensor of {dtype.name if isinstance(dtype, Global) else describe(dtype)}")
        count = storage.count // raw_arrays.ELEMENT_BYTES[element]
        return self._view(storage, element, 0, count, offset, size, stride)

    def _view(self, storage, element: str, start: int, count: int, offset: Any, size: Any, stride: Any) -> _Tensor:
        elements = count_elements(size)
        count_elements(stride)
        check_size("a tensor's offset", offset)
        if len(size) != len(stride):
            raise CheckpointError(f"a tensor has {len(size)} dimensions and {len(stride)} strides")
        last = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True))
        if elements and last >= count:
            raise CheckpointError(f"a tensor of shape {tuple(size)} reaches element {last} of a storage of {count}")
        if not elements:
            start, offset, stride = 0, 0, (0,) * len(size)
        return _Tensor(storage, element, start + offset, tuple(size), tuple(stride), self)

    @staticmethod
    def _first(tensor: Any, *_: Any) -> Any:
        """A parameter is its tensor."""
        return tensor

    def _typed(self, function: Any, _: Any, arguments: Any, *_state: Any) -> Any:
        """A tensor with attributes of its own: made by another of these calls."""
        plain = (self._tensor, self._untyped_tensor, self._first)
        if not isinstance(function, Global) or function.call not in plain or type(arguments) is not tuple:
            raise CheckpointError(f"a tensor must be made by torch's _rebuild_tensor, got {describe(function)}")
        return function.call(*arguments)

    def storage(self, identifier: Any) -> _Storage:
        """The storage of a persistent id: ("storage", type, key, device, elements[, None or (key, start, count)])."""
        if type(identifier) is not tuple or len(identifier) not in (5, 6) or identifier[0] != "storage":
            raise CheckpointError("a persistent id that is no storage (of a model, save its state_dict)")
        kind, key, total = identifier[1], identifier[2], identifier[4]
        name = kind.name.rpartition(".")[2] if isinstance(kind, Global) else ""
        element = "u1" if name == "UntypedStorage" else STORAGES.get(name)
        if element is None or not isinstance(key, str):
            raise CheckpointError(f"a storage of {name or describe(kind)} with key {describe(key)}")
        check_size("a storage's number of elements", total)
        start, count = 0, total
        if len(identifier) == 6 and identifier[5] is not None:  # a part of another storage: before torch 0.4
            _, start, count = identifier[5]
            check_size("a storage's start", start)
            check_size("a storage's number of elements", count)
            if start + count > total:
                raise CheckpointError(f"a storage of {total} elements has no elements {start} to {start + count}")
        storage = _Storage(key, element, total, start, count)
        known = self.storages.setdefault(key, storage)
        if (known.element, known.total) != (element, total):
            raise CheckpointError(f"storage {describe(key)} is given two types or sizes")
        return storage


def read_torch_zip(file: BinaryIO, mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """The tensors of a file of `torch.save` (torch 1.6 and later).

    Args:
      file: the open file.
      mapped: the same.

    Raises:
      CheckpointError: it is damaged, or holds something else.
      zipfile.BadZipFile: it is no zip file.
    """
    archive = zipfile.ZipFile(file)
    names = archive.namelist()
    roots = [name.removesuffix("data.pkl") for name in names if re.fullmatch("[^/]*/data.pkl", name)]
    if len(roots) != 1 or len(set(names)) != len(names):
        held = ", ".join(describe(name) for name in names[:4])
        raise CheckpointError(
            f"a zip file, but not of torch.save: needed is one */data.pkl; it holds {held or 'nothing'}"
        )
    (root,) = roots
    if root + "constants.pkl" in names:
        raise CheckpointError("a TorchScript program; needed: torch.save(model.state_dict(), ...)")
    order = bytes(_member(archive, mapped, root + "byteorder")) if root + "byteorder" in names else b"little"
    if order not in (b"little", b"big"):
        raise CheckpointError(f"byteorder must be 'little' or 'big', got {describe(order)}")
    pickle = _TorchPickle(len(mapped), order == b"big")
    content = interpret(io.BytesIO(_member(archive, mapped, root + "data.pkl")), pickle.names, pickle.storage)
    read = {}

    def load(storage: _Storage) -> memoryview:
        if storage.key not in read:
            read[storage.key] = _member(archive, mapped, f"{root}data/{storage.key}")
        return _checked(read[storage.key], storage)

    pickle.load = load
    return pickled_arrays.named_arrays(content)


def _checked(data: memoryview, storage: _Storage) -> memoryview:
    needed = storage.total * raw_arrays.ELEMENT_BYTES[storage.element]
    if len(data) != needed:
        raise CheckpointError(f"storage {describe(storage.key)} needs {needed} bytes, the file has {len(data)}")
    return data


def _member(archive: zipfile.ZipFile, mapped: mmap.mmap, name: str) -> memoryview:
    """The bytes of a member in place; torch compresses none. The checksum finds what was damaged on the way."""
    if name not in archive.NameToInfo:
        raise CheckpointError(f"its member {describe(name)} is missing")
    info = archive.getinfo(name)
    if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 or info.compress_size != info.file_size:
        raise CheckpointError(f"its member {describe(name)} is compressed or encrypted, which torch.save does not do")
    header = info.header_offset
    if header < 0 or mapped[header : header + 4] != b"PK\x03\x04" or header + 30 > len(mapped):
        raise CheckpointError(f"its member {describe(name)} has no header")
    start = header + 30 + sum(struct.unpack("<HH", mapped[header + 26 : header + 30]))  # name, extra field
    data = memoryview(mapped)[start : start + info.file_size]
    if len(data) != info.file_size or zlib.crc32(data) != info.CRC:
        raise CheckpointError(f"its member {describe(name)} does not have its length and checksum: a damaged file")
    return data


def read_torch_legacy(mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """The tensors of a file of `torch.save` before torch 1.6, or with `_use_new_zipfile_serialization=False`.

    It is five pickles (magic number, version, system, object, keys of the storages), then each storage: its number
    of elements as int64, and the elements.

    Args:
      mapped: the file.

    Raises:
      CheckpointError: it is damaged, or holds something else.
    """
    interpret(mapped, {})  # the magic number
    version, system = interpret(mapped, {}), interpret(mapped, {})
    if version != LEGACY_PROTOCOL or not isinstance(system, dict):
        raise CheckpointError(f"torch's protocol must be {LEGACY_PROTOCOL}, got {describe(version)}")
    pickle = _TorchPickle(len(mapped), system.get("little_endian") is False)
    content = interpret(mapped, pickle.names, pickle.storage)
    keys = interpret(mapped, {})
    if not isinstance(keys, list) or not all(isinstance(key, str) for key in keys):
        raise CheckpointError(f"the list of storages must be strings, got {describe(keys)}")
    data, position, view = {}, mapped.tell(), memoryview(mapped)
    for key in keys:
        if key not in pickle.storages or key in data:
            raise CheckpointError(f"storage {describe(key)} is unknown or stored twice")
        storage = pickle.storages[key]
        end = position + 8 + storage.total * raw_arrays.ELEMENT_BYTES[storage.element]
        count = int.from_bytes(view[position : position + 8], "little")
        if count != storage.total or end > len(view):
            raise CheckpointError(
                f"storage {describe(key)} of {storage.total} elements is cut off or damaged: it claims {count} "
                f"elements, and {max(0, len(view) - position - 8)} bytes are left"
            )
        data[key], position = view[position + 8 : end], end

    def load(storage: _Storage) -> memoryview:
        if storage.key not in data:
            raise CheckpointError(f"storage {describe(storage.key)} is not in the file")
        return data[storage.key]

    pickle.load = load
    return pickled_arrays.named_arrays(content)
