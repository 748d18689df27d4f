"""Formats are recognised by content; what is no checkpoint gets one line."""

import io
import json
import os
import struct
import tarfile

import checkpoint_files
import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from mask_rcnn_tf.weights.readers.checkpoints import CheckpointError, read_checkpoint

ARRAYS = {"conv1/kernel": np.arange(6, dtype=np.float32).reshape(2, 3), "conv1/bias": np.ones(3, np.float16)}
WRITERS = {
    "torch_zip": checkpoint_files.write_torch_zip,
    "torch_legacy": checkpoint_files.write_torch_legacy,
    "python2": checkpoint_files.write_python2_pickle,
    "keras_h5": checkpoint_files.write_keras_h5,
    "safetensors": lambda path, arrays: safetensors.numpy.save_file(arrays, path),
} | {f"pickle{n}": lambda path, arrays, n=n: checkpoint_files.write_pickle(path, arrays, n) for n in range(6)}


def _refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ") and len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize("name", WRITERS)
def test_formats(tmp_path, name):
    path = str(tmp_path / "with a space \u00e9.bin")
    WRITERS[name](path, ARRAYS)
    result = read_checkpoint(path).arrays
    assert result.keys() == ARRAYS.keys()
    for key, array in ARRAYS.items():
        assert result[key].dtype == array.dtype and result[key].shape == array.shape
        np.testing.assert_array_equal(result[key], array)


@pytest.mark.parametrize("name", WRITERS)
def test_values_that_are_not_finite(tmp_path, name):
    arrays = {f"layer{i}/w": np.full(2, (np.nan, np.inf, -np.inf, 1)[i % 4], np.float32) for i in range(9)}
    WRITERS[name](tmp_path / "a", arrays)
    _refused(tmp_path / "a", "7 tensors have values that are not finite: 'layer0/w', 'layer1/w', 'layer2/w', .*, ...$")


@pytest.mark.parametrize(
    "content, message",
    [
        (b"", "the file is empty"),
        (b"\0" * 600, "unknown content, it begins with .*; allowed: torch .pth .zip or legacy., .pkl .Detectron2"),
        (b"<!DOCTYPE html><html>", "unknown content, it begins with b'<!DOCTYPE html><'"),
        (b"version https://git-lfs.github.com/spec/v1", "unknown content, it begins with b'version"),
        (b"PK\x03\x04", "not readable, perhaps damaged .BadZipFile: File is not a zip file"),
        (b"\x80", "not readable, perhaps damaged"),
        (b"\x80\x02", "pickle exhausted before seeing STOP"),
        (b"\x89HDF\r\n\x1a\n", "not a readable Keras HDF5 file"),
        (b"cos\nsystem\n(S'ls'\ntR.", "asks for 'os.system'"),
        (b"\x80\x06}.", "unknown content"),
    ],
)
def test_no_checkpoints(tmp_path, content, message):
    (tmp_path / "a.pth").write_bytes(content)
    _refused(tmp_path / "a.pth", message)


def test_no_files(tmp_path):
    _refused(tmp_path / "absent.pth", "no such file")
    _refused(tmp_path, "not a file")
    os.mkfifo(tmp_path / "pipe")
    _refused(tmp_path / "pipe", "not a file")
    with tarfile.open(tmp_path / "old.pth", "w") as archive:
        archive.addfile(tarfile.TarInfo("sys_info"), io.BytesIO())
    _refused(tmp_path / "old.pth", "a tar file, torch's format before 0.2")


def _safetensors(path, header, data=b""):
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def test_safetensors(tmp_path):
    values = np.array([[1.5, -2], [0, 3e38]], ml_dtypes.bfloat16)
    entry = {"dtype": "BF16", "shape": [2, 2], "data_offsets": [0, 8]}
    path = _safetensors(tmp_path / "a", {"a": entry, "__metadata__": {"format": "pt"}}, values.tobytes())
    result = read_checkpoint(path).arrays
    assert list(result) == ["a"] and result["a"].dtype == np.float32
    np.testing.assert_array_equal(result["a"], values.astype(np.float32))
    _refused(_safetensors(path, {"a": entry}, b"1234567"), "SafetensorError")
    _refused(_safetensors(path, {"a": entry | {"shape": [2, 3]}}, values.tobytes()), "SafetensorError")
    _refused(_safetensors(path, {"a": entry | {"shape": [2**62, 2**62]}}, values.tobytes()), "SafetensorError")
    _refused(
        _safetensors(path, {"a": entry | {"dtype": "F8_E4M3", "shape": [8]}}, values.tobytes()), "is F8_E4M3; allowed"
    )
    _refused(_safetensors(path, {}), "no tensors in it")
    long = {"a": entry, "__metadata__": {"x": " " * 2**23}}
    _refused(_safetensors(path, long, values.tobytes()), "a header of 8388[0-9]+ bytes; allowed: at most 8388608")
    overlapping = {"a": entry, "b": entry | {"data_offsets": [4, 12]}}
    _refused(_safetensors(path, overlapping, bytes(12)), "SafetensorError")
    _refused(_safetensors(path, {"a": entry | {"data_offsets": [-8, 0]}}, values.tobytes()), "SafetensorError")
    gap = {"a": entry, "b": entry | {"data_offsets": [16, 24]}}
    _refused(_safetensors(path, gap, bytes(24)), "SafetensorError")


def test_a_header_that_begins_like_a_pickle(tmp_path):
    """A length of 640 is the bytes 80 02, which are a pickle's."""
    entry = {"dtype": "U8", "shape": [1], "data_offsets": [0, 1]}
    path = _safetensors(tmp_path / "a", {"a": entry, "__metadata__": {"x": "y" * 553}}, b"\7")
    assert path.read_bytes()[:2] == b"\x80\x02"
    assert read_checkpoint(path).arrays["a"].tolist() == [7]
