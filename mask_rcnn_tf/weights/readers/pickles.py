"""Pickles without unpickling: the opcodes build plain Python values, and nothing of the file is ever looked up or run.

`pickletools.genops` splits the stream into opcodes and arguments; `interpret` understands those that weights need. A
name in the file is looked up in a table of ours and gives a stand-in of ours, or an error. `pickle.Unpickler` with
`find_class` overridden is not enough: its C implementation grows its memo to any index the file names, and its BUILD
sets attributes of allowed functions.

Source: the opcodes' meaning, `Lib/pickletools.py` of CPython.
"""

import dataclasses
import pickletools
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers.raw_arrays import describe

# A model has about 30 opcodes a tensor. The limit bounds time (some seconds) and memory (some 100 bytes an opcode).
MOST_OPCODES = 500_000
# Integers beyond these can be chosen to have one hash, which makes a dictionary of n keys take n**2 steps.
LARGEST_KEY, LARGEST_MEMO = 2**60, 2**32

ARGUMENT = frozenset(
    "INT BININT BININT1 BININT2 LONG LONG1 LONG4 FLOAT BINFLOAT STRING BINSTRING SHORT_BINSTRING UNICODE BINUNICODE "
    "SHORT_BINUNICODE BINUNICODE8 BINBYTES SHORT_BINBYTES BINBYTES8 BYTEARRAY8".split()
)
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
NEW = {"EMPTY_LIST": list, "EMPTY_DICT": dict, "EMPTY_SET": list}  # a set is read as a list: nothing is hashed


@dataclasses.dataclass(frozen=True, eq=False)
class Global:
    """What a name of the file stands for here.

    Attributes:
      name: `module.name`, for errors.
      call: makes the object when the file calls the name; None if it must not.
    """

    name: str
    call: Callable[..., Any] | None


class Inert:
    """An object of the file that is read past: its arguments and state are dropped."""

    def __init__(self, *arguments: Any):
        del arguments

    def set_state(self, state: Any) -> None:
        """BUILD: the file gives the object's attributes."""


def interpret(stream: BinaryIO, names: Mapping[str, Global], persistent: Callable[[Any], Any] | None = None) -> Any:
    """The value that a pickle describes.

    Strings of Python 2 are read as Latin-1, sets as lists. The stream is left behind the pickle's STOP.

    Args:
      stream: has `read`, `readline` and `tell`. `read(n)` must not allocate n bytes before it knows that they exist:
        an `mmap` or `BytesIO`.
      names: `"module name"` -> what it stands for.
      persistent: what a persistent id stands for; None: the file must not have any.

    Raises:
      CheckpointError: an opcode, a name or a call that weights do not need, or an invalid pickle.
      ValueError: bytes that are no pickle.
    """
    machine = _Machine(names, persistent)
    for count, (opcode, argument, position) in enumerate(pickletools.genops(stream)):
        if count >= MOST_OPCODES:
            raise CheckpointError(f"its pickle has more than {MOST_OPCODES} opcodes; no file of weights needs so many")
        try:
            machine.step(opcode.name, argument)
        except CheckpointError as error:
            raise CheckpointError(f"pickle opcode {opcode.name} at byte {position}: {error}") from error
        except (IndexError, KeyError, TypeError, AttributeError) as error:
            raise CheckpointError(f"invalid pickle: {opcode.name} at byte {position} does not fit") from error
    return machine.stack.pop() if machine.stack else None


