"""Repeat-factor sampling: images of rare classes come several times an epoch (Gupta et al., LVIS, appendix B.2).

A class that is in a share f of the images has r = max(1, sqrt(t / f)), an image the highest of its classes. Its whole
part is how often the image comes in every epoch; once more it comes with the probability of the rest. Both are a
function of (seed, epoch), so that a resumed run repeats what the uninterrupted one would have repeated.
"""

import functools
import json
import logging

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import Config, from_dict, to_dict
from mask_rcnn_tf.data import sources

LOG = logging.getLogger("mask_rcnn_tf")
REPEAT_SEED = 2**42  # added to the seed of the other draws
DRAWN = 2**31 - 1  # integers that are drawn are below it
TURN = 2**32  # an image's second turn in an epoch draws its augmentation as epoch + TURN would, and so on


def repeat_factors(classes: list[np.ndarray], threshold: float) -> np.ndarray:
    """The repeat factor of each image.

    Args:
      classes: of each image the classes of its objects, any integers.
      threshold: t, share of images, from 0 to 1; classes in fewer of them are repeated.

    Returns:
      Float64 [N], at least 1.

    Source: `detectron2/data/samplers/distributed_sampler.py`, RepeatFactorTrainingSampler.
    """
    present = [np.unique(found) for found in classes]
    known, images = np.unique(np.concatenate([*present, np.zeros(0, np.int64)]), return_counts=True)
    factors = dict(zip(known, np.maximum(1.0, np.sqrt(threshold * len(present) / images)), strict=True))
    return np.array([max((factors[key] for key in found), default=1.0) for found in present])


class Epochs:
    """What comes in the epochs of a training set: every image once, or as often as its repeat factor says.

    Args:
      num_images: N.
      seed: `config.train.seed`.
      factors: float64 [N], of the records in their order; None where nothing is repeated.
    """

    def __init__(self, num_images: int, seed: int, factors: np.ndarray | None = None):
        self.num_images, self.seed, self.factors = num_images, seed, factors

    def counts(self, epoch: tf.Tensor | int) -> tf.Tensor:
        """How often each image comes in an epoch, int64 [N]; `epoch` is int64 [], from 0."""
        if self.factors is None:
            return tf.ones([self.num_images], tf.int64)
        whole = np.floor(self.factors)
        # Integers, as in the sampler of RoIs: philox's are the same whoever compiles them, its floats are not.
        chances = np.round((self.factors - whole) * DRAWN).astype(np.int64)
        seed = tf.stack([tf.cast(epoch, tf.int64) * 1_000_003 + self.seed, tf.constant(REPEAT_SEED, tf.int64)])
        drawn = tf.random.stateless_uniform([self.num_images], seed, 0, DRAWN, tf.int32, alg="philox")
        return tf.constant(whole, tf.int64) + tf.cast(tf.cast(drawn, tf.int64) < chances, tf.int64)

    def length(self, epoch: tf.Tensor | int) -> tf.Tensor:
        """How many examples an epoch has, int64 []."""
        if self.factors is None:
            return tf.constant(self.num_images, tf.int64)
        return tf.reduce_sum(self.counts(epoch))

    def position(self, used: int) -> tuple[int, int]:
        """The epoch in which example number `used` of the stream is, and how many of the epoch are before it."""
        if self.factors is None:
            return divmod(used, self.num_images)
        epoch = 0
        while used >= (length := int(self.length(epoch))):
            epoch, used = epoch + 1, used - length
        return epoch, used

    def elements(self, dataset: tf.data.Dataset, epoch: tf.Tensor) -> tf.data.Dataset:
        """An epoch's elements in the data set's order.

        Args:
          dataset: of N elements, tables.
          epoch: int64 [], from 0.

        Returns:
          Each element as often as `counts` says, with `epoch` int64 [], for which its augmentation is drawn: of an
          image's first turn the epoch itself.
        """
        if self.factors is None:
            return dataset.map(lambda element: element | {"epoch": epoch})

        def turns(element, count):
            turned = tf.data.Dataset.range(count)
            return turned.map(lambda turn: element | {"epoch": epoch + turn * TURN})

        counts = tf.data.Dataset.from_tensor_slices(self.counts(epoch))
        return tf.data.Dataset.zip(dataset, counts).flat_map(turns)


def epochs_of(config: Config, num_images: int) -> Epochs:
    """The epochs of a training set of `num_images` records, by `config.data.repeat_threshold`."""
    if not config.data.repeat_threshold:
        return Epochs(num_images, config.train.seed)
    key = json.dumps(to_dict(config)), sources.digest(config, "train")
    return Epochs(num_images, config.train.seed, training_factors(*key))


def epoch_length(config: Config, num_images: int) -> float:
    """How many examples an epoch of `num_images` records has in the mean, by `config.data.repeat_threshold`."""
    factors = epochs_of(config, num_images).factors
    return float(num_images if factors is None else factors.sum())


@functools.lru_cache(maxsize=2)  # `fit` makes the pipeline anew for every part of a run
def training_factors(config: str, digest: str) -> np.ndarray:
    """The repeat factors of a training set.

    Args:
      config: as JSON: with the digest it says which records there are.
      digest: of the annotations.

    Returns:
      Float64 [N], in the order of the records.
    """
    del digest
    known = from_dict(Config, json.loads(config))
    classes = sources.dataset(known, "train").map(lambda record: record["classes"])
    factors = repeat_factors(list(classes.as_numpy_iterator()), known.data.repeat_threshold)
    LOG.info("images come %.3g times an epoch, %.3g at most (data.repeat_threshold)", factors.mean(), factors.max())
    return factors
