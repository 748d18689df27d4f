"""Keras 2's HDF5 files, read in a process of their own."""

import signal

import checkpoint_files
import h5py
import keras
import numpy as np
import pytest

from mask_rcnn_tf.weights.readers import h5_files
from mask_rcnn_tf.weights.readers.checkpoints import CheckpointError, read_checkpoint

ARRAYS = {"conv1/kernel": np.arange(6.0).reshape(2, 3), "conv1/bias": np.arange(3).astype(np.int32)}


def _refused(path, message):
    with pytest.raises(CheckpointError, match=message):
        read_checkpoint(path)


def _same(result, expected):
    assert result.keys() == expected.keys()
    for name, array in expected.items():
        assert result[name].dtype.isnative and result[name].shape == array.shape
        np.testing.assert_array_equal(result[name], array)


@pytest.mark.parametrize("group", ["", "model_weights", "model_1/inner"])
def test_names_are_layer_and_weight(tmp_path, group):
    checkpoint_files.write_keras_h5(tmp_path / "a.h5", ARRAYS, group)
    _same(read_checkpoint(tmp_path / "a.h5").arrays, ARRAYS)


def test_optimizer_weights_are_left_out(tmp_path):
    checkpoint_files.write_keras_h5(tmp_path / "a.h5", ARRAYS, "model_weights")
    with h5py.File(tmp_path / "a.h5", "a") as file:
        file["optimizer_weights/momentum/conv1/kernel:0"] = np.zeros(3)
    _same(read_checkpoint(tmp_path / "a.h5").arrays, ARRAYS)


def test_what_keras_writes(tmp_path):
    model = keras.Sequential(
        [keras.layers.Input((4,)), keras.layers.Dense(3, name="d"), keras.layers.Dense(2, name="e")]
    )
    model.save(tmp_path / "a.h5")
    expected = {f"{layer.name}/{weight.name}": weight.numpy() for layer in model.layers for weight in layer.weights}
    _same(read_checkpoint(tmp_path / "a.h5").arrays, expected)
    model.save_weights(tmp_path / "b.weights.h5")
    _refused(tmp_path / "b.weights.h5", "it is a Keras 3 .weights.h5, without names")


def test_storage_layouts(tmp_path):
    arrays = {"a/compressed": np.random.default_rng(0).normal(size=(50, 8)), "a/big_endian": np.arange(5.0)}
    arrays |= {"a/zero_d": np.array(2.5), "a/empty": np.zeros((0, 3)), "a/float16": np.ones(2, np.float16)}
    with h5py.File(tmp_path / "a.h5", "w") as file:
        for name, array in arrays.items():
            options = {"compression": "gzip", "shuffle": True} if name == "a/compressed" else {}
            file.create_dataset(name, data=array.astype(">f8") if name == "a/big_endian" else array, **options)
    _same(read_checkpoint(tmp_path / "a.h5").arrays, arrays)


def _external(file):
    file.create_dataset("a/b", (3,), "f4", external=[("/dev/zero", 0, 12)])


def _virtual(file):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "x", (3,))
    file.create_virtual_dataset("a/b", layout)


def _duplicate(file):
    file["one/conv/kernel:0"] = file["two/conv/kernel:0"] = np.zeros(2)


def _cycle(file):
    group = file.create_group("a")
    group["b"] = group


def _numbered(file, name, value):
    file[name] = value


HOSTILE = {
    "is a link": lambda file: _numbered(file, "a/b", h5py.ExternalLink("/etc/passwd", "/x")),
    "/a/c is a link": lambda file: _numbered(file, "a/c", h5py.SoftLink("/a")),
    "/a/b has its data in another file$": _external,
    "data in another file": _virtual,
    "two datasets are named 'conv/kernel'": _duplicate,
    "nests deeper than 16": _cycle,
    "/a/b holds object; allowed: floats": lambda file: _numbered(file, "a/b", ["x"]),
    "/a/b holds complex128": lambda file: _numbered(file, "a/b", np.zeros(2, complex)),
    "/a/b holds float128": lambda file: _numbered(file, "a/b", np.zeros(2, np.longdouble)),
    "more than 8 times the size": lambda file: file.create_dataset("a/b", (10**12,), "f8", chunks=(10**6,)),
    "no tensors in it": lambda file: file.create_group("a"),
}


@pytest.mark.parametrize("message", HOSTILE)
def test_refused(tmp_path, message):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        HOSTILE[message](file)
    _refused(tmp_path / "a.h5", message)


@pytest.mark.parametrize(
    "program, message",
    [
        ("import os; os.kill(os.getpid(), 11)", "the HDF5 library crashed on it .SIGSEGV.: a damaged file"),
        (f"import os; os.kill(os.getpid(), {signal.SIGXCPU:d})", "reading it as HDF5 took too long: a damaged file"),
        ("raise ImportError('no h5py')", "the process that reads HDF5 failed: ImportError: no h5py"),
        ("import time; time.sleep(60)", "took more than 2 s"),
        ("print('nothing')", "not readable"),
    ],
)
def test_a_process_that_fails(tmp_path, monkeypatch, program, message):
    checkpoint_files.write_keras_h5(tmp_path / "a.h5", ARRAYS)
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(h5_files, "PROGRAM", tmp_path / "program.py")
    monkeypatch.setattr(h5_files, "TIMEOUT", 2)
    _refused(tmp_path / "a.h5", message)


def test_the_process_limits_itself(tmp_path):
    """Memory and processor time, of the process that reads and of no other."""
    program = tmp_path / "program.py"
    text = h5_files.PROGRAM.read_text().partition('if __name__ == "__main__"')[0]
    limited = "limit_this_process(1000)\n"
    for code, message in (("bytearray(2**33)", "MemoryError"), ("while True: pass", "took too long")):
        program.write_text(text + limited.replace("1000", "-150_000_000" if "while" in code else "1000") + code)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(h5_files, "PROGRAM", program)
            checkpoint_files.write_keras_h5(tmp_path / "a.h5", ARRAYS)
            _refused(tmp_path / "a.h5", message)
