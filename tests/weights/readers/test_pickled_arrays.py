"""Arrays in pickles of Python 2 and 3, and the dictionaries around them."""

import collections
import pickle

import checkpoint_files
import numpy as np
import pytest

from mask_rcnn_tf.weights.readers.checkpoints import CheckpointError, read_checkpoint

ARRAYS = {f"{kind}{size}": np.arange(6).astype(f"{kind}{size}") for kind in "iu" for size in (1, 2, 4, 8)}
ARRAYS |= {f"f{size}": np.linspace(-2, 2, 6).reshape(2, 3).astype(f"f{size}") for size in (2, 4, 8)}
ARRAYS |= {"bool": np.array([[True], [False]]), "empty": np.zeros((0, 3), "f4"), "zero_d": np.array(4.5)}
LAYOUTS = {
    "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
    "big_endian": np.arange(6.0).astype(">f4"),
    "fortran_big_endian": np.asfortranarray(np.arange(6).reshape(2, 3).astype(">i2")),
    "transposed": np.arange(24.0).reshape(2, 3, 4).transpose(2, 0, 1),
    "strided": np.arange(24.0)[::5],
    "scalar": np.float32(2.5),
}


def _same(result, expected):
    assert result.keys() == expected.keys()
    for name, value in expected.items():
        array = np.asarray(value)
        assert result[name].dtype == array.dtype.newbyteorder("="), name
        assert result[name].dtype.isnative and result[name].flags.c_contiguous, name
        np.testing.assert_array_equal(result[name], array, strict=False, err_msg=name)
        assert result[name].shape == array.shape, name


def _refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize("protocol", range(6))
def test_arrays_of_python_3(tmp_path, protocol):
    checkpoint_files.write_pickle(tmp_path / "a.pkl", ARRAYS | LAYOUTS, protocol)
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, ARRAYS | LAYOUTS)


def test_arrays_of_python_2(tmp_path):
    arrays = {name: array for name, array in ARRAYS.items() if array.dtype != bool}
    arrays["conv1_w"] = np.random.default_rng(0).normal(size=(4, 3, 7, 7)).astype(np.float32)
    checkpoint_files.write_python2_pickle(tmp_path / "a.pkl", arrays)
    with open(tmp_path / "a.pkl", "rb") as file:
        _same(pickle.load(file, encoding="latin1"), arrays)  # the writer is right
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, arrays)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("wrapper", ["model", "blobs", "state_dict", "model_state_dict"])
def test_dictionaries_are_entered_and_the_rest_left_out(tmp_path, protocol, wrapper):
    weights = {"a": np.ones(2, "f4"), "__version__": 3, "nothing": None}
    content = {wrapper: weights, "__author__": "somebody", "cfg": "A: 1\n", "optimizer": {0: np.zeros(3)}}
    checkpoint_files.write_pickle(tmp_path / "a.pkl", content | {"matching_heuristics": True}, protocol)
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, {"a": weights["a"]})


@pytest.mark.parametrize("protocol", range(6))
def test_other_objects_are_read_past(tmp_path, protocol):
    kept = {"a": np.ones(2, "f4")}
    others = [collections.Counter("aab"), collections.defaultdict(list, {1: [2]}), {1, 2}, frozenset({3}), 1j]
    others += [collections.OrderedDict(b=1), b"bytes", tmp_path]
    checkpoint_files.write_pickle(tmp_path / "a.pkl", {"model": kept, "others": others}, protocol)
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, kept)


def test_prefix_of_data_parallel(tmp_path):
    arrays = {"module.a": np.ones(2), "module.module.b": np.zeros(2)}
    checkpoint_files.write_pickle(tmp_path / "a.pkl", arrays)
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, {"a": np.ones(2), "module.b": np.zeros(2)})
    checkpoint_files.write_pickle(tmp_path / "a.pkl", arrays | {"c": np.ones(1)})
    assert set(read_checkpoint(tmp_path / "a.pkl").arrays) == {"module.a", "module.module.b", "c"}


@pytest.mark.parametrize("beside", ["net", "ema"])
def test_a_network_or_an_average_is_read_where_it_is_alone(tmp_path, beside):
    average = {"a": np.zeros(2)}
    checkpoint_files.write_pickle(tmp_path / "a.pkl", {beside: average, "epoch": 1})
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, average)
    checkpoint_files.write_pickle(tmp_path / "a.pkl", {beside: average, "state_dict": {"a": np.ones(2)}})
    _same(read_checkpoint(tmp_path / "a.pkl").arrays, {"a": np.ones(2)})


