""".safetensors files: a JSON header and the tensors' bytes, validated by the `safetensors` package."""

import json
import mmap

import numpy as np
import safetensors

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.readers import raw_arrays

ELEMENTS = {"BF16": "bf16", "BOOL": "b1"} | {
    name.upper() + str(8 * size): f"{name}{size}"
    for name, sizes in {"f": (2, 4, 8), "i": (1, 2, 4, 8), "u": (1, 2, 4, 8)}.items()
    for size in sizes
}


def read_safetensors(mapped: mmap.mmap) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors file; bfloat16, which NumPy lacks, becomes float32.

    Args:
      mapped: the file.

    Raises:
      CheckpointError: an element type that is no float, integer or bool.
      safetensors.SafetensorError: it is damaged.
    """
    arrays = {}
    for name, tensor in sorted(safetensors.deserialize(mapped[:])):  # they come in any order
        element = ELEMENTS.get(tensor["dtype"])
        if element is None:
            raise CheckpointError(
                f"tensor {raw_arrays.describe(name)} is {tensor['dtype']}; allowed: {', '.join(ELEMENTS)}"
            )
        raw_arrays.count_elements(tensor["shape"])
        view = raw_arrays.view_bytes(tensor["data"], element, False, tensor["shape"])
        arrays[name] = raw_arrays.convert(view, element)
    return arrays


def read_metadata(mapped: mmap.mmap) -> dict[str, str]:
    """The texts that a .safetensors file has beside its tensors.

    Args:
      mapped: the file, of which `read_safetensors` has read the tensors: its header is valid.
    """
    return json.loads(mapped[8 : 8 + int.from_bytes(mapped[:8], "little")]).get("__metadata__") or {}
