"""A program: reads the weights of a Keras HDF5 file. Nothing of the package is imported.

    python h5_process.py read FILE RESULT
    python h5_process.py copy FILE RESULT

It prints JSON, an error or the arrays' names, dtypes and shapes. `read` takes the legacy format and writes the arrays'
bytes to RESULT; `copy` takes Keras 3's .weights.h5 and writes a new one with the arrays and nothing else. libhdf5 can
crash, hang or take any memory on a damaged file, so `h5_files` runs this in a process of its own, and the program
limits itself before it opens the file.

Source: `keras.saving`'s legacy HDF5 format (`legacy_h5_format.py`): a group a layer, in it a dataset a weight; Keras
3's (`saving_lib.py`, `H5IOStore`): groups as attributes lead to a layer, in its group "vars" a dataset a weight.
"""

import json
import os
import re
import resource
import sys

import h5py
import numpy as np

MOST_OBJECTS, DEEPEST, KINDS = 100_000, 16, "fiub"
BFLOAT16 = np.dtype("V2")  # as h5py stores it


class RefusedError(Exception):
    """The file is not one of plain arrays in groups."""


def limit(kind: int, value: int) -> None:
    """Lowers a limit of this process, `resource.RLIMIT_*`, to `value`, or to what it may have at most."""
    hard = resource.getrlimit(kind)[1]
    resource.setrlimit(kind, (value if hard == resource.RLIM_INFINITY else min(value, hard), hard))


def limit_this_process(file_bytes: int, seconds: int = 10) -> None:
    """Memory to 4 GiB and 12 times the file; further processor time to `seconds` and 1 s for each 20 MB."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit(resource.RLIMIT_CORE, 0)
    limit(resource.RLIMIT_AS, 2**32 + 12 * file_bytes)
    limit(resource.RLIMIT_CPU, int(used.ru_utime + used.ru_stime) + seconds + file_bytes // 20_000_000)


def datasets(root: h5py.Group) -> dict[str, h5py.Dataset]:
    """Every dataset below a group, by path. Links to elsewhere are refused before they are followed."""
    found, waiting, seen = {}, [("", root)], 0
    while waiting:
        path, group = waiting.pop()
        for name in group:
            seen += 1
            where = f"{path}/{name}"
            if seen > MOST_OBJECTS or where.count("/") > DEEPEST:
                raise RefusedError(f"it has more than {MOST_OBJECTS} objects, or nests deeper than {DEEPEST}")
            if not isinstance(group.get(name, getlink=True), h5py.HardLink):
                raise RefusedError(f"{where} is a link, which weights do not need")
            item = group[name]
            if isinstance(item, h5py.Group):
                waiting.append((where, item))
            elif isinstance(item, h5py.Dataset):
                found[where] = item
            else:
                raise RefusedError(f"{where} is neither a group nor a dataset")
    return found


def check(path: str, dataset: h5py.Dataset) -> int:
    """Bytes of a dataset's array; refuses what is no array of numbers inside this file."""
    if dataset.shape is None or dataset.dtype.fields or dataset.dtype.subdtype or dataset.dtype.kind not in KINDS:
        raise RefusedError(f"{path} holds {dataset.dtype}; allowed: floats, integers and bool")
    if dataset.dtype.itemsize > 8:
        raise RefusedError(f"{path} holds {dataset.dtype}; allowed: elements of at most 8 bytes")
    if dataset.external or dataset.is_virtual:
        raise RefusedError(f"{path} has its data in another file")
    return dataset.size * dataset.dtype.itemsize


def flat_name(path: str) -> str:
    """The layer and the weight: "/conv1/conv1/kernel:0" -> "conv1/kernel"."""
    return re.sub(r":\d+$", "", "/".join(path.strip("/").split("/")[-2:]))


def read(path: str, result: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """Writes the weights of a file of `save_weights` or `save` (there, under the group "model_weights").

    Returns:
      (name, dtype, shape) of each array, in the order in which their bytes follow each other in `result`.
    """
    allowed, written = 8 * os.path.getsize(path) + 2**24, {}
    with h5py.File(path, "r", locking=False) as file, open(result, "wb") as output:
        whole = isinstance(file.get("model_weights", getlink=True), h5py.HardLink)
        for where, dataset in sorted(datasets(file["model_weights"] if whole else file).items()):
            if re.search(r"/vars/\d+$", where):
                raise RefusedError("it is a Keras 3 .weights.h5, without names; needed: the HDF5 format of Keras 2")
            name = flat_name(where)
            if name in written:
                raise RefusedError(f"two datasets are named {name!a}")
            allowed -= check(where, dataset)
            if allowed < 0:
                raise RefusedError("its arrays would need more than 8 times the size of the file")
            array = np.asarray(dataset[()], dataset.dtype.newbyteorder("="))
            array.tofile(output)
            written[name] = (array.dtype.str, array.shape)
    return [(name, dtype, shape) for name, (dtype, shape) in written.items()]


def copy(path: str, result: str) -> list[tuple[str, str, tuple[int, ...]]]:
    """Writes the arrays of Keras 3's format, under their paths, into a new file of that format.

    Returns:
      (path, dtype, shape) of each array.
    """
    allowed, written = os.path.getsize(path), []  # Keras neither compresses nor leaves anything out
    with h5py.File(path, "r", locking=False) as file, h5py.File(result, "w") as output:
        for where, dataset in sorted(datasets(file).items()):
            if not where.isprintable():
                raise RefusedError(f"the name {where!a} is not printable")
            is_bfloat16 = dataset.dtype == BFLOAT16
            allowed -= 2 * dataset.size if is_bfloat16 else check(where, dataset)
            if allowed < 0:
                raise RefusedError("its arrays would need more than the size of the file")
            array = dataset[()] if is_bfloat16 else np.asarray(dataset[()], dataset.dtype.newbyteorder("="))
            copied = output.create_dataset(where, data=array)
            if is_bfloat16:
                copied.attrs["dtype"] = "bfloat16"
            written.append((where.lstrip("/"), array.dtype.str, array.shape))
    return written


def main(what: str, path: str, result: str) -> None:
    """Reads or copies `path`, writes `result`, prints what is in it or the error."""
    limit_this_process(os.path.getsize(path), 10 if what == "read" else 2)
    try:
        print(json.dumps({"arrays": {"read": read, "copy": copy}[what](path, result)}))
    except Exception as error:  # libhdf5's errors have many types; the parent raises its own
        print(json.dumps({"error": ascii(str(error) or type(error).__name__)[1:-1][:300]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
