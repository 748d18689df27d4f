"""What TFLite's metadata libraries read: names, descriptions and label files of a model's inputs and outputs.

The package that writes it, tflite-support, does not install on current Pythons. The tables are few, so they are written
here, field by field.

Source: tensorflow/tflite-support, metadata/metadata_schema.fbs; the numbers below are its enums and field positions.
"""

from collections.abc import Mapping
from typing import NamedTuple

NAME = "TFLITE_METADATA"
IDENTIFIER = b"M001"
LABELS = "labels.txt"
DESCRIPTIONS, TENSOR_VALUE_LABELS = 1, 3  # AssociatedFileType
LABELLED = "detection_classes"  # the output whose values are lines of LABELS


class Graph(NamedTuple):
    """One subgraph with a signature: {name: description} of its inputs and outputs, in its own order."""

    name: str
    inputs: Mapping[str, str]
    outputs: Mapping[str, str]


def label_lines(labels: Mapping[str, str]) -> str:
    """Contents of `labels.txt`: line i, from 0, is the name of category id i, "???" where there is none.

    Args:
      labels: {category id: name}, of `labels.label_map`.
    """
    return "\n".join(labels.get(str(number), "???") for number in range(max(map(int, labels)) + 1)) + "\n"


def metadata(description: str, graphs: list[Graph], files: Mapping[str, str]) -> bytes:
    """The flatbuffer `ModelMetadata`.

    Args:
      description: of the model.
      graphs: of the subgraphs, the first ones, in order.
      files: {name: description} of the files in the archive behind the model.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    subgraphs = [_subgraph(builder, graph) for graph in graphs]
    associated = [_file(builder, name, text, DESCRIPTIONS) for name, text in files.items()]
    fields = {
        0: builder.CreateString("mask_rcnn_tf"),
        1: builder.CreateString(description),
        3: _vector(builder, subgraphs),
        6: _vector(builder, associated),
        7: builder.CreateString("1.0.0"),
    }
    builder.Finish(_table(builder, 8, fields), IDENTIFIER)
    return bytes(builder.Output())


def _subgraph(builder, graph):
    inputs, outputs = (
        _vector(builder, [_tensor(builder, name, text) for name, text in side.items()])
        for side in (graph.inputs, graph.outputs)
    )
    return _table(builder, 7, {0: builder.CreateString(graph.name), 2: inputs, 3: outputs})


def _tensor(builder, name, description):
    fields = {0: builder.CreateString(name), 1: builder.CreateString(description)}
    if name == LABELLED:
        labels = _file(builder, LABELS, "Line i, from 0: the name of category id i.", TENSOR_VALUE_LABELS)
        fields[6] = _vector(builder, [labels])
    return _table(builder, 7, fields)


def _file(builder, name, description, kind):
    fields = {0: builder.CreateString(name), 1: builder.CreateString(description)}
    builder.StartObject(4)
    for slot, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    builder.PrependInt8Slot(2, kind, 0)
    return builder.EndObject()


def _table(builder, size, fields):
    builder.StartObject(size)
    for slot, offset in fields.items():
        builder.PrependUOffsetTRelativeSlot(slot, offset, 0)
    return builder.EndObject()


def _vector(builder, offsets):
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()
