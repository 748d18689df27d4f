"""NumPy's arrays inside pickles, and the flat dictionary of named arrays inside a checkpoint's nested ones.

Source: `ndarray.__reduce__` and `dtype.__reduce__` (NumPy, `numpy/_core/src/multiarray/methods.c` and `descriptor.c`),
`_frombuffer` (`numpy/_core/numeric.py`).
"""

import mmap
from typing import Any

import numpy as np

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers import raw_arrays
from mask_rcnn_tf.weights.readers.pickles import Global, Inert, interpret
from mask_rcnn_tf.weights.readers.raw_arrays import Budget, count_elements, describe

# Dictionaries that hold the weights beside an optimizer and the like: Detectron2, Lightning, many scripts, Detectron.
WRAPPERS = ("model", "state_dict", "model_state_dict", "blobs")
OTHERWISE = ("net", "ema")  # of scripts; a part or an average of the model where they stand beside one of the others
# Classes whose objects stand beside the weights. They are named, never looked at.
IGNORED = (
    "argparse Namespace",
    "pathlib Path",
    "pathlib PosixPath",
    "pathlib PurePosixPath",
    "pathlib._local PosixPath",
    "builtins complex",
    "__builtin__ complex",
)


class ArrayInFile(Inert):
    """Stand-in for an array or tensor of the file."""

    def array(self) -> np.ndarray:
        """Its values, native byte order, C order."""
        raise CheckpointError("an array without content")


class _DType(Inert):
    """Stand-in for `numpy.dtype`; `('f4', False, True)`, then the state `(3, '<', None, None, None, ...)`."""

    def __init__(self, code: Any, *_: Any):
        if not isinstance(code, str) or code not in raw_arrays.ELEMENT_BYTES or code == "bf16":
            kind = "Python objects" if isinstance(code, str) and code.startswith("O") else describe(code)
            raise CheckpointError(f"an array of {kind}; allowed: floats, integers and bool")
        self.element, self.big_endian = code, False

    def set_state(self, state: Any) -> None:
        if type(state) is not tuple or len(state) < 5 or any(item is not None for item in state[2:5]):
            raise CheckpointError("a dtype with fields or subarrays")
        if not isinstance(state[1], str) or state[1] not in ("<", ">", "|", "="):
            raise CheckpointError(f"a dtype's byte order must be '<', '>', '|' or '=', got {describe(state[1])}")
        self.big_endian = state[1] == ">"


