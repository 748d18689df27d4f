"""Joins targets and losses: what a labelled batch must hold, the RPN's losses, and division by global counts."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.heads.base import LossSums, RoiHead
from mask_rcnn_tf.models.norms import FrozenBatchNorm, is_identity, sum_over_replicas
from mask_rcnn_tf.ops.kernels import get_kernels

BATCH_KEYS = ("image", "image_shape", "image_id", "gt_boxes", "gt_classes")
PROPOSALS = ("proposals", "num_proposals")  # stored ones, in the place of the RPN's


def batch_of(data: Any) -> Any:
    """The batch of what Keras hands a step, which may be a pair of it and something that is not needed."""
    return data[0] if isinstance(data, tuple) else data


def check_labelled(batch: Mapping[str, tf.Tensor], heads: Sequence[RoiHead], has_rpn: bool = True):
    """Raises ValueError naming what a training batch lacks, for the RPN, or its absence, and for each of the heads."""
    needs = {key: "" for key in BATCH_KEYS} | {key: hint for head in heads for key, hint in head.needs.items()}
    needs |= {} if has_rpn else dict.fromkeys(PROPOSALS, "config.model.rpn.enabled is False")
    missing = [name for name in needs if name not in batch]
    if missing:
        hints = "".join(f" ({needs[name]})" for name in missing if needs[name])
        raise ValueError(f"the batch lacks {', '.join(missing)}; it has {', '.join(sorted(batch))}{hints}.")


def rpn_loss_sums(
    config: ModelConfig,
    batch: Mapping[str, tf.Tensor],
    step: tf.Tensor,
    levels: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
) -> LossSums:
    """Sums and counts of the RPN's two losses.

    Args:
      config: the model's.
      batch: labelled batch.
      step: int64 [], of the sampling seeds.
      levels: (objectness_logits float32 [B, n], anchor_deltas float32 [B, n, 4], anchors float32 [n, 4] in network
        pixels) of each.

    Returns:
      {name: (sum, count)} of this replica.
    """
    rpn = config.rpn
    logits, deltas, anchors = zip(*levels, strict=True)
    logits, deltas, anchors = tf.concat(logits, 1), tf.concat(deltas, 1), tf.concat(anchors, 0)
    seeds = target_ops.image_seeds(config.seed, step, batch["image_id"], 0)
    static = get_kernels(config.kernels).static
    positive, negative, targets = target_ops.rpn_targets(
        anchors, batch["gt_boxes"], batch["gt_classes"], seeds, rpn, config.sampler, static=static
    )
    objectness, sampled = loss_ops.objectness_loss(logits, positive, negative)
    box, _ = loss_ops.delta_loss(deltas, targets, positive, rpn.loss_beta)
    if rpn.loss_normalizer == "batch":
        sampled = tf.cast(tf.shape(logits)[0] * rpn.samples, tf.float32)
    return {"rpn_objectness": (objectness, sampled), "rpn_box": (box, sampled)}


def check_trainable(config: ModelConfig, layers: Iterable[keras.layers.Layer]):
    """Raises ValueError where a model cannot learn: frozen norms without pretrained statistics, bfloat16 weights."""
    if config.dtype == "bfloat16":
        raise ValueError(
            "config.model.dtype is 'bfloat16', which is for inference: small updates vanish in such weights. "
            "Allowed in training: 'float32', 'mixed_bfloat16', 'auto'."
        )
    backbone = config.backbone
    kinds = (FrozenBatchNorm,)
    if backbone.keras_application and backbone.norm == "frozen_batch_norm":  # which are Keras's, and not trainable
        kinds += (keras.layers.BatchNormalization,)
    frozen = [layer for layer in layers if isinstance(layer, kinds) and not layer.trainable_variables]
    if frozen and all(map(is_identity, frozen)):
        others = "'batch_norm'" if backbone.keras_application else "'batch_norm', 'sync_batch_norm' or 'group_norm'"
        raise ValueError(
            "config.model.backbone.norm is 'frozen_batch_norm' and no pretrained weights were loaded: a frozen "
            f"norm over random weights cannot learn. Load weights first (config.train.init_from), or choose {others}."
        )


def given_proposals(batch: Any) -> tuple[tf.Tensor, tf.Tensor]:
    """The stored `proposals` float32 [B, K, 4] and `num_proposals` int32 [B] of a batch, for a model without an RPN.

    Raises:
      ValueError: there are none.
    """
    if missing := [name for name in PROPOSALS if not (isinstance(batch, Mapping) and name in batch)]:
        raise ValueError(
            f"the batch lacks {', '.join(missing)}, and config.model.rpn.enabled is False; allowed: batches with "
            "stored proposals (config.data.val_proposals), or a model with an RPN."
        )
    return tuple(tf.stop_gradient(batch[name]) for name in PROPOSALS)


def normalize(sums: LossSums) -> dict[str, tf.Tensor]:
    """Divides every sum by its count over all replicas.

    The sum over replicas of what this returns is the loss of the whole batch: two replicas of half a batch train
    as one replica of the whole, whatever number of positives each sees.

    Args:
      sums: {name: (sum, count)}, float32 scalars of this replica.

    Returns:
      {name: float32 []}; 0 where the count is 0.
    """
    names = list(sums)
    counts = sum_over_replicas(tf.stack([sums[name][1] for name in names]))  # one all-reduce for all
    return {name: tf.math.divide_no_nan(sums[name][0], counts[i]) for i, name in enumerate(names)}
