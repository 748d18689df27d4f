"""Writes checkpoint files of other projects, without those projects: torch (zip, legacy), pickles, Keras HDF5.

The torch writers put out the opcodes themselves, because `pickle` writes a name only if it can import it. What they
write, `torch.load` reads (torch 2.13, tried).
"""

import collections
import dataclasses
import pickle
import struct
import zipfile

import h5py
import numpy as np

STORAGES = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
}
LEGACY_MAGIC, LEGACY_PROTOCOL = 0x1950A86A20F9469CFC6C, 1001


@dataclasses.dataclass
class Strided:
    """A torch tensor that is a view: `storage` [N], the first element, and sizes and strides in elements."""

    storage: np.ndarray
    offset: int
    size: tuple
    stride: tuple


@dataclasses.dataclass
class Name:
    """A name that a pickle asks for."""

    module: str
    name: str


@dataclasses.dataclass
class Call:
    """REDUCE: `function`, a `Name`, with `arguments`; then BUILD with `state`, unless that is None."""

    function: Name
    arguments: tuple
    state: object = None


@dataclasses.dataclass
class PersistentId:
    """BINPERSID."""

    value: tuple


def opcodes(value) -> bytes:
    """The pickle of a value (protocol 2), without PROTO and STOP."""
    if value is None or isinstance(value, bool):
        return {None: b"N", True: b"\x88", False: b"\x89"}[value]
    if isinstance(value, int):
        size = value.bit_length() // 8 + 1
        return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)
    if isinstance(value, float):
        return b"G" + struct.pack(">d", value)
    if isinstance(value, str):
        return b"X" + struct.pack("<I", len(value.encode())) + value.encode()
    if isinstance(value, list | tuple):
        items = b"".join(map(opcodes, value))
        return b"](" + items + b"e" if isinstance(value, list) else b"(" + items + b"t"
    if isinstance(value, dict):
        kind = b"ccollections\nOrderedDict\n)R" if isinstance(value, collections.OrderedDict) else b"}"
        return kind + b"(" + b"".join(opcodes(key) + opcodes(item) for key, item in value.items()) + b"u"
    if isinstance(value, Name):
        return f"c{value.module}\n{value.name}\n".encode()
    if isinstance(value, PersistentId):
        return opcodes(value.value) + b"Q"
    built = b"" if value.state is None else opcodes(value.state) + b"b"
    return opcodes(value.function) + opcodes(value.arguments) + b"R" + built


def pickled(value) -> bytes:
    """The whole pickle of a value, with `Name`, `Call` and `PersistentId` in it."""
    return b"\x80\x02" + opcodes(value) + b"."


class _Storages:
    """Turns arrays into calls that rebuild tensors, and keeps the arrays by their keys."""

    def __init__(self, legacy: bool):
        self.legacy, self.arrays = legacy, {}

    def tensors(self, value):
        """`value` with a `Call` for each array and `Strided`."""
        if isinstance(value, dict):
            return type(value)((key, self.tensors(item)) for key, item in value.items())
        if isinstance(value, list | tuple):
            return type(value)(map(self.tensors, value))
        if isinstance(value, np.ndarray):
            strides = tuple(step // value.itemsize for step in np.empty(value.shape, value.dtype).strides)
            return self.tensors(Strided(np.array(value, order="C").reshape(-1), 0, value.shape, strides))
        return self._tensor(value) if isinstance(value, Strided) else value

    def _tensor(self, tensor):
        keys = [key for key, array in self.arrays.items() if array is tensor.storage]
        key = keys[0] if keys else str(len(self.arrays))
        self.arrays[key] = tensor.storage
        name = STORAGES[tensor.storage.dtype.name]
        identifier = ("storage", Name("torch", name), key, "cpu", tensor.storage.size)
        identifier += (None,) if self.legacy else ()
        hooks = collections.OrderedDict()
        arguments = (PersistentId(identifier), tensor.offset, tuple(tensor.size), tuple(tensor.stride), False, hooks)
        return Call(Name("torch._utils", "_rebuild_tensor_v2"), arguments)


def write_torch_zip(path, content):
    """As `torch.save(content, path)` does; every NumPy array in the nested `content` is a tensor."""
    storages = _Storages(legacy=False)
    tree = storages.tensors(content)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", pickled(tree))
        archive.writestr("archive/byteorder", "little")
        for key, array in storages.arrays.items():
            archive.writestr(f"archive/data/{key}", array.tobytes())
        archive.writestr("archive/version", "3\n")


def write_torch_legacy(path, content):
    """As `torch.save(content, path, _use_new_zipfile_serialization=False)` does."""
    storages = _Storages(legacy=True)
    tree = storages.tensors(content)
    system = {
        "protocol_version": LEGACY_PROTOCOL,
        "little_endian": True,
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    with open(path, "wb") as file:
        for value in (LEGACY_MAGIC, LEGACY_PROTOCOL, system, tree, list(storages.arrays)):
            file.write(pickled(value))
        for array in storages.arrays.values():
            file.write(struct.pack("<q", array.size) + array.tobytes())


def write_pickle(path, content, protocol=2):
    """As `pickle.dump` of Python 3 does."""
    with open(path, "wb") as file:
        pickle.dump(content, file, protocol)


def write_python2_pickle(path, arrays):
    """As `cPickle.dump(arrays, file, 2)` of Python 2 does for name -> array: names and bytes are BINSTRING."""

    def string(data: bytes) -> bytes:
        return b"U" + bytes([len(data)]) + data if len(data) < 256 else b"T" + struct.pack("<i", len(data)) + data

    stream = b"\x80\x02}("
    for name, array in arrays.items():
        stream += string(name.encode("latin-1"))
        stream += b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85" + string(b"b") + b"tR(K\x01"
        stream += b"(" + b"".join(b"J" + struct.pack("<i", size) for size in array.shape) + b"t"
        stream += b"cnumpy\ndtype\n" + string(array.dtype.str[1:].encode()) + b"K\x00K\x01\x87R(K\x03"
        stream += string(b"<" if array.itemsize > 1 else b"|") + b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        stream += string(array.tobytes()) + b"tb"
    with open(path, "wb") as file:
        file.write(stream + b"u.")


def write_keras_h5(path, arrays, group=""):
    """As `save_weights` of Keras 2 does for "layer/weight" -> array: `layer/layer/weight:0`, below `group`."""
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            layer = name.split("/")[0]
            file[f"{group}/{layer}/{name}:0"] = array
