"""Choosing the anchors or RoIs that a loss sees, and packing what was chosen into fixed shapes."""

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.ops.shapes import sizes


def sample(
    labels: tf.Tensor, seeds: tf.Tensor, num_samples: int, positive_fraction: float, sampler: str
) -> tuple[tf.Tensor, tf.Tensor]:
    """Chooses positives and negatives of each image.

    Args:
      labels: int32 [B, N]; 1 positive, 0 negative, anything else is never chosen.
      seeds: int64 [B, 2], one seed an image; a choice depends on the image's own seed and labels only.
      num_samples: how many are chosen an image; fewer only where there are too few.
      positive_fraction: at most int(num_samples * positive_fraction) positives; negatives fill the rest.
      sampler: "random", without replacement, or "evenly", evenly spaced in index order (seeds are not used).

    Returns:
      positive: bool [B, N], exactly min(positives, int(num_samples * positive_fraction)) an image.
      negative: bool [B, N], exactly min(negatives, num_samples - chosen positives) an image.

    Raises:
      ValueError: sampler is unknown.

    Source: torchvision/models/detection/_utils.py `BalancedPositiveNegativeSampler`;
      detectron2/modeling/sampling.py `subsample_labels`; "evenly" is `evenly` of tests/golden/recipe.py.
    """
    if sampler not in ("random", "evenly"):
        raise ValueError(f"sampler is {sampler!r}; allowed: 'random', 'evenly'.")
    is_positive, is_negative = labels == 1, labels == 0
    max_positives = int(num_samples * positive_fraction)
    positives = tf.minimum(_count(is_positive), max_positives)
    negatives = tf.minimum(_count(is_negative), num_samples - positives)
    if sampler == "evenly":
        return _spaced(is_positive, positives), _spaced(is_negative, negatives)
    priority = _priorities(seeds, sizes(labels)[1])
    return (
        _highest(is_positive, priority, positives, max_positives),
        _highest(is_negative, priority, negatives, num_samples),
    )


def pack(selected_first: tf.Tensor, then: tf.Tensor, size: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Indices of the selected elements in a fixed shape: those of the first mask, then those of the second.

    Args:
      selected_first: bool [B, N].
      then: bool [B, N]; what both masks select counts as the first's.
      size: length of the output.

    Returns:
      indices: int32 [B, size], in index order within each mask, padded with 0; what exceeds `size` is cut off.
      count: int32 [B], entries of `indices` that are not padding.
    """
    then = then & ~selected_first
    first_count = _count(selected_first)
    after_first = first_count[:, tf.newaxis] + _rank(then)
    # Everything without a place goes to one extra slot at the end, which is cut off.
    slot = tf.where(selected_first, _rank(selected_first), tf.where(then, after_first, size))
    rows, columns = _rows_and_columns(slot)
    slots = tf.stack([rows, tf.minimum(slot, size)], axis=-1)
    indices = tf.scatter_nd(slots, columns, [sizes(slot)[0], size + 1])[:, :size]
    return indices, tf.minimum(first_count + _count(then), size)


def _priorities(seeds: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """float32 [B, length], 0 or more; each row drawn by its own seed, so that an image's place does not matter.

    XLA makes other floats of the same random bits than TensorFlow does, so the integers are drawn and 24 of their
    bits, which float32 holds exactly, converted here.
    """

    def draw(seed):
        bits = tf.random.stateless_uniform([length], seed, minval=None, maxval=None, dtype=tf.int32, alg="philox")
        return tf.cast(tf.bitwise.bitwise_and(bits, 2**24 - 1), tf.float32)

    return tf.map_fn(draw, seeds, fn_output_signature=tf.float32)


def _highest(candidates: tf.Tensor, priority: tf.Tensor, count: tf.Tensor, limit: int) -> tf.Tensor:
    """bool [B, N]: the `count` [B] candidates of highest priority; no count exceeds `limit`."""
    length = sizes(candidates)[1]
    k = min(limit, length) if isinstance(length, int) else tf.minimum(limit, length)
    # By index, not by the k-th value, with which others may tie.
    indices = tf.math.top_k(tf.where(candidates, priority, -1.0), k).indices
    chosen = tf.range(k)[tf.newaxis, :] < count[:, tf.newaxis]
    rows, _ = _rows_and_columns(indices)
    places = tf.stack([rows, indices], axis=-1)
    return tf.scatter_nd(places, tf.cast(chosen, tf.int32), tf.shape(candidates)) > 0


def _spaced(candidates: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """bool [B, N]: of n candidates the (i * n) // count -th for i < count, in integers as the definition has it."""
    rank = tf.cast(_rank(candidates), tf.int64)
    count = tf.cast(count, tf.int64)[:, tf.newaxis]
    total = tf.cast(_count(candidates), tf.int64)[:, tf.newaxis]
    # Only i = ceil(rank * count / n) can give this rank.
    i = (rank * count + total - 1) // tf.maximum(total, 1)
    return candidates & (i < count) & ((i * total) // tf.maximum(count, 1) == rank)


def _count(mask: tf.Tensor) -> tf.Tensor:
    return tf.reduce_sum(tf.cast(mask, tf.int32), axis=1)


def _rank(mask: tf.Tensor) -> tf.Tensor:
    """int32 [B, N]: how many True stand before this place."""
    return tf.cumsum(tf.cast(mask, tf.int32), axis=1, exclusive=True)


def _rows_and_columns(like: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    shape = sizes(like)
    if None not in like.shape:
        return tuple(np.indices(shape, dtype=np.int32))
    rows, columns = tf.range(shape[0])[:, tf.newaxis], tf.range(shape[1])[tf.newaxis]
    return tf.broadcast_to(rows, shape), tf.broadcast_to(columns, shape)