class _NumpyArray(ArrayInFile):
    """Stand-in for `numpy.ndarray`: empty, until BUILD gives shape, dtype, order and bytes."""

    def __init__(self, budget: Budget):
        self._budget, self._array = budget, None

    def array(self) -> np.ndarray:
        return super().array() if self._array is None else self._array

    def set_state(self, state: Any) -> None:
        if self._array is not None or type(state) is not tuple or len(state) != 5:
            raise CheckpointError("an array's state must be given once: version, shape, dtype, order, bytes")
        self.fill(state[4], state[2], state[1], "F" if state[3] else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> "_NumpyArray":
        """Sets the values; arguments as NumPy's `_frombuffer` has them."""
        if not isinstance(dtype, _DType) or not isinstance(data, str | bytes | bytearray):
            raise CheckpointError(f"an array must have a dtype and bytes, got {describe(dtype)}, {describe(data)}")
        needed = count_elements(shape) * raw_arrays.ELEMENT_BYTES[dtype.element]
        if needed != len(data):
            raise CheckpointError(f"an array of shape {tuple(shape)} needs {needed} bytes, the file has {len(data)}")
        self._budget.spend(needed)
        data = data.encode("latin-1") if isinstance(data, str) else data  # Python 2's bytes are read as Latin-1
        array = raw_arrays.view_bytes(data, dtype.element, dtype.big_endian)
        if order == "K" and axis_order is not None:
            count_elements(axis_order)
            array = array.reshape(shape).transpose(axis_order)
        elif order in ("C", "F"):
            array = array.reshape(shape, order=order)
        else:
            raise CheckpointError(f"an array's order must be 'C' or 'F', got {describe(order)}")
        self._array = raw_arrays.convert(array, dtype.element)
        return self


def make_names(budget: Budget) -> dict[str, Global]:
    """The names that a pickle of NumPy arrays may use, for `interpret`.

    Args:
      budget: bytes of arrays that may be made.
    """

    def reconstruct(kind: Any, *_: Any) -> _NumpyArray:
        if not isinstance(kind, Global) or kind.name != "numpy.ndarray":
            raise CheckpointError(f"an array of class {describe(kind)}; allowed: numpy.ndarray")
        return _NumpyArray(budget)

    def scalar(dtype: Any, data: Any) -> _NumpyArray:
        return _NumpyArray(budget).fill(data, dtype, (), "C")

    def from_buffer(data: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None) -> _NumpyArray:
        return _NumpyArray(budget).fill(data, dtype, shape, order, axis_order)

    def encode(text: Any, encoding: Any) -> bytes:  # how Python 3 writes bytes in protocol 2
        if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
            raise CheckpointError(f"encodes {describe(text)} as {describe(encoding)}; allowed: a string as 'latin1'")
        budget.spend(len(text))
        return text.encode("latin-1")

    def make_dict(items: Any = ()) -> dict:  # OrderedDict, Counter: of nothing, a dictionary, or Python 2's pairs
        if isinstance(items, dict):
            return items
        budget.spend(100 * len(items))
        if not all(isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str) for pair in items):
            raise CheckpointError("a dictionary must be made of pairs that begin with a string")
        return dict(items)

    calls = {"numpy ndarray": None, "numpy dtype": _DType, "_codecs encode": encode}
    for core in ("core", "_core"):
        calls[f"numpy.{core}.multiarray _reconstruct"] = reconstruct
        calls[f"numpy.{core}.multiarray scalar"] = scalar
        calls[f"numpy.{core}.numeric _frombuffer"] = from_buffer
    calls |= {"collections OrderedDict": make_dict, "collections Counter": make_dict}
    calls["collections defaultdict"] = lambda *_: {}
    for builtins in ("builtins", "__builtin__"):
        calls |= {f"{builtins} bytes": lambda: b"", f"{builtins} dict": make_dict, f"{builtins} list": None}
        calls |= dict.fromkeys((f"{builtins} set", f"{builtins} frozenset"), Inert)
    calls |= dict.fromkeys(IGNORED, Inert)
    return {name: Global(name.replace(" ", "."), call) for name, call in calls.items()}


def named_arrays(content: Any) -> dict[str, np.ndarray]:
    """The arrays of a checkpoint's dictionary, by name.

    A dictionary under "model", "state_dict", "model_state_dict" or "blobs", or else "net" or "ema", is entered and what
    stands beside it left out. So is whatever is no array (`__author__`, `cfg`).

    Args:
      content: what the file holds, with `ArrayInFile` for every array.

    Raises:
      CheckpointError: no dictionary, no array, two dictionaries of weights, or a name that is no string.
    """
    for _ in range(4):
        if type(content) is not dict:
            raise CheckpointError(f"holds {describe(content)}; needed: a dictionary of named tensors")
        held = [key for key in (*WRAPPERS, *OTHERWISE) if type(content.get(key)) is dict and content[key]]
        inner = [key for key in held if key in WRAPPERS] or held
        if len(inner) > 1:
            raise CheckpointError(f"holds weights under both {inner[0]!r} and {inner[1]!r}; keep one")
        if not inner:
            break
        content = content[inner[0]]
    found = {name: value for name, value in content.items() if isinstance(value, ArrayInFile)}
    if not found:
        keys = ", ".join(describe(key) for key in list(content)[:5])
        raise CheckpointError(
            f"no tensors in its dictionary, nor under {', '.join((*WRAPPERS, *OTHERWISE))}; its keys: {keys or 'none'}"
        )
    for name in found:
        if not isinstance(name, str):
            raise CheckpointError(f"a tensor's name must be a string, got {describe(name)}")
    return {name: value.array() for name, value in found.items()}


def read_pickle(mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """The arrays of a .pkl of Detectron2, Detectron or MSRA: any protocol of Python 3; 1 and 2 of Python 2.

    Args:
      mapped: the file.

    Raises:
      CheckpointError: it is damaged, or holds something else.
    """
    return named_arrays(interpret(mapped, make_names(Budget(len(mapped)))))
