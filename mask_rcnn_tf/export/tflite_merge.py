"""TFLite models joined into one, by the names of their inputs and outputs."""

from typing import Any

import numpy as np

from mask_rcnn_tf.export.tflite_file import text


def gather(models: dict[str, Any]) -> Any:
    """One `ModelT` with the graphs of several side by side, each a signature of the name it is given by."""
    merged, *others = models.values()
    for other in others:
        _append(merged, other)
    for signature, name in zip(merged.signatureDefs, models, strict=True):
        signature.signatureKey = name
    return merged


def merge(models: list[Any], inputs: list[str], outputs: list[str]) -> Any:
    """Joins models into one with one signature, in which a tensor that one gives and another takes is the same.

    Args:
      models: `ModelT` objects of TFLite's schema, each with one signature. Together their graphs have no cycle, though
        two models may feed each other. They are changed.
      inputs, outputs: names of the joined model's inputs and outputs.

    Returns:
      A `ModelT`: the first of them, grown.
    """
    merged = gather({"serving_default": models[0], **{str(i): model for i, model in enumerate(models[1:])}})
    graphs = [merged.subgraphs[signature.subgraphIndex] for signature in merged.signatureDefs]
    main, offsets = _join_graphs(graphs)
    given, taken = {}, {}
    for signature, offset in zip(merged.signatureDefs, offsets, strict=True):
        taken |= {text(item.name): (item.tensorIndex + offset) for item in signature.inputs}
        given |= {text(item.name): (item.tensorIndex + offset) for item in signature.outputs}
    same = {taken[name]: given[name] for name in given if name in taken}
    _rename(main, same)
    main.inputs = np.array([taken[name] for name in inputs], np.int32)
    main.outputs = np.array([given[name] for name in outputs], np.int32)
    main.operators = _in_order(main)
    _set_signature(merged, main, inputs, outputs)
    return merged


def _append(merged, other):
    """Appends subgraphs, operator codes, buffers and signatures, and moves every index that points to them."""
    buffers, codes, subgraphs = len(merged.buffers), len(merged.operatorCodes), len(merged.subgraphs)
    for subgraph in other.subgraphs:
        for tensor in subgraph.tensors:
            tensor.buffer += buffers
        for operator in subgraph.operators:
            operator.opcodeIndex += codes
            if type(operator.builtinOptions).__name__ == "WhileOptionsT":
                operator.builtinOptions.condSubgraphIndex += subgraphs
                operator.builtinOptions.bodySubgraphIndex += subgraphs
    for signature in other.signatureDefs:
        signature.subgraphIndex += subgraphs
    merged.buffers += other.buffers
    merged.operatorCodes += other.operatorCodes
    merged.subgraphs += other.subgraphs
    merged.signatureDefs += other.signatureDefs


def _join_graphs(graphs):
    """Moves tensors and operators of all graphs into the first; returns it and where each one's tensors start."""
    main, offsets = graphs[0], [0]
    for graph in graphs[1:]:
        offset = len(main.tensors)
        offsets.append(offset)
        for operator in graph.operators:
            for side in ("inputs", "outputs", "intermediates"):
                indices = getattr(operator, side)
                if indices is not None and len(indices):  # -1 stands for an input that is left out
                    setattr(operator, side, np.where(indices >= 0, indices + offset, indices).astype(np.int32))
        main.tensors += graph.tensors
        main.operators += graph.operators
    return main, offsets


def _rename(graph, same):
    """Lets every operator read tensor `same[i]` instead of i."""
    for operator in graph.operators:
        operator.inputs = np.array([same.get(int(index), int(index)) for index in operator.inputs], np.int32)


def _in_order(graph):
    """The operators so that each comes after those whose outputs it reads."""
    makers = {int(index): place for place, operator in enumerate(graph.operators) for index in operator.outputs}
    ordered, done = [], set()
    for start in range(len(graph.operators)):
        stack = [start]
        while stack:
            place = stack[-1]
            needed = [makers[int(index)] for index in graph.operators[place].inputs if int(index) in makers]
            missing = [maker for maker in needed if maker not in done]
            if place in done or not missing:
                stack.pop()
                if place not in done:
                    done.add(place)
                    ordered.append(graph.operators[place])
            stack += missing if place not in done else []
    return ordered


def _set_signature(merged, main, inputs, outputs):
    """Leaves one signature, of the main graph, which moves to the front; graphs that were joined into it go."""
    signature = merged.signatureDefs[0]
    joined = {item.subgraphIndex for item in merged.signatureDefs[1:]}
    entries = {text(item.name): item for item in (x for s in merged.signatureDefs for x in (*s.inputs, *s.outputs))}
    for side, names, indices in (("inputs", inputs, main.inputs), ("outputs", outputs, main.outputs)):
        for name, index in zip(names, indices, strict=True):
            entries[name].tensorIndex = int(index)
        setattr(signature, side, [entries[name] for name in names])
    merged.signatureDefs = [signature]
    kept = [index for index in range(len(merged.subgraphs)) if index not in joined]
    moved = {old: new for new, old in enumerate(kept)}
    for subgraph in (merged.subgraphs[index] for index in kept):
        for operator in subgraph.operators:
            if type(operator.builtinOptions).__name__ == "WhileOptionsT":
                for side in ("condSubgraphIndex", "bodySubgraphIndex"):
                    setattr(operator.builtinOptions, side, moved[getattr(operator.builtinOptions, side)])
    merged.subgraphs = [merged.subgraphs[index] for index in kept]
    signature.subgraphIndex = moved[signature.subgraphIndex]
