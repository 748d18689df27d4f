"""Files of `torch.save`, written without torch by `checkpoint_files`."""

import collections
import io
import struct
import zipfile

import checkpoint_files
import ml_dtypes
import numpy as np
import pytest
from checkpoint_files import Call, Name, PersistentId, Strided

from mask_rcnn_tf.weights.readers.checkpoints import CheckpointError, read_checkpoint

WRITERS = {"zip": checkpoint_files.write_torch_zip, "legacy": checkpoint_files.write_torch_legacy}
BASE = np.arange(24, dtype=np.float32)


@pytest.fixture(params=WRITERS)
def write(request, tmp_path):
    """Writes content in either format and gives the path."""

    def writer(content):
        WRITERS[request.param](tmp_path / "a.pth", content)
        return tmp_path / "a.pth"

    return writer


def _refused(path, message):
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(f"{path}: ")


def test_every_type(write):
    arrays = {name: np.arange(-3, 3).reshape(2, 3).astype(name) for name in checkpoint_files.STORAGES}
    result = read_checkpoint(write(arrays | {"empty": np.zeros((0, 4)), "zero_d": np.array(3)})).arrays
    assert list(result) == [*arrays, "empty", "zero_d"]
    for name, array in arrays.items():
        assert result[name].dtype == ("float32" if name == "bfloat16" else name)
        np.testing.assert_array_equal(result[name], array.astype(result[name].dtype))
        assert result[name].flags.c_contiguous
    assert result["empty"].shape == (0, 4) and result["zero_d"].shape == () and result["zero_d"] == 3


def test_bfloat16_is_exact(write):
    values = np.random.default_rng(0).normal(size=(1000,)).astype(ml_dtypes.bfloat16)
    result = read_checkpoint(write({"a": values[::1], "b": Strided(values, 3, (2, 5), (7, 2))})).arrays
    np.testing.assert_array_equal(result["a"], values.astype(np.float32))
    np.testing.assert_array_equal(result["b"], values.astype(np.float32)[[[3, 5, 7, 9, 11], [10, 12, 14, 16, 18]]])


def test_views(write):
    views = {
        "transposed": Strided(BASE, 0, (6, 4), (1, 6)),
        "slice": Strided(BASE, 7, (2, 2), (6, 2)),
        "expanded": Strided(BASE, 5, (3, 4), (0, 0)),
        "last": Strided(BASE, 23, (), ()),
        "none": Strided(BASE, 24, (3, 0), (9, 9)),
        "tied": Strided(BASE, 0, (24,), (1,)),
    }
    square = BASE.reshape(4, 6)
    expected = [square.T, square[1:3, 1:4:2], np.full((3, 4), 5), np.array(23), np.zeros((3, 0)), BASE]
    result = read_checkpoint(write(views)).arrays
    for (name, array), values in zip(result.items(), expected, strict=True):
        assert array.shape == values.shape and array.flags.c_contiguous, name
        np.testing.assert_array_equal(array, values, err_msg=name)


@pytest.mark.parametrize(
    "offset, size, stride, message",
    [
        (1, (24,), (1,), r"shape \(24,\) reaches element 24 of a storage of 24"),
        (0, (2, 2), (23, 1), r"shape \(2, 2\) reaches element 24 of a storage of 24"),
        (0, (2**40, 2**40), (0, 0), "would need more than [0-9]* bytes, 8 times the size"),
        (0, (2**40, 2**40), (2**40, 1), "reaches element 12089258196"),
        (24, (), (), "reaches element 24"),
        (-1, (1,), (1,), "a tensor's offset must be a number of 0 .* got -1"),
        (0, (-1,), (1,), "a dimension must be a number of 0 .* got -1"),
        (0, (2,), (-1,), "got -1"),
        (0, (True,), (1,), "got True"),
        (0, (2, 2), (1,), "2 dimensions and 1 strides"),
    ],
)
def test_views_outside_the_storage(write, offset, size, stride, message):
    _refused(write({"a": Strided(BASE, offset, size, stride)}), message)


