"""Damaged and hostile `.keras` files, made from a good one by a seeded generator."""

import io
import json
import warnings
import zipfile

import checkpoint_mutations
import h5py
import numpy as np

KINDS = ("bytes", "zip", "members", "json", "text", "hdf5_bytes", "hdf5")
HUGE = 2**63
LAMBDA = {"module": "keras.layers", "class_name": "Lambda", "config": {"function": {"class_name": "__lambda__"}}}
VALUES = [0, -1, 1, 2, 3, 31, 1000, 10**6, 10**9, 2**31, HUGE, 10**40, 0.5, -0.5, 1e300, float("nan"), float("inf")]
VALUES += [
    None,
    True,
    False,
    "",
    "x",
    "\0",
    "a\nb",
    "\ud800",
    "mixed_bfloat16",
    "bfloat16",
    "xla",
    "group_norm",
    "none",
]
VALUES += [[], {}, [[]], [1], [0, 0, 0, 0], [10**7] * 4, [1e9] * 5, ["a"] * 3, LAMBDA, {"class_name": "os.system"}]
VALUES += [{"module": "os", "class_name": "system", "config": "touch canary", "registered_name": None}]


def mutate(kind: str, data: bytes, random) -> bytes:
    """One file that is damaged in one of the ways of `KINDS`."""
    if kind == "bytes":
        return (checkpoint_mutations.flip_bits, checkpoint_mutations.cut_or_repeat)[random.integers(2)](data, random)
    if kind == "zip":
        return checkpoint_mutations.lie_in_zip(data, random)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    change = {"members": _members, "json": _json, "text": _text, "hdf5_bytes": _hdf5_bytes, "hdf5": _hdf5}[kind]
    return _zipped(change(members, random))


def _zipped(members) -> bytes:
    result = io.BytesIO()
    with zipfile.ZipFile(result, "w") as archive, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Duplicate name", UserWarning)  # which some of these files are to have
        for name, content in members if isinstance(members, list) else members.items():
            archive.writestr(name, content, zipfile.ZIP_DEFLATED if len(content) > 2**22 else zipfile.ZIP_STORED)
    return result.getvalue()


def _members(members, random):
    """A member renamed, dropped, doubled, exchanged with another, emptied, added, or blown up."""
    rows = list(members.items())
    first, second = (int(n) for n in random.permutation(len(rows))[:2])
    kind = random.integers(8)
    name, content = rows[first]
    names = (" ", "x" * 60_000, "../../canary", "assets/x", "config.json\0", "model.weights.npz", "a/" * 500)
    if kind == 0:
        rows[first] = (names[random.integers(len(names))], content)
    elif kind == 1:
        del rows[first]
    elif kind == 2:
        rows.append(rows[first])
    elif kind == 3:
        rows[first], rows[second] = (name, rows[second][1]), (rows[second][0], content)
    elif kind == 4:
        rows[first] = (name, b"")
    elif kind == 5:
        rows.append((names[random.integers(len(names))], b"x"))
    elif kind == 6:
        rows[first] = (name, content + bytes(2**26))
    else:
        rows += [(f"assets/{i}", b"") for i in range(int(random.integers(1, 5000)))]
    return rows


def _places(values, path=()):
    """Paths of everything inside nested lists and tables."""
    items = values.items() if isinstance(values, dict) else enumerate(values) if isinstance(values, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _places(value, (*path, key))


def _json(members, random):
    """One or two values of config.json replaced, deleted, or under another key."""
    config = json.loads(members["config.json"])
    for _ in range(random.integers(1, 3)):
        places = list(_places(config))
        *parents, last = places[random.integers(len(places))]
        inside = config
        for key in parents:
            inside = inside[key]
        value = VALUES[random.integers(len(VALUES))]
        kind = random.integers(6)
        if kind == 0:
            del inside[last]
        elif kind == 1 and isinstance(inside, dict):
            inside[str(value)[:20]] = inside.pop(last)
        elif kind == 2 and isinstance(inside[last], int | float):
            inside[last] = inside[last] * (10, 1000, -1, 0.3)[random.integers(4)]
        else:
            inside[last] = value
    return members | {"config.json": json.dumps(config).encode()}


def _text(members, random):
    """The text of one of the JSON members damaged: bytes, depth, digits, encoding."""
    name = ("config.json", "metadata.json")[random.integers(2)]
    text = members[name]
    where = int(random.integers(len(text)))
    pieces = (b"[" * 100_000, b"9" * 5000, b"\xff\xfe", b"\0", b'{"a":' * 3000, b"1e999", b"-", b'"\\ud800"', b"//")
    kinds = (
        text[:where] + pieces[random.integers(len(pieces))] + text[where:],
        pieces[random.integers(len(pieces))],
        checkpoint_mutations.flip_bits(text, random),
        checkpoint_mutations.cut_or_repeat(text, random),
        text.decode().encode("utf-16"),
    )
    return members | {name: kinds[random.integers(len(kinds))]}


def _hdf5_bytes(members, random):
    """The HDF5 file damaged, under a right checksum; most in its structure, which lies at the front."""
    data = members["model.weights.h5"]
    kind = random.integers(3)
    if kind == 0:
        data = checkpoint_mutations.cut_or_repeat(data, random)
    elif kind == 1:
        data = checkpoint_mutations.flip_bits(data, random)
    else:
        damaged = bytearray(data)
        for _ in range(random.integers(1, 20)):
            damaged[random.integers(min(len(data), 60_000))] = random.choice([0, 1, 255, random.integers(256)])
        data = bytes(damaged)
    return members | {"model.weights.h5": data}


def _hdf5(members, random):
    """One array of the HDF5 file elsewhere, of another shape, type or value, or gone."""
    file = io.BytesIO(members["model.weights.h5"])
    with h5py.File(file, "a") as weights:
        names = []
        weights.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        name = names[random.integers(len(names))]
        value = weights[name][()]
        del weights[name]
        layout = h5py.VirtualLayout(value.shape, "f4")
        layout[...] = h5py.VirtualSource("/tmp/other.h5", "x", value.shape)
        changes = [
            lambda: None,
            lambda: weights.__setitem__(name, h5py.ExternalLink("/etc/passwd", "x")),
            lambda: weights.__setitem__(name, h5py.SoftLink("/" + names[0])),
            lambda: weights.create_dataset(name, value.shape, "f4", external=[("/dev/zero", 0, value.nbytes)]),
            lambda: weights.create_virtual_dataset(name, layout),
            lambda: weights.create_dataset(name, (3, 3, 30_000, 30_000), "f4", chunks=(1, 1, 1000, 1000)),
            lambda: weights.create_dataset(name, data=np.full_like(value, (np.nan, np.inf)[random.integers(2)])),
            lambda: weights.create_dataset(name, data=value.ravel()),
            lambda: weights.create_dataset(name, data=value[..., None]),
            lambda: weights.create_dataset(name, data=value.astype(complex)),
            lambda: weights.create_dataset(name, data=value.astype("f2"), compression=None),
            lambda: weights.create_dataset(name, data="text"),
            lambda: weights.create_dataset(name + "_moved", data=value),
            lambda: weights.create_group(name).create_group("deep/" * 40 + "end"),
        ]
        changes[random.integers(len(changes))]()
    return members | {"model.weights.h5": file.getvalue()}
