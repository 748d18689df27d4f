"""How much a graph multiplies: what no program can do faster than a machine's peak."""

import math

import tensorflow as tf


def gflop(graph: tf.Graph) -> float:
    """Billions of operations, a multiplication and an addition each, of a graph's convolutions and matrix products.

    Gradients are counted as the convolutions and products that they are; what functions and loops inside the graph hold
    is not.

    Args:
      graph: of constant shapes, as of a function of a model with `kernels="xla"`.

    Raises:
      ValueError: the shape of an operation is not known; its name is said.
    """
    return sum(2 * _products(operation) for operation in graph.get_operations()) / 1e9


def _products(operation: tf.Operation) -> int:
    """Multiplications of one operation; 0 of what is neither convolution nor product."""
    inputs, kind = operation.inputs, operation.type
    if kind in ("Conv2D", "DepthwiseConv2dNative"):
        height, width, depth, _ = _shape(inputs[1])
        return math.prod(_shape(operation.outputs[0])) * height * width * (depth if kind == "Conv2D" else 1)
    if kind in ("Conv2DBackpropInput", "Conv2DBackpropFilter"):  # of the same convolution, the products are the same
        kernel = inputs[1] if kind == "Conv2DBackpropInput" else operation.outputs[0]
        height, width, depth, _ = _shape(kernel)
        return math.prod(_shape(inputs[2])) * height * width * depth
    if kind in ("MatMul", "BatchMatMul", "BatchMatMulV2"):
        names = ("transpose_a", "transpose_b") if kind == "MatMul" else ("adj_x", "adj_y")
        inner = _shape(inputs[0])[-2 if operation.get_attr(names[0]) else -1]
        return math.prod(_shape(operation.outputs[0])) * inner
    if kind == "Einsum":
        terms = operation.get_attr("equation").decode().split("->")[0].split(",")
        sizes = {letter: size for term, x in zip(terms, inputs, strict=True) for letter, size in _named(term, x)}
        return math.prod(sizes.values())
    return 0


def _named(term, tensor):
    return zip(term, _shape(tensor), strict=True)


def _shape(tensor: tf.Tensor) -> list[int]:
    shape = tensor.shape
    if not shape.is_fully_defined():
        raise ValueError(f"{tensor.op.name} has the shape {shape}; allowed: constant shapes, as with kernels='xla'.")
    return shape.as_list()