def test_training_checkpoints(write):
    """What torchvision's reference scripts and Detectron2's trainer save beside the weights."""
    weights = collections.OrderedDict([("a.weight", BASE), ("a.num_batches_tracked", np.array(5))])
    state = Call(Name("argparse", "Namespace"), (), {"lr": 0.1, "device": Call(Name("torch", "device"), ("cpu",))})
    beside = {"optimizer": {"state": {0: {"step": np.array(1.0), "m": BASE}}, "param_groups": [{"lr": 0.1}]}}
    beside |= {
        "args": state,
        "epoch": 3,
        "dtype": Name("torch", "float32"),
        "size": Call(Name("torch", "Size"), ((1,),)),
    }
    beside["lr_scheduler"] = {"milestones": Call(Name("collections", "Counter"), ({16: 1},)), "loss": BASE}
    for wrapper in ("model", "state_dict", "model_state_dict"):
        result = read_checkpoint(write({wrapper: weights} | beside)).arrays
        assert list(result) == list(weights)
        np.testing.assert_array_equal(result["a.weight"], BASE)


def _tensor(storage, *arguments, name="_rebuild_tensor_v2", module="torch._utils"):
    return Call(Name(module, name), (PersistentId(storage), *arguments))


def _legacy(path, tree, storages):
    """A legacy file of `tree`, whose pickle is not made by the writer, and storages by key: (count, bytes)."""
    system = {"protocol_version": 1001, "little_endian": True}
    values = (checkpoint_files.LEGACY_MAGIC, 1001, system, tree, list(storages))
    data = b"".join(map(checkpoint_files.pickled, values))
    path.write_bytes(data + b"".join(struct.pack("<q", count) + raw for count, raw in storages.values()))
    return path


