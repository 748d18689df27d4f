"""Saved models that come from strangers: the good ones as Keras loads them, the others refused in one line."""

import base64
import io
import json
import marshal
import os
import zipfile

import h5py
import keras
import numpy as np
import pytest
from tiny import finding_model, tiny_model

import mask_rcnn_tf as mrcnn
from mask_rcnn_tf.weights import loading

KERNEL = "backbone/blocks/residual_block/convs/conv_norm/vars/0"


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    path = tmp_path_factory.mktemp("good") / "m.keras"
    finding_model().save(path)
    return path


def assert_same(model, expected):
    assert model.config == expected.config and len(model.variables) == len(expected.variables)
    for ours, theirs in zip(model.variables, expected.variables, strict=True):
        assert ours.path == theirs.path and ours.dtype == theirs.dtype and ours.trainable == theirs.trainable
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))


def test_the_same_model_as_keras_loads(good):
    assert_same(mrcnn.load_model(good), keras.models.load_model(good))


def test_bfloat16_weights(tmp_path):
    tiny_model(dtype="bfloat16").save(tmp_path / "m.keras")
    assert_same(mrcnn.load_model(tmp_path / "m.keras"), keras.models.load_model(tmp_path / "m.keras"))


def test_optimizer(tmp_path):
    """Its class, its settings and its variables, where they are asked for."""
    model = tiny_model()
    model.compile(optimizer=keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(1e-3, 100), beta_1=0.8))
    model.optimizer.build(model.trainable_variables)
    for number, variable in enumerate(model.optimizer.variables):
        variable.assign(variable + number)
    model.save(tmp_path / "m.keras")
    loaded = mrcnn.load_model(tmp_path / "m.keras", with_optimizer=True)
    assert_same(loaded, model)
    assert isinstance(loaded.optimizer, keras.optimizers.Adam) and loaded.optimizer.beta_1 == 0.8
    for ours, theirs in zip(loaded.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(np.asarray(ours.value), np.asarray(theirs.value))
    assert getattr(mrcnn.load_model(tmp_path / "m.keras"), "optimizer", None) is None


def test_weights_alone(tmp_path, good):
    model, expected = mrcnn.MaskRCNN(finding_model().config), keras.models.load_model(good)
    expected.save_weights(tmp_path / "m.weights.h5")
    for path in (good, tmp_path / "m.weights.h5"):
        for variable in model.weights:
            variable.assign(variable * 0)
        loading.load_weights(model, path)
        assert_same(model, expected)
    with pytest.raises(ValueError, match="it has 96 arrays of weights, its configuration"):
        loading.load_weights(tiny_model(norm="group_norm"), good)


def change(good, path, config=None, weights=None, extra=(), method=zipfile.ZIP_STORED):
    """A copy of the file with a changed configuration, HDF5 file, or further members."""
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json" and config:
                content = json.dumps(config(json.loads(content))).encode()
            if name == "model.weights.h5" and weights:
                content = weights(content)
            new.writestr(name, content, method)
        for name, content in extra:
            new.writestr(name, content, zipfile.ZIP_DEFLATED)


def edited(action):
    """A function from an HDF5 file to what `action(file, array)` makes of it, once KERNEL is out of it."""

    def edit(content):
        file = io.BytesIO(content)
        with h5py.File(file, "a") as weights:
            array = weights[KERNEL][()]
            del weights[KERNEL]
            action(weights, array)
        return file.getvalue()

    return edit


def setting(section, **values):
    """A function that sets fields in a section of the model's configuration."""

    def put(config):
        inside = config["config"]["config"]
        (inside[section] if section else inside).update(values)
        return config

    return put


def bytecode():
    return base64.b64encode(marshal.dumps((lambda x: os.mkdir("canary")).__code__)).decode()


LAMBDA = {"class_name": "__lambda__", "config": {"code": bytecode(), "defaults": None, "closure": None}}
CONFIGS = {
    "it is a 'system'": lambda config: {"module": "os", "class_name": "system", "config": "mkdir canary"},
    "it is a 'load_config'": lambda config: {"class_name": "load_config", "config": {"name_or_path": "evil.py"}},
    "names None, '__lambda__'": lambda c: c | {"config": c["config"] | {"backbone": LAMBDA}},
    "names 'keras.layers', 'Lambda'": lambda c: (
        c | {"config": c["config"] | {"heads": [{"module": "keras.layers", "class_name": "Lambda", "config": {}}]}}
    ),
    "names 'keras.layers', 'StringLookup'": lambda c: (
        c
        | {
            "config": c["config"]
            | {"roi_operator": {"module": "keras.layers", "class_name": "StringLookup", "config": {}}}
        }
    ),
    "needs more weights than the [0-9]+ bytes of the file": setting("fpn", channels=20_000),
    "needs more weights than the": setting("", num_classes=10**9, class_names=[], category_ids=[]),
    "stage_blocks is .*; allowed: 4 values": setting("backbone", stage_blocks=[10**7] * 4),
    "short_side is 1000000000; allowed": setting("preprocess", short_side=10**9, max_side=10**9),
    "max_detections is .*; allowed": setting("detection", max_detections=2**40),
    "category_ids is .*; allowed: whole numbers below 2": setting("", category_ids=[1, 2, 2**63]),
    r"class_names is \['a.nb'\]; allowed: names of printable": setting("", class_names=["a\nb", "c", "d"]),
    "ModelConfig has no|has no key 'learning_rate'": setting("", learning_rate=1),
    "arrays of weights, its configuration": setting("box_head", num_fcs=1),
}
FILES = {
    "has its data in another file": edited(
        lambda h, a: h.create_dataset(KERNEL, a.shape, "f4", external=[("secret.bin", 0, h5py.h5f.UNLIMITED)])
    ),
    "is a link, which weights do not need": edited(
        lambda h, a: h.__setitem__(KERNEL, h5py.ExternalLink("other.h5", "x"))
    ),
    "need more than the size of the file": edited(
        lambda h, a: h.create_dataset(KERNEL, (3, 3, 30_000, 30_000), "f4", chunks=(1, 1, 1000, 1000), fillvalue=1)
    ),
    r"shapes: missing \(3, 3, 8, 8\); not wanted \(8, 8, 3, 3\)": edited(
        lambda h, a: h.__setitem__(KERNEL, a.reshape(8, 8, 3, 3))
    ),
    "it has 95 arrays of weights": edited(lambda h, a: None),
    "1 weights are missing or not finite: backbone/c2_0/conv1/kernel$": edited(
        lambda h, a: h.__setitem__(KERNEL, np.full_like(a, np.nan))
    ),
    "holds object; allowed: floats": edited(lambda h, a: h.__setitem__(KERNEL, "text")),
    "not a readable Keras HDF5 file: Unable": lambda content: b"X" + content[1:],
    "needs more weights than the": lambda content: content[: len(content) // 2],
}
MEMBERS = {
    "the archive has .*canary.*; needed: config.json, metadata.json and": [("../canary", b"x")],
    "the archive has .*assets/x": [("assets/x", bytes(10**6))],
    "the archive's directory has [0-9]+ bytes": [(f"assets/{i}", b"") for i in range(1000)],
}


def refused(path, message):
    with pytest.raises(ValueError, match=message) as error:
        mrcnn.load_model(path)
    text = str(error.value)
    assert text.startswith(f"model '{path}' does not load: ") and len(text.splitlines()) == 1 and text.isprintable()


@pytest.mark.parametrize("message", CONFIGS)
def test_configurations(good, tmp_path, monkeypatch, message):
    monkeypatch.chdir(tmp_path)
    change(good, tmp_path / "m.keras", CONFIGS[message])
    refused(tmp_path / "m.keras", message)
    assert os.listdir(tmp_path) == ["m.keras"]


@pytest.mark.parametrize("message", FILES)
def test_weights(good, tmp_path, message):
    change(good, tmp_path / "m.keras", weights=FILES[message])
    refused(tmp_path / "m.keras", message)


@pytest.mark.parametrize("message", MEMBERS)
def test_members(good, tmp_path, message):
    change(good, tmp_path / "m.keras", extra=MEMBERS[message])
    refused(tmp_path / "m.keras", message)


def test_bombs(good, tmp_path):
    """Sizes that a member declares are looked at before it is read."""
    path = tmp_path / "m.keras"
    change(good, path, weights=lambda content: content + bytes(10**8), method=zipfile.ZIP_DEFLATED)
    refused(path, r"model.weights.h5 declares 100\d+ bytes in \d+; allowed: \d+")
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = b'{"a": "' + b" " * 10**8 + b'"}' if name == "config.json" else old.read(name)
            new.writestr(name, content, zipfile.ZIP_DEFLATED)
    refused(path, "config.json declares 100000009 bytes")


@pytest.mark.parametrize("content", ["[" * 200_000, '{"a":' * 3000, "9" * 5000, "[1]", "", "\0"])
def test_json(good, tmp_path, content):
    with zipfile.ZipFile(good) as old, zipfile.ZipFile(tmp_path / "m.keras", "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == "config.json" else old.read(name))
    refused(tmp_path / "m.keras", "config.json is not readable: it ")


def test_code_of_a_compiled_model_is_not_built(good, tmp_path):
    """Left out unless the optimizer is asked for, and refused then."""
    path = tmp_path / "m.keras"
    change(good, path, lambda config: config | {"compile_config": {"optimizer": "adam", "loss": LAMBDA}})
    assert_same(mrcnn.load_model(path), mrcnn.load_model(good))
    with pytest.raises(ValueError, match="names None, '__lambda__'; allowed: classes registered"):
        mrcnn.load_model(path, with_optimizer=True)


@pytest.mark.parametrize("content", [b"", b"hello", b"\x89HDF\r\n\x1a\n" + bytes(100), b"PK\x03\x04" + bytes(100)])
def test_other_files(tmp_path, content):
    path = tmp_path / "m.keras"
    path.write_bytes(content)
    refused(path, "does not load: (it (is empty|begins with)|the archive has no directory)")


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", "it is not a file")
    with pytest.raises(
        ValueError, match="a folder without best.keras and model.keras; allowed: a .keras file, or a run"
    ):
        mrcnn.load_model(tmp_path)
    with pytest.raises(ValueError, match="^model is a NoneType; allowed: the path of a .keras file"):
        mrcnn.load_model(None)
    with pytest.raises(ValueError, match=r"^model is '.*none.keras'; there is no such file\.$"):
        mrcnn.load_model(tmp_path / "none.keras")


def test_damage_is_seen_by_the_checksum(good, tmp_path):
    content = bytearray(good.read_bytes())
    content[len(content) // 2] ^= 64
    (tmp_path / "m.keras").write_bytes(content)
    refused(tmp_path / "m.keras", "model.weights.h5 is not readable: Bad CRC-32")


def test_another_model(tmp_path):
    keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "m.keras")
    refused(tmp_path / "m.keras", "it is a 'Sequential'; allowed: a saved MaskRCNN")
