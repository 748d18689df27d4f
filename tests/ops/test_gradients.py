"""Gradients of our own: what they are, and that nothing stays of a graph that is gone."""

import gc
import weakref

import numpy as np
import pytest
import tensorflow as tf
from tiny import tiny_batch, tiny_model

from mask_rcnn_tf.ops.gradients import with_gradient


def squared(value, factor):
    """The square, with a gradient of our own."""
    return tf.square(value), lambda upstream: 2.0 * factor * value * upstream


def raised(value, number):
    return value + number, lambda upstream: upstream * 0.5


def tripled(value):
    return with_gradient(squared, value, factor=10.0) + with_gradient(raised, value, tf.ones([]))


@pytest.mark.parametrize("compiled", [None, False, True], ids=["eager", "graph", "xla"])
def test_the_gradient_is_ours(compiled):
    def run(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            total = tf.reduce_sum(tripled(value))
        return total, tape.gradient(total, value)

    run = run if compiled is None else tf.function(run, jit_compile=compiled, autograph=False)
    total, gradient = run(tf.constant([2.0, 3.0]))
    assert float(total) == 4 + 9 + 3 + 4
    np.testing.assert_array_equal(gradient, [40.5, 60.5])


def test_outside_of_the_function():
    """The tape of a caller goes through it, and through a loop's and a branch's own graph."""

    @tf.function(autograph=False)
    def looped(value):
        value = tf.while_loop(
            lambda i, _: i < 2, lambda i, v: (i + 1, with_gradient(squared, v, factor=10.0)), (0, value)
        )[1]
        return tf.cond(value[0] > 0, lambda: with_gradient(squared, value, factor=10.0), lambda: value)

    value = tf.constant([2.0])
    with tf.GradientTape() as tape:
        tape.watch(value)
        result = looped(value)
    np.testing.assert_array_equal(result, [2.0**8])
    np.testing.assert_array_equal(tape.gradient(result, value), [8 * 2.0**7 * 1000])


def test_other_gradients_stay_what_they_are():
    @tf.function(autograph=False)
    def run(value):
        with tf.GradientTape() as tape:
            tape.watch(value)
            both = tf.raw_ops.IdentityN(input=[with_gradient(squared, value, factor=10.0), value])
        return tape.gradient(both, value)

    np.testing.assert_array_equal(run(tf.constant([2.0])), [41.0])


def steps(model):
    """What a model does with graphs: predicts and trains."""
    model.predict_on_batch(np.zeros((1, 96, 96, 3), np.uint8))
    model.compile(optimizer="sgd")
    model.train_on_batch(tiny_batch())


def test_nothing_stays_of_a_model_that_is_gone():
    """Not its variables' memory either: the graphs that hold it are gone, on whichever list they were."""
    model = tiny_model()
    steps(model)
    graphs = [weakref.ref(graph) for graph in graphs_of(model)]
    assert len(graphs) >= 2
    del model
    gc.collect()
    assert not [graph for graph in graphs if graph() is not None]


def graphs_of(model):
    """The graphs alive that have a variable of the model for an input."""
    held = {id(variable.value.handle) for variable in model.weights}
    kind = type(tf.function(lambda: 1).get_concrete_function().graph)
    graphs = [found for found in gc.get_objects() if isinstance(found, kind)]
    return [graph for graph in graphs if any(id(outside) in held for outside, _ in graph.captures)]
