"""Losses and gradients of a batch that is computed in parts, one after the other, in the memory of one part.

Every loss is a sum divided by a count that depends on the data, such as the positive RoIs of the whole batch. A mean
over the parts' own losses would be another loss, so a first pass counts (what the counts do not need is pruned from it:
of the heads nothing runs), and a second adds up the gradients of sums divided by the counts of all parts.
"""

from collections.abc import Callable, Mapping, Sequence

import keras
import tensorflow as tf

from mask_rcnn_tf.models.heads.base import LossSums
from mask_rcnn_tf.models.norms import sum_over_replicas
from mask_rcnn_tf.models.sublayers import sublayers

Batch = Mapping[str, tf.Tensor]


def losses_and_gradients(
    model: keras.Model, batch: Batch, step: tf.Tensor, variables: Sequence[keras.Variable]
) -> tuple[dict[str, tf.Tensor], list[tf.Tensor | None]]:
    """What a training step of a `MaskRCNN` takes of a batch, in one part or `accumulation_steps`; see `accumulated`."""
    if model.accumulation_steps > 1:
        return accumulated(
            lambda part: model.loss_sums(part, step, True),
            batch,
            model.accumulation_steps,
            variables,
            names=model.stages.loss_names,
            state=_statistics(model),
            scale=model.optimizer.scale_loss,
        )
    with tf.GradientTape() as tape:
        losses = model.compute_losses(batch, step, True)
        total = model.optimizer.scale_loss(tf.add_n(list(losses.values())))
    return losses, tape.gradient(total, variables)


def _statistics(model: keras.Model) -> list[keras.Variable]:
    """Those of batch norms that train: the only variables that a forward pass changes."""
    norms = [layer for _, layer in sublayers(model) if isinstance(layer, keras.layers.BatchNormalization)]
    return [variable for norm in norms if norm.trainable for variable in norm.non_trainable_variables]


def accumulated(
    loss_sums: Callable[[Batch], LossSums],
    batch: Batch,
    parts: int,
    variables: Sequence[keras.Variable],
    *,
    names: Sequence[str],
    state: Sequence[keras.Variable] = (),
    scale: Callable[[tf.Tensor], tf.Tensor] = tf.identity,
) -> tuple[dict[str, tf.Tensor], list[tf.Tensor | None]]:
    """The losses of a batch, and their sum's gradients, computed part by part.

    Args:
      loss_sums: from a part of the batch to {name: (sum, count)}.
      batch: tensors [B, ...]; B is a multiple of parts.
      parts: how many.
      variables: that gradients are of.
      names: of the losses.
      state: variables that a forward pass changes, such as moving averages: counting leaves them as they were.
      scale: of the total that is differentiated, an optimizer's `scale_loss`.

    Returns:
      As of the whole batch: this replica's share of each loss, {name: float32 []}, see `criterion.normalize`; a
      gradient a variable, None for those that no loss depends on.

    Raises:
      ValueError: B is no multiple of parts.
    """
    split, names = {name: _split(value, parts) for name, value in batch.items()}, list(names)

    def sums_of(i):
        sums = loss_sums({name: value[i] for name, value in split.items()})
        return [tf.stack([sums[name][k] for name in names]) for k in (0, 1)]

    zeros, before = tf.zeros([len(names)]), [tf.identity(variable.value) for variable in state]
    counts = _loop(lambda i, counts: (counts + sums_of(i)[1],), parts, zeros)[0]
    with tf.control_dependencies([counts]):
        for variable, value in zip(state, before, strict=True):
            variable.assign(value)
    counts, unused = sum_over_replicas(counts), set()

    def add(i, losses, *gradients):
        with tf.GradientTape() as tape:
            part = tf.math.divide_no_nan(sums_of(i)[0], counts)
            total = scale(tf.reduce_sum(part))
        found = tape.gradient(total, variables)
        unused.update(k for k, gradient in enumerate(found) if gradient is None)
        added = [
            old if new is None else old + tf.convert_to_tensor(new) for old, new in zip(gradients, found, strict=True)
        ]
        return losses + part, *added

    losses, *gradients = _loop(add, parts, zeros, *(tf.zeros_like(variable) for variable in variables))
    gradients = [None if k in unused else gradient for k, gradient in enumerate(gradients)]
    return dict(zip(names, tf.unstack(losses), strict=True)), gradients


def _loop(body: Callable, parts: int, *start: tf.Tensor) -> tuple[tf.Tensor, ...]:
    """What `body` makes of `start`, part after part; not in parallel, which would need the memory of all."""
    return tf.while_loop(
        lambda i, *_: i < parts,
        lambda i, *values: (i + 1, *body(i, *values)),
        (tf.constant(0), *start),
        parallel_iterations=1,
        maximum_iterations=parts,
    )[1:]


def _split(value: tf.Tensor, parts: int) -> tf.Tensor:
    """[B, ...] as [parts, B / parts, ...]."""
    value = tf.convert_to_tensor(value)
    size = value.shape[0]
    if size is not None and size % parts:
        raise ValueError(f"accumulation_steps is {parts}; allowed: divisors of {size}, the images of a batch.")
    shape = tf.concat([[parts, -1], tf.shape(value)[1:]], 0)
    return tf.ensure_shape(tf.reshape(value, shape), [parts, size and size // parts, *value.shape[1:]])
