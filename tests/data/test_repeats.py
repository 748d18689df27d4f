"""Repeat factors against their definition in float64, how often images come, and exact resumption."""

import collections
import itertools
import math

import numpy as np
import pytest
import tensorflow as tf
from eleven_images import CANVASES, assert_same, first, make_config, replace_records

from mask_rcnn_tf.data import pipeline, repeats, sources


def definition(classes, threshold):
    """LVIS, appendix B.2: f(c) of images; r(c) = max(1, sqrt(t / f(c))); r(I) = max over its categories."""
    count = collections.Counter(itertools.chain.from_iterable(set(found) for found in classes))
    rate = {key: max(1.0, math.sqrt(threshold / (number / len(classes)))) for key, number in count.items()}
    return [max([rate[key] for key in found], default=1.0) for found in classes]


@pytest.mark.parametrize("threshold", [0.001, 0.05, 0.5, 1.0])
def test_factors(threshold):
    random = np.random.RandomState(3)
    weights = 1 / np.arange(1, 41) ** 2
    classes = [random.choice(40, random.randint(0, 7), p=weights / weights.sum()) + 1 for _ in range(500)]
    classes = [found.astype(np.int32) for found in classes]
    factors = repeats.repeat_factors(classes, threshold)
    assert factors.dtype == np.float64 and factors.max() > 1 or threshold == 0.001
    np.testing.assert_allclose(factors, definition([found.tolist() for found in classes], threshold), rtol=1e-12)


def test_factors_by_hand():
    """Class 9 is in one of four images, class 1 in all but the last: sqrt(0.64 / 0.25) = 1.6, and max(1, sqrt(.85))."""
    classes = [np.array([1, 1]), np.array([1, 9, 9]), np.array([1]), np.zeros(0, int)]
    np.testing.assert_allclose(repeats.repeat_factors(classes, 0.64), [1, 1.6, 1, 1], rtol=1e-15)
    assert repeats.repeat_factors([], 0.5).shape == (0,)


def test_counts_are_the_factors_in_the_mean():
    """The whole part in every epoch, once more with the probability of the rest: within 4 standard deviations."""
    factors = np.array([1.0, 1.25, 2.0, 3.5, 1.999, 7.1])
    epochs = repeats.Epochs(6, 5, factors)
    counts = np.array([epochs.counts(epoch) for epoch in range(600)])
    rest = factors - np.floor(factors)
    assert set(np.unique(counts - np.floor(factors))) == {0, 1} and (counts[:, [0, 2]] == [1, 2]).all()
    error = np.abs(counts.mean(axis=0) - factors)
    assert (error <= 4 * np.sqrt(rest * (1 - rest) / 600)).all()
    assert np.abs(np.corrcoef(counts[:, [1, 3]].T)[0, 1]) < 0.17  # one image's draws say nothing about another's
    np.testing.assert_array_equal(repeats.Epochs(6, 5, factors).counts(17), counts[17])
    assert (np.array(repeats.Epochs(6, 6, factors).counts(17)) != counts[17]).any() or (counts[16] != counts[17]).any()
    assert [int(epochs.length(epoch)) for epoch in range(5)] == counts[:5].sum(axis=1).tolist()


def test_position_is_that_of_the_stream():
    epochs = repeats.Epochs(3, 1, np.array([1.0, 2.5, 1.5]))
    stream = [(epoch, i) for epoch in range(12) for i in range(int(epochs.length(epoch)))]
    assert [epochs.position(used) for used in range(40)] == stream[:40]
    assert repeats.Epochs(3, 1).position(11) == (3, 2)


@pytest.fixture
def repeating(monkeypatch):
    """Image i has i % 4 objects, of classes 1, 2, 3: class 1 is in 9 of 11, class 2 in 6, class 3 in 3."""
    replace_records(monkeypatch)
    config = make_config()
    monkeypatch.setattr(sources, "digest", lambda config, split: "")
    config.data.repeat_threshold = 1.0
    repeats.training_factors.cache_clear()
    yield config
    repeats.training_factors.cache_clear()


def test_images_come_as_often_as_their_factor(repeating):
    """One epoch after the other, by the counts of each; an image's turns in an epoch are augmented differently."""
    repeating.data.canvases, repeating.train.batch_size = CANVASES[2:], 1
    share = {1: 9 / 11, 2: 6 / 11, 3: 3 / 11}  # of images with at least so many objects, whose classes are 1, 2, ...
    factors = [max([math.sqrt(1 / share[key]) for key in range(1, i % 4 + 1)], default=1.0) for i in range(1, 12)]
    epochs = repeats.Epochs(11, repeating.train.seed, np.array(factors))
    counts = [epochs.counts(epoch).numpy() for epoch in range(4)]
    assert len({tuple(count) for count in counts}) > 1
    batches = first(pipeline.train_dataset(repeating), int(np.sum(counts)))
    ids = np.concatenate([batch["image_id"] for batch in batches])
    for count in counts:
        np.testing.assert_array_equal(np.bincount(ids[: count.sum()], minlength=12)[1:], count)
        ids = ids[count.sum() :]
    drawn = collections.defaultdict(set)
    for batch in batches[: counts[0].sum()]:
        drawn[int(batch["image_id"][0])].add(batch["image"].tobytes())
    again = [number for number, count in enumerate(counts[0], 1) if count > 1]
    assert again and any(len(drawn[number]) > 1 for number in again)


@pytest.mark.parametrize(
    ("cache", "canvases", "paste"),
    [
        pytest.param(False, CANVASES[:2], 0.0, id="two canvases"),
        pytest.param(True, CANVASES[2:], 0.0, id="one, cached"),
        pytest.param(False, CANVASES[2:], 1.0, id="copy-paste", marks=pytest.mark.slow),
    ],
)
def test_resumed_run_continues_exactly(repeating, cache, canvases, paste):
    repeating.data.cache, repeating.data.canvases, repeating.data.copy_paste = cache, canvases, paste
    repeating.data.scale_jitter = (0.5, 1.5) if paste else ()
    batches = first(pipeline.train_dataset(repeating), 22)
    for start_step in (6, 20):  # in the second epoch and the fourth
        assert_same(first(pipeline.train_dataset(repeating, start_step), 2), batches[start_step : start_step + 2])


def test_the_factors_are_found_once_a_run(repeating, monkeypatch):
    read, dataset = [], sources.dataset
    monkeypatch.setattr(sources, "dataset", lambda *given: read.append(given) or dataset(*given))
    factors = [repeats.epochs_of(repeating, 11).factors for _ in range(3)]
    assert len(read) == 1 and all(found is factors[0] for found in factors) and len(factors[0]) == 11
    repeating.data.repeat_threshold = 0.5
    assert (repeats.epochs_of(repeating, 11).factors < factors[0] + 1e-12).all() and len(read) == 2
    repeating.data.repeat_threshold = 0.0
    assert repeats.epochs_of(repeating, 11).factors is None and len(read) == 2


def test_without_a_threshold_nothing_is_counted():
    assert tf.reduce_all(repeats.Epochs(5, 0).counts(3) == 1) and int(repeats.Epochs(5, 0).length(2)) == 5