def test_other_ways_to_rebuild(tmp_path):
    storage, raw = ("storage", Name("torch.cuda", "FloatStorage"), "k", "cuda:0", 24, None), BASE.tobytes()
    view = (("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, ("v", 6, 12)), 2, (2,), (3,))
    untyped = ("storage", Name("torch.storage", "UntypedStorage"), "u", "cpu", 6, None)
    plain = _tensor(storage, 6, (2,), (1,), name="_rebuild_tensor")
    tree = {
        "old": plain,
        "parameter": Call(Name("torch._utils", "_rebuild_parameter"), (plain, True, {})),
        "with_state": Call(Name("torch._utils", "_rebuild_parameter_with_state"), (plain, True, {}, {"a": 1})),
        "typed": Call(
            Name("torch._tensor", "_rebuild_from_type_v2"),
            (Name("torch._utils", "_rebuild_tensor_v2"), Name("torch", "Tensor"), plain.arguments, {"a": 1}),
        ),
        "part_of_storage": _tensor(*view),
        "uint16": _tensor(untyped, 1, (2,), (1,), False, {}, Name("torch", "uint16"), name="_rebuild_tensor_v3"),
    }
    result = read_checkpoint(_legacy(tmp_path / "a.pth", tree, {"k": (24, raw), "u": (6, b"\1\0\2\0\xff\xff")})).arrays
    assert {name: array.tolist() for name, array in result.items()} == dict.fromkeys(list(tree)[:4], [6, 7]) | {
        "part_of_storage": [8, 11],
        "uint16": [2, 65535],
    }


@pytest.mark.parametrize(
    "storage, stored, message",
    [
        (
            ("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, None),
            {"k": (23, b"")},
            "damaged: it claims 23 elem",
        ),
        (("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, None), {"k": (24, b"abc")}, "and 3 bytes are left"),
        (("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, None), {}, "storage 'k' is not in the file"),
        (("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, None), {"j": (24, b"")}, "storage 'j' is unknown"),
        (
            ("storage", Name("torch", "FloatStorage"), "k", "cpu", 2**60, None),
            {},
            "a storage's number of elements must",
        ),
        (("storage", Name("torch", "FloatStorage"), "k", "cpu", 24, ("v", 20, 5)), {}, "has no elements 20 to 25"),
        (("storage", Name("torch", "FloatStorage"), 5, "cpu", 24, None), {}, "a storage of FloatStorage with key 5"),
        (("storage", Name("torch", "float32"), "k", "cpu", 24, None), {}, "a storage of float32"),
        (("storage", Name("torch", "QInt8Storage"), "k", "cpu", 24, None), {}, "asks for 'torch.QInt8Storage'"),
        (("module", Name("torch", "Tensor"), "source", "code"), {}, "a persistent id that is no storage"),
    ],
)
def test_storages(tmp_path, storage, stored, message):
    _refused(_legacy(tmp_path / "a.pth", {"a": _tensor(storage, 0, (1,), (1,))}, stored), message)


def test_a_whole_model_is_refused_with_advice(write):
    model = Call(Name("torch.nn.modules.container", "Sequential"), (), {})
    _refused(write({"model": model}), "asks for 'torch.nn.modules.container.Sequential'; .* save its state_dict")


def _rezip(path, change, **options):
    """The zip file at `path` with `change(name, bytes)` for each member; None drops it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", **options) as archive:
        for name, data in members.items():
            if data is not None:
                archive.writestr(name, data)


def test_byte_order(tmp_path):
    path = tmp_path / "a.pth"
    for order, name in ((">", b"big"), ("<", b"little"), ("<", None)):
        checkpoint_files.write_torch_zip(path, {"a": BASE})
        members = {"archive/data/0": BASE.astype(f"{order}f4").tobytes(), "archive/byteorder": name}
        _rezip(path, lambda member, data, members=members: members.get(member, data))
        np.testing.assert_array_equal(read_checkpoint(path).arrays["a"], BASE)
    _rezip(path, lambda member, data: data)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/byteorder", "middle")
    _refused(path, "byteorder must be 'little' or 'big', got b'middle'")


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda name, data: data[:-4] if name.endswith("/0") else data, "storage '0' needs 96 bytes, the file has 92"),
        (lambda name, data: None if name.endswith("/0") else data, "its member 'archive/data/0' is missing"),
        (lambda name, data: None if name.endswith("data.pkl") else data, "not of torch.save: .* 'archive/byteorder'"),
        (lambda name, data: None, "not of torch.save: .* it holds nothing"),
    ],
)
def test_members(tmp_path, change, message):
    checkpoint_files.write_torch_zip(tmp_path / "a.pth", {"a": BASE})
    _rezip(tmp_path / "a.pth", change)
    _refused(tmp_path / "a.pth", message)


def test_other_zip_files(tmp_path):
    path = tmp_path / "a.pth"
    checkpoint_files.write_torch_zip(path, {"a": BASE})
    _rezip(path, lambda name, data: data, compression=zipfile.ZIP_DEFLATED)
    _refused(path, "is compressed or encrypted")
    checkpoint_files.write_torch_zip(path, {"a": BASE})
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("archive/constants.pkl", b"")
    _refused(path, "a TorchScript program")
    np.savez(path.with_suffix(".npz"), a=BASE)
    _refused(path.with_suffix(".npz"), "a zip file, but not of torch.save")


def test_damage_is_found(tmp_path):
    """Every byte of the weights and of the pickle is under a checksum."""
    path = tmp_path / "a.pth"
    checkpoint_files.write_torch_zip(path, {"a": BASE})
    good = path.read_bytes()
    for piece in (BASE.tobytes()[40:50], b"_rebuild_tensor_v2"):
        where = good.index(piece)
        path.write_bytes(good[:where] + bytes([good[where] ^ 1]) + good[where + 1 :])
        _refused(path, "does not have its length and checksum: a damaged file")


def test_truncated(write, tmp_path):
    path = write({"a": BASE, "b": BASE * 2})
    good = path.read_bytes()
    for length in range(0, len(good), 7):
        path.write_bytes(good[:length])
        _refused(path, "damaged|empty|unknown content")


def test_the_legacy_writer_is_five_pickles(tmp_path):
    """What follows the object is found by position, so trailing or missing pickles are errors."""
    checkpoint_files.write_torch_legacy(tmp_path / "a.pth", {"a": BASE})
    good = io.BytesIO((tmp_path / "a.pth").read_bytes()).read()
    (tmp_path / "a.pth").write_bytes(good.replace(b"\x8a\x02\xe9\x03.", b"\x8a\x02\xe8\x03.", 1))
    _refused(tmp_path / "a.pth", "torch's protocol must be 1001, got 1000")
