"""Damaged and hostile checkpoint files, made from good ones by a seeded generator."""

import io
import pickletools
import struct
import zipfile

import checkpoint_files
import numpy as np
import safetensors.numpy

FORMATS = ("zip", "training_zip", "legacy", "python2", "safetensors", *(f"pickle{n}" for n in range(6)), "h5")


def write_good(folder, random) -> dict[str, bytes]:
    """A small readable file of each format."""
    weight, path = random.normal(size=(3, 4)).astype(np.float32), folder / "good"
    arrays = {"conv.weight": weight, "bn.running_mean": weight[0].astype(np.float16), "steps": np.array(7)}
    tied = checkpoint_files.Strided(np.arange(12.0), 1, (2, 3), (1, 4))
    writers = {
        "zip": lambda: checkpoint_files.write_torch_zip(path, arrays | {"view": tied, "same": tied}),
        "training_zip": lambda: checkpoint_files.write_torch_zip(path, {"model": arrays, "optimizer": {0: weight}}),
        "legacy": lambda: checkpoint_files.write_torch_legacy(
            path, {"state_dict": arrays | {"view": tied}, "epoch": 3}
        ),
        "python2": lambda: checkpoint_files.write_python2_pickle(path, arrays),
        "safetensors": lambda: safetensors.numpy.save_file(arrays, path),
        "h5": lambda: checkpoint_files.write_keras_h5(path, {"conv1/kernel": weight, "conv1/bias": weight[0]}),
    }
    for n in range(6):
        content = {"model": arrays | {"f": np.asfortranarray(weight), "s": weight[0, 0]}, "__author__": "somebody"}
        writers[f"pickle{n}"] = lambda n=n, content=content: checkpoint_files.write_pickle(path, content, n)
    files = {}
    for name in FORMATS:
        writers[name]()
        files[name] = path.read_bytes()
    return files


def _string(text: str) -> bytes:
    return b"X" + struct.pack("<I", len(text)) + text.encode()


def hostile_opcodes(canary) -> list[bytes]:
    """Pieces of pickles that create the file `canary` in an ordinary unpickler, or take its memory or time."""
    shell, code = _string(f"touch {canary}"), _string(f"open({str(canary)!r}, 'w')")
    calls = {"os\nsystem": shell, "posix\nsystem": shell, "builtins\neval": code, "__builtin__\neval": code}
    calls |= {"builtins\nexec": code, "subprocess\ngetoutput": shell, "os\npopen": shell, "runpy\nrun_path": shell}
    calls |= {"numpy\nload": shell, "torch.hub\nload": shell, "torch.storage\n_load_from_bytes": shell}
    calls |= {"builtins\ngetattr": shell, "importlib\nimport_module": _string("this"), "nt\nsystem": shell}
    calls["collections\nOrderedDict.fromkeys.__self__"] = shell
    pieces = []
    for name, argument in calls.items():
        module, attribute = name.encode().split(b"\n")
        named, arguments = b"c" + name.encode() + b"\n", b"(" + argument + b"t"
        stacked = b"\x8c" + bytes([len(module)]) + module + b"\x8c" + bytes([len(attribute)]) + attribute + b"\x93"
        pieces += [named + arguments + b"R", stacked + arguments + b"R", named + arguments + b"\x81", named]
        pieces += [b"(" + argument + b"i" + name.encode() + b"\n", b"(" + named + argument + b"o"]
        pieces += [named + arguments + b"}\x92", b"(" + argument + b"t" + named + b"b", named + b"}" + shell + b"Nsb"]
    array = b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n)U\x01btR"
    floats = b"cnumpy\ndtype\n(U\x02f4tR"
    pieces += [b"\x82\x01", b"\x83\x01\x00", b"\x84\x01\x00\x00\x00", b"Pid\n", b"\x97", b"\x98", b"NQ"]
    pieces += [b"cnumpy\ndtype\n}" + _string("call") + shell + b"sb", b"ccollections\nOrderedDict\n}" + shell + b"Nsb"]
    pieces += [
        array + b"(K\x01(\x8a\x06\x00\x00\x00\x00\x00\x01t" + floats + b"\x89U\x00tb",
        array + b"}b",
        array + b"Nb",
    ]
    pieces += [b"cnumpy\ndtype\n(U\x02O8tR", b"cnumpy\ndtype\n(U\x03V99tR", b"]q\x00h\x00a", b"}q\x00U\x01ah\x00s"]
    pieces += [b"Nr\xff\xff\xff\xff", b"p99999999999999999999\n", b"p-1\n", b"j\xff\xff\xff\x7f", b"(" * 50_000]
    pieces += [b"]" * 50_000 + b"a" * 49_999, b")" + b"\x85" * 50_000, b"}N)" + b"2\x86" * 100 + b"Ns"]
    pieces += [b"}" + b")" + b"2\x86" * 100 + b"Ns", b"l" * 9, b"N2" * 20_000 + b"0" * 20_000]
    pieces += [op + b"\xff" * 7 + b"\x7f" for op in (b"\x8d", b"\x8e", b"\x96", b"\x95")]
    pieces += [op + b"\xff\xff\xff\x7f" for op in (b"\x8b", b"T", b"B", b"X")]
    return pieces + [kind + b"9" * 100_000 + end for kind, end in ((b"L", b"L\n"), (b"I", b"\n"), (b"F", b"\n"))]


