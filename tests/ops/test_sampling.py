import importlib.util
import pathlib

import numpy as np
import pytest
import tensorflow as tf

from mask_rcnn_tf.ops.sampling import pack, sample

COMPILED = tf.function(sample, jit_compile=True, autograph=False)
SAMPLERS = ["random", "evenly"]


def _evenly(n, k):
    path = pathlib.Path(__file__).parents[1] / "golden" / "recipe.py"
    spec = importlib.util.spec_from_file_location("recipe", path)
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    return recipe.evenly(n, k)


def _labels(*images):
    """int32 [B, N] in a shuffled order from the numbers of (positives, negatives, ignored) of each image."""
    rows = [np.repeat([1, 0, -1], image) for image in images]
    return np.stack([np.random.default_rng(i).permutation(row) for i, row in enumerate(rows)]).astype(np.int32)


def _seeds(*seeds):
    return tf.constant([(7, seed) for seed in seeds], tf.int64)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_counts_are_exact(sampler):
    labels = _labels((100, 300, 50), (10, 400, 40), (0, 450, 0), (440, 3, 7), (0, 0, 450), (20, 30, 400))
    positive, negative = sample(labels, _seeds(*range(6)), 64, 0.25, sampler)
    np.testing.assert_array_equal(tf.reduce_sum(tf.cast(positive, tf.int32), 1), [16, 10, 0, 16, 0, 16])
    np.testing.assert_array_equal(tf.reduce_sum(tf.cast(negative, tf.int32), 1), [48, 54, 64, 3, 0, 30])
    assert not np.any(positive & (labels != 1)) and not np.any(negative & (labels != 0))


@pytest.mark.parametrize("counts", [(40, 160, 13), (7, 3, 0), (1, 250, 2), (0, 0, 9), (129, 301, 0)])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_evenly_equals_recipe(counts, jit_compile):
    labels = _labels(counts)
    positive, negative = (COMPILED if jit_compile else sample)(labels, _seeds(0), 64, 0.5, "evenly")
    for label, found, limit in ((1, positive, 32), (0, negative, 64 - min(counts[0], 32))):
        where = np.flatnonzero(labels[0] == label)
        np.testing.assert_array_equal(np.flatnonzero(found[0]), where[_evenly(len(where), limit)])


def test_evenly_is_exact_where_int32_products_are_large():
    labels = np.zeros([1, 300_000], np.int32)
    _, negative = sample(labels, _seeds(0), 8191, 0.0, "evenly")
    np.testing.assert_array_equal(np.flatnonzero(negative[0]), _evenly(300_000, 8191))


def test_random_depends_on_the_seed_only():
    one = _labels((100, 300, 50))
    labels = np.repeat(one, 3, axis=0)
    positive, negative = sample(labels, _seeds(1, 2, 1), 64, 0.25, "random")
    assert np.any(positive[0] != positive[1]) and np.any(negative[0] != negative[1])
    np.testing.assert_array_equal(positive[0], positive[2])
    alone = sample(one, _seeds(2), 64, 0.25, "random")
    np.testing.assert_array_equal(alone[0][0], positive[1])
    np.testing.assert_array_equal(alone[1][0], negative[1])


@pytest.mark.parametrize("fraction", [0.25, 0.0])
def test_random_compiled_equals_plain(fraction):
    labels = _labels((700, 4000, 300), (10, 4990, 0))
    for plain, compiled in zip(
        sample(labels, _seeds(3, 4), 256, fraction, "random"),
        COMPILED(labels, _seeds(3, 4), 256, fraction, "random"),
        strict=True,
    ):
        np.testing.assert_array_equal(plain, compiled)


def test_random_is_uniform():
    """Chi-square of how often each of 100 negatives is among 20 chosen, over 2000 seeds."""
    seeds = tf.constant([(step, image) for step in range(40) for image in range(50)], tf.int64)
    _, negative = tf.function(sample, autograph=False)(np.zeros([2000, 100], np.int32), seeds, 20, 0.5, "random")
    times = np.sum(negative, axis=0)
    assert times.sum() == 2000 * 20
    # A draw without replacement has variance n p (1 - p); 99 degrees of freedom: mean 99, standard deviation 14.
    chi_square = np.sum((times - 400.0) ** 2) / (400.0 * 0.8) * 99 / 100
    assert 99 - 4 * 14 < chi_square < 99 + 4 * 14


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_sample_accepts_fewer_than_asked_and_unknown_sizes(sampler):
    traced = tf.function(
        lambda labels, seeds: sample(labels, seeds, 64, 0.5, sampler),
        input_signature=[tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 2], tf.int64)],
        autograph=False,
    )
    positive, negative = traced([[1, 0, -1, 0, 1]], _seeds(0))
    np.testing.assert_array_equal(positive, [[True, False, False, False, True]])
    np.testing.assert_array_equal(negative, [[False, True, False, True, False]])
    assert traced(np.zeros([2, 0], np.int32), _seeds(0, 1))[0].shape == (2, 0)


def test_unknown_sampler_is_refused():
    with pytest.raises(ValueError, match="sampler is 'best'"):
        sample(tf.zeros([1, 4], tf.int32), _seeds(0), 2, 0.5, "best")


@pytest.mark.parametrize("jit_compile", [None, True])
@pytest.mark.parametrize("size", [5, 40, 90])
def test_pack_equals_definition(jit_compile, size):
    first, then = np.random.default_rng(5).random((2, 4, 60)) < 0.3
    first[1], then[2] = False, False
    first[3] = then[3] = False
    indices, count = tf.function(pack, jit_compile=jit_compile, autograph=False)(first, then, size)
    for image in range(4):
        chosen = np.concatenate([np.flatnonzero(first[image]), np.flatnonzero(then[image] & ~first[image])])[:size]
        assert count[image] == len(chosen)
        np.testing.assert_array_equal(indices[image], np.pad(chosen, [0, size - len(chosen)]))
