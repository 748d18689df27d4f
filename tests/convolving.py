"""What the tests of convolutions ask: gradients, and which operations a traced function has."""

import tensorflow as tf


def gradients(convolve, inputs, kernel, weights):
    """A convolution's outputs, and the gradients of inputs and kernel under some weights of the outputs."""
    with tf.GradientTape() as tape:
        tape.watch((inputs, kernel))
        outputs = convolve(inputs, kernel)
    return outputs, *tape.gradient(outputs, (inputs, kernel), tf.cast(weights, outputs.dtype))


def operations(function, *specs):
    """Names of all operations of a `tf.function`, those of the functions that it calls too."""
    graph = function.get_concrete_function(*specs).graph.as_graph_def()
    return [node.op for body in (graph.node, *(body.node_def for body in graph.library.function)) for node in body]