@pytest.mark.parametrize(
    "content, message",
    [
        ({"a": np.array([None, "x"], object)}, "an array of Python objects; allowed: floats"),
        ({"a": np.zeros(2, [("x", "f4")])}, "an array of 'V4'"),
        ({"a": np.array(["x"])}, "an array of 'U1'"),
        ({"a": np.zeros(2, complex)}, "an array of 'c16'"),
        ({"a": np.array([1.0, np.nan])}, "1 tensors have values that are not finite: 'a'"),
        ({"a": np.array([np.inf], "f2"), "b": np.ones(1)}, "1 tensors have values that are not finite: 'a'"),
        ({"a\n": np.ones(1)}, r"1 names of tensors are not printable: 'a\\n'"),
        ({3: np.ones(1)}, "a tensor's name must be a string, got 3"),
        (
            {"model": {"a": np.ones(1)}, "state_dict": {"a": np.ones(1)}},
            "under both 'model' and 'state_dict'; keep one",
        ),
        ({"net": {"a": np.ones(1)}, "ema": {"a": np.ones(1)}}, "under both 'net' and 'ema'; keep one"),
        ({"encoder": {"a": np.ones(1)}, "epoch": 1}, "no tensors in its dictionary, .*; its keys: 'encoder', 'epoch'"),
        ({}, "its keys: none"),
        ([np.ones(1)], "holds a value of type list; needed: a dictionary"),
        ({"a": np.ones(1), "b": np.load}, "asks for 'numpy.load'; allowed are the names that arrays"),
    ],
)
def test_refused(tmp_path, content, message):
    for protocol in (2, 5):
        checkpoint_files.write_pickle(tmp_path / "a.pkl", content, protocol)
        _refused(tmp_path / "a.pkl", message)


SHAPES = {  # opcodes of the tuple's items
    b"J\x06\x00\x00\x00": r"shape \(6,\) needs 24 bytes, the file has 20",
    b"J\x00\x00\x00\x7f" * 3: "needs [0-9]{29} bytes, the file has 20",
    b"K\x01" * 33: "a shape must be a tuple of at most 32 numbers",
    b"J\xff\xff\xff\xff": "a dimension must be a number of 0 to 281474976710656, got -1",
    b"\x8a\x08" + b"\x7f" * 8: "a dimension must be a number of 0 to 281474976710656, got 9187201950435737471",
    b"\x88": "got True",
    b"U\x015": "got '5'",
    b"G" + bytes(8): "got a value of type float",
}


@pytest.mark.parametrize("shape", SHAPES, ids=[f"{i}" for i in range(len(SHAPES))])
def test_shapes(tmp_path, shape):
    good, path = _python2_file(tmp_path), tmp_path / "a.pkl"
    path.write_bytes(_replace(good, b"(J\x05\x00\x00\x00t", b"(" + shape + b"t"))
    _refused(path, SHAPES[shape])


@pytest.mark.parametrize(
    "old, new, message",
    [
        (b"NNNJ", b"}NNJ", "a dtype with fields"),
        (b"U\x01<", b"U\x01x", "a dtype's byte order must be .* got 'x'"),
        (b"(J\x05\x00\x00\x00t", b"N", "a shape must be a tuple of at most 32 numbers, got None"),
        (b"numpy\nndarray", b"numpy\ndtype", "an array of class a value of type Global; allowed: numpy.ndarray"),
        (b"tbu.", b"tbNbu.", "an array's state must be given once"),
        (b"tbu.", b"tb0u.", "puts 1 keys and values"),
    ],
)
def test_states(tmp_path, old, new, message):
    good, path = _python2_file(tmp_path), tmp_path / "a.pkl"
    path.write_bytes(_replace(good, old, new))
    _refused(path, message)


def _python2_file(folder):
    checkpoint_files.write_python2_pickle(folder / "a.pkl", {"a": np.arange(5, dtype="f4")})
    return (folder / "a.pkl").read_bytes()


def _replace(data, old, new):
    assert data.count(old) == 1
    return data.replace(old, new)


def test_copies_are_limited(tmp_path):
    """The same bytes named again and again, each in Fortran order: a copy each time."""
    data, stream = np.zeros(2**20, "u1").tobytes(), b"\x80\x02T" + (2**20).to_bytes(4, "little")
    stream += data + b"q\x00}("
    for i in range(100):
        stream += f"V{i}\n".encode() + b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)U\x01btR"
        stream += b"(K\x01(M\x00\x04M\x00\x04tcnumpy\ndtype\n(U\x02u1tR\x88h\x00tb"
    (tmp_path / "a.pkl").write_bytes(stream + b"u.")
    _refused(tmp_path / "a.pkl", "would need more than 2524.* bytes, 8 times the size of the file")
