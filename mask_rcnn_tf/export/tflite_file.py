"""TFLite models as the objects of their schema, and the files they are written to."""

import pathlib
import zipfile
from collections.abc import Mapping
from typing import Any

import numpy as np

from mask_rcnn_tf.export.errors import ExportError

ALIGNMENT = 16  # bytes; schema.fbs: buffers have force_align 16, which flatbuffers' Python code does not know
IDENTIFIER = b"TFL3"


def schema() -> Any:
    """The module of TFLite's schema. Raises ExportError: the package is missing."""
    try:
        from ai_edge_litert import schema_py_generated
    except ImportError:
        raise ExportError("package ai_edge_litert is missing; allowed: `pip install mask_rcnn_tf[export]`.") from None
    return schema_py_generated


def from_bytes(content: bytes) -> Any:
    """The `ModelT` of a TFLite file's content."""
    return schema().ModelT.InitFromPackedBuf(bytearray(content))


def text(name: str | bytes) -> str:
    """A name in a `ModelT`: what was read is bytes, what was set is str."""
    return name.decode() if isinstance(name, bytes) else name


def to_bytes(model: Any) -> bytes:
    """Content of the TFLite file of a `ModelT`, every buffer aligned."""
    import flatbuffers

    tables = schema()

    class AlignedBuffer(tables.BufferT):
        def Pack(self, builder):
            vector = None if self.data is None else _aligned_vector(builder, self.data)
            tables.BufferStart(builder)
            if vector is not None:
                tables.BufferAddData(builder, vector)
            return tables.BufferEnd(builder)

    model.buffers = [AlignedBuffer(buffer.data) for buffer in model.buffers]
    builder = flatbuffers.Builder(
        sum(0 if buffer.data is None else len(buffer.data) for buffer in model.buffers) + 2**20
    )
    builder.Finish(model.Pack(builder), IDENTIFIER)
    return bytes(builder.Output())


def add_metadata(model: Any, name: str, content: bytes):
    """Gives a `ModelT` a buffer of metadata of this name."""
    model.buffers.append(schema().BufferT(np.frombuffer(content, np.uint8)))
    entry = schema().MetadataT(name=name, buffer=len(model.buffers) - 1)
    model.metadata = [*(model.metadata or []), entry]


def write(path: pathlib.Path, model: Any, files: Mapping[str, str | bytes]):
    """Writes a model, and files behind it as a ZIP archive, which is where TFLite's metadata libraries look."""
    path.write_bytes(to_bytes(model))
    with zipfile.ZipFile(path, "a") as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name), content)  # without a date: the same model is the same file


def _aligned_vector(builder, data):
    data = np.asarray(data, np.uint8)
    builder.StartVector(1, len(data), ALIGNMENT)
    builder.head -= len(data)
    builder.Bytes[builder.head : builder.head + len(data)] = data.tobytes()
    return builder.EndVector()