class _Machine:
    """The stack, its marks and the memo of one pickle. A value is only ever plain, `Global`, or a stand-in of ours."""

    def __init__(self, names: Mapping[str, Global], persistent: Callable[[Any], Any] | None):
        self.stack, self._marks, self._memo = [], [], {}
        self._names, self._persistent = names, persistent

    def step(self, name: str, argument: Any) -> None:
        """Runs one opcode."""
        if name in ARGUMENT:
            self.stack.append(argument)
        elif name in CONSTANTS:
            self.stack.append(CONSTANTS[name])
        elif name in NEW:
            self.stack.append(NEW[name]())
        else:
            method = OPCODES.get(name)
            if method is None:
                raise CheckpointError("not allowed, no file of weights needs it")
            method(self, argument)

    def _since_mark(self) -> list:
        items, self.stack = self.stack, self._marks.pop()
        return items

    def _nothing(self, _):
        """PROTO and FRAME say nothing about the value; STOP ends the stream."""

    def _mark(self, _):
        self._marks.append(self.stack)
        self.stack = []

    def _pop(self, _):
        if self.stack:
            self.stack.pop()
        else:
            self._since_mark()

    def _pop_mark(self, _):
        self._since_mark()

    def _duplicate(self, _):
        self.stack.append(self.stack[-1])

    def _put(self, index: int):
        if not 0 <= index < LARGEST_MEMO:
            raise CheckpointError(f"the memo's index must be from 0 to {LARGEST_MEMO}, got {describe(index)}")
        self._memo[index] = self.stack[-1]

    def _memoize(self, _):
        self._memo[len(self._memo)] = self.stack[-1]

    def _get(self, index: int):
        self.stack.append(self._memo[index])

    def _append(self, _):
        value = self.stack.pop()
        self._extend([value])

    def _appends(self, _):
        self._extend(self._since_mark())

    def _extend(self, items: list):
        if type(self.stack[-1]) is not list:
            raise CheckpointError(f"appends to {describe(self.stack[-1])}")
        self.stack[-1].extend(items)

    def _list(self, _):
        items = self._since_mark()
        self.stack.append(items)

    def _tuple(self, _):
        items = self._since_mark()
        self.stack.append(tuple(items))

    def _tuple_of(self, count: int):
        if len(self.stack) < count:
            raise IndexError
        self.stack[-count:] = [tuple(self.stack[-count:])]

    def _dict(self, _):
        items = self._since_mark()
        self.stack.append({})
        self._update(items)

    def _set_item(self, _):
        value, key = self.stack.pop(), self.stack.pop()
        self._update([key, value])

    def _set_items(self, _):
        self._update(self._since_mark())

    def _update(self, items: list):
        target = self.stack[-1]
        if type(target) is not dict or len(items) % 2:
            raise CheckpointError(f"puts {len(items)} keys and values into {describe(target)}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # Nested tuples can take 2**depth steps to hash.
            if not (key is None or type(key) in (str, bytes, bool, float, int)):
                raise CheckpointError(f"a key must be a string or a number, got {describe(key)}")
            if type(key) is int and abs(key) > LARGEST_KEY:
                raise CheckpointError(f"a key must be within 2**60 of 0, got {describe(key)}")
            target[key] = value

    def _global(self, name: str):
        if name not in self._names:
            asked = describe(name.replace(" ", ".", 1))
            raise CheckpointError(
                f"asks for {asked}; allowed are the names that arrays need, as numpy.dtype or collections.OrderedDict "
                "(of a model, save its state_dict)"
            )
        self.stack.append(self._names[name])

    def _stack_global(self, _):
        attribute, module = self.stack.pop(), self.stack.pop()
        if type(attribute) is not str or type(module) is not str:
            raise CheckpointError(f"a name must be two strings, got {describe(module)}, {describe(attribute)}")
        self._global(f"{module} {attribute}")

    def _call(self, _):
        arguments, function = self.stack.pop(), self.stack.pop()
        if not isinstance(function, Global) or function.call is None or type(arguments) is not tuple:
            name = function.name if isinstance(function, Global) else describe(function)
            raise CheckpointError(f"calls {name} with {describe(arguments)}, which is not allowed")
        try:
            self.stack.append(function.call(*arguments))
        except TypeError as error:
            raise CheckpointError(f"calls {function.name} with arguments that it does not take") from error

    def _build(self, _):
        state, target = self.stack.pop(), self.stack[-1]
        if isinstance(target, Inert):
            target.set_state(state)
        elif type(target) is not dict:  # an OrderedDict's attributes (`_metadata` of torch) are no weights
            name = target.name if isinstance(target, Global) else describe(target)
            raise CheckpointError(f"sets attributes of {name}, which is not allowed")

    def _persistent_id(self, _):
        if self._persistent is None:
            raise CheckpointError("refers to data outside the pickle")
        self.stack.append(self._persistent(self.stack.pop()))


OPCODES = {
    "PROTO": _Machine._nothing,
    "FRAME": _Machine._nothing,
    "STOP": _Machine._nothing,
    "MARK": _Machine._mark,
    "POP": _Machine._pop,
    "POP_MARK": _Machine._pop_mark,
    "DUP": _Machine._duplicate,
    "PUT": _Machine._put,
    "BINPUT": _Machine._put,
    "LONG_BINPUT": _Machine._put,
    "MEMOIZE": _Machine._memoize,
    "GET": _Machine._get,
    "BINGET": _Machine._get,
    "LONG_BINGET": _Machine._get,
    "LIST": _Machine._list,
    "APPEND": _Machine._append,
    "APPENDS": _Machine._appends,
    "ADDITEMS": _Machine._appends,
    "FROZENSET": _Machine._list,
    "TUPLE": _Machine._tuple,
    "TUPLE1": lambda machine, _: machine._tuple_of(1),
    "TUPLE2": lambda machine, _: machine._tuple_of(2),
    "TUPLE3": lambda machine, _: machine._tuple_of(3),
    "DICT": _Machine._dict,
    "SETITEM": _Machine._set_item,
    "SETITEMS": _Machine._set_items,
    "GLOBAL": _Machine._global,
    "STACK_GLOBAL": _Machine._stack_global,
    "REDUCE": _Machine._call,
    "NEWOBJ": _Machine._call,
    "BUILD": _Machine._build,
    "BINPERSID": _Machine._persistent_id,
}
