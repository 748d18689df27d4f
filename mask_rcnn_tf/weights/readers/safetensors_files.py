""".safetensors files: a JSON header and the tensors' bytes, validated by the `safetensors` package."""

import json
import mmap

import numpy as np
import safetensors

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers import raw_arrays

MOST_HEADER = 2**23  # bytes; that of the largest models has a tenth
ELEMENTS = {"BF16": "bf16", "BOOL": "b1"} | {
    name.upper() + str(8 * size): f"{name}{size}"
    for name, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items()
    for size in sizes
}


def read_safetensors(path: str, mapped: mmap.mmap) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a .safetensors file, and the texts beside them.

    bfloat16, which NumPy lacks, becomes float32.

    Args:
      path: the file.
      mapped: the same.

    Raises:
      CheckpointError: a header or a number of tensors that no model needs, or an element type that is no float,
        integer or bool.
      safetensors.SafetensorError: it is damaged: a header that is none, or whose tensors overlap, leave gaps or reach
        beyond the file.
    """
    start = 8 + int.from_bytes(mapped[:8], "little")
    if start - 8 > MOST_HEADER:
        raise CheckpointError(f"a header of {start - 8} bytes; allowed: at most {MOST_HEADER}")
    with safetensors.safe_open(path, "numpy"):  # looks at the header alone
        pass
    header = json.loads(mapped[8:start])
    metadata, data, arrays = header.pop("__metadata__", None) or {}, memoryview(mapped)[start:], {}
    if len(header) > raw_arrays.MOST_TENSORS:
        raise CheckpointError(f"{len(header)} tensors in it; allowed: at most {raw_arrays.MOST_TENSORS}")
    for name, entry in sorted(header.items()):
        element = ELEMENTS.get(entry["dtype"])
        if element is None:
            raise CheckpointError(
                f"tensor {raw_arrays.describe(name)} is {entry['dtype']}; allowed: {', '.join(ELEMENTS)}"
            )
        raw_arrays.count_elements(entry["shape"])
        view = raw_arrays.view_bytes(data[slice(*entry["data_offsets"])], element, False, entry["shape"])
        arrays[name] = raw_arrays.convert(np.array(view), element)  # a copy: the file may change
    return arrays, metadata
