"""The pickle interpreter against Python's own `pickle`, and what it must refuse."""

import io
import pickle
import struct

import pytest

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers.pickles import Global, Inert, interpret

PLAIN = [1, -1, 2**70, -(2**70), 300, 70_000, 1.5, True, False, None, "é\n", "", b"\x00\xff", b"", (), (1,), (1, 2)]
PLAIN += [(1, 2, 3), (1, 2, 3, 4), [1, [2, [3]]], {"a": {1: [None]}, 2.5: ()}, "long " * 100, b"long " * 100]


def _names():
    encode = Global("_codecs.encode", lambda text, encoding: text.encode(encoding))
    return {"_codecs encode": encode, "__builtin__ bytes": Global("bytes", bytes)}


@pytest.mark.parametrize("protocol", range(6))
def test_plain_values(protocol):
    for value in (*PLAIN, PLAIN, {"all": PLAIN, "again": PLAIN}):
        stream = io.BytesIO(pickle.dumps(value, protocol) + b"rest")
        assert interpret(stream, _names()) == value
        assert stream.read() == b"rest"


@pytest.mark.parametrize("protocol", range(6))
def test_shared_and_cyclic_values(protocol):
    value = [[], {}]
    value += [value, value[0], (value,)]
    result = interpret(io.BytesIO(pickle.dumps(value, protocol)), {})
    assert result[2] is result and result[3] is result[0] and result[4][0] is result


def test_sets_are_lists():
    assert interpret(io.BytesIO(pickle.dumps([{7}, frozenset({8})], 4)), {}) == [[7], [8]]


def test_strings_of_python_2_are_latin_1():
    stream = b"\x80\x02(U\x02\xe9aT\x01\x00\x00\x00\xff" + b"t."
    assert interpret(io.BytesIO(stream), {}) == pickle.loads(stream, encoding="latin1") == ("éa", "ÿ")


def test_names_are_calls_of_ours_and_state_is_theirs():
    class Kept(Inert):
        def __init__(self, *arguments):
            self.arguments = arguments

        def set_state(self, state):
            self.state = state

    value = interpret(io.BytesIO(b"\x80\x02cany\nname\n(K\x01K\x02tRK\x05b."), {"any name": Global("any.name", Kept)})
    assert value.arguments == (1, 2) and value.state == 5


def test_persistent_ids():
    assert interpret(io.BytesIO(b"\x80\x02K\x05Q."), {}, persistent=lambda value: ("got", value)) == ("got", 5)


HARMLESS = {"numpy dtype": Global("numpy.dtype", Inert), "numpy ndarray": Global("numpy.ndarray", None)}
REFUSED = {
    b"cos\nsystem\n(X\x02\x00\x00\x00lstR.": "GLOBAL at byte 2: asks for 'os.system'",
    b"\x8c\x02os\x8c\x06system\x93.": "STACK_GLOBAL at byte 14: asks for 'os.system'",
    b"K\x01\x8c\x06system\x93.": "two strings, got 1, 'system'",
    b"(K\x01ios\nsystem\n.": "INST at byte 5: not allowed",
    b"(cnumpy\ndtype\no.": "OBJ at byte 16: not allowed",
    b"\x82\x01.": "EXT1",
    b"\x83\x01\x00.": "EXT2",
    b"\x84\x01\x00\x00\x00.": "EXT4",
    b"cnumpy\ndtype\n)}\x92.": "NEWOBJ_EX",
    b"\x97.": "NEXT_BUFFER",
    b"P1\n.": "PERSID",
    b"K\x01Q.": "outside the pickle",
    b"cnumpy\nndarray\n)R.": "calls numpy.ndarray with a value of type tuple",
    b"K\x05)R.": "calls 5 with",
    b"cnumpy\ndtype\n]R.": "calls numpy.dtype with a value of type list",
    b"cnumpy\ndtype\n}b.": "sets attributes of numpy.dtype",
    b"]}b.": "sets attributes of a value of type list",
    b"}]Ns.": "a key must be a string or a number, got a value of type list",
    b"})" + b"2\x86" * 90 + b"Ns.": "a key must be a string or a number, got a value of type tuple",
    b"}\x8a\x09" + b"\xff" * 8 + b"\x00Ns.": "a key must be within",
    b"}(K\x01u.": "puts 1 keys and values",
    b"NK\x01a.": "appends to None",
    b"Np99999999999\n.": "the memo's index",
    b"h\x05.": "invalid pickle: BINGET at byte 2 does not fit",
    b"R.": "invalid pickle: REDUCE",
    b"\x86.": "invalid pickle: TUPLE2",
    b"t.": "invalid pickle: TUPLE",
}


@pytest.mark.parametrize("stream", REFUSED, ids=[f"{i}" for i in range(len(REFUSED))])
def test_refused(stream):
    with pytest.raises(CheckpointError) as caught:
        interpret(io.BytesIO(b"\x80\x02" + stream), HARMLESS)
    assert REFUSED[stream] in str(caught.value)


@pytest.mark.parametrize("stream", [b"", b"\x80", b"\x80\x02N", b"\xff.", b"X\xff\xff\xff\xffa.", b"I12x\n.", b"\x8e"])
def test_no_pickle(stream):
    with pytest.raises(ValueError):
        interpret(io.BytesIO(stream), {})


def test_sizes_are_not_allocated():
    for opcode, size in ((b"\x8e", "<Q"), (b"\x96", "<Q"), (b"B", "<I"), (b"\x8b", "<i")):
        with pytest.raises((ValueError, OverflowError)):
            interpret(io.BytesIO(b"\x80\x05" + opcode + struct.pack(size, 2**31 - 1) + b"a."), {})


def test_opcodes_are_counted():
    with pytest.raises(CheckpointError, match="more than 500000 opcodes"):
        interpret(io.BytesIO(b"N0" * 300_000 + b"."), {})


def test_deep_nesting_is_only_a_value():
    assert interpret(io.BytesIO(b"]" * 50_000 + b"a" * 49_999 + b"."), {})