def _replace_member(data: bytes, change) -> bytes:
    """The zip file with `change(name, bytes)` -> (bytes, compression) of each member and right checksums."""
    result = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as old, zipfile.ZipFile(result, "w") as new:
        for name in old.namelist():
            content, compression = change(name, old.read(name))
            new.writestr(name, content, compression)
    return result.getvalue()


def flip_bits(data: bytes, random) -> bytes:
    """Up to 8 bits, half of them in the first 400 bytes, a quarter in the last 400."""
    damaged = bytearray(data)
    for _ in range(random.integers(1, 9)):
        low, high = [(0, 400), (0, 400), (-400, 0), (0, len(data))][random.integers(4)]
        position = random.integers(max(low, -len(data)), min(high, len(data)))
        damaged[position] ^= 1 << int(random.integers(8))
    return bytes(damaged)


def cut_or_repeat(data: bytes, random) -> bytes:
    """The file truncated, or with a piece deleted, doubled, or filled with one byte."""
    start, end = sorted(int(n) for n in random.integers(0, len(data) + 1, 2))
    piece = data[start:end]
    kinds = (data[:start], data[:start] + data[end:], data[:end] + piece + data[end:])
    filled = data[:start] + bytes([random.integers(256)]) * len(piece) + data[end:]
    return (*kinds, filled)[random.integers(4)]


def insert_opcodes(stream: bytes, random, pieces) -> bytes:
    """A pickle with a hostile piece between two of its opcodes, anywhere, or instead of it."""
    piece = pieces[random.integers(len(pieces))]
    positions = [position for _, _, position in pickletools.genops(stream)]
    where = int(random.choice([positions[-1], random.choice(positions), random.integers(len(stream))]))
    start = 2 if stream[:1] == b"\x80" else 0
    whole = (stream[:start] + piece + b".", stream[:start] + b"}" + _string("a") + piece + b"s.")
    return (stream[:where] + piece + stream[where:], stream[:start] + piece + stream[start:], *whole)[
        random.integers(4)
    ]


def lie_in_zip(data: bytes, random) -> bytes:
    """A size, offset, flag or method in a member's two headers, a compressed, emptied or grown member."""
    kind = random.integers(4)
    if kind == 0:  # the central directory: signature, ..., flags, method, ..., checksum, sizes, ..., offset
        starts = [i for i in range(len(data) - 46) if data[i : i + 4] == b"PK\x01\x02"]
        start = starts[random.integers(len(starts))]
        field, value = (8, 10, 16, 20, 24, 28, 30, 42)[random.integers(8)], random.integers(0, 2**16)
        value = (value, 0xFFFF, 1)[random.integers(3)]
        return data[: start + field] + struct.pack("<H", value) + data[start + field + 2 :]
    method = zipfile.ZIP_DEFLATED if kind == 1 else zipfile.ZIP_STORED
    change = {1: lambda old: old, 2: lambda old: old[: len(old) // 2], 3: lambda old: old * 3}[int(kind)]
    return _replace_member(data, lambda name, old: (change(old) if random.integers(2) else old, method))


def mutate(name: str, data: bytes, random, pieces) -> bytes:
    """One damaged or hostile file of the format `name`."""
    kinds = [flip_bits, cut_or_repeat, flip_bits]
    is_pickle = name.startswith(("pickle", "python2", "legacy"))
    if not is_pickle and not name.endswith("zip"):
        return kinds[random.integers(2)](data, random)
    kind = random.integers(6)
    if kind < 2:
        return kinds[kind](data, random)
    if kind == 2 and name.endswith("zip"):
        return lie_in_zip(data, random)

    def damage(stream):
        return insert_opcodes(stream, random, pieces) if kind > 3 else kinds[random.integers(3)](stream, random)

    if name.endswith("zip"):  # inside, with a right checksum
        return _replace_member(data, lambda member, old: (damage(old) if member.endswith("data.pkl") else old, 0))
    if name == "legacy":  # the object is the fourth pickle
        stream = io.BytesIO(data)
        ends = [[*pickletools.genops(stream)] and stream.tell() for _ in range(5)]
        return data[: ends[2]] + damage(data[ends[2] : ends[3]]) + data[ends[3] :]
    return damage(data)
