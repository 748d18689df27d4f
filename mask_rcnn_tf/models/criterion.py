"""Joins targets and losses: what a labelled batch must hold, the RPN's losses, and division by global counts."""

import tensorflow as tf

from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.norms import sum_over_replicas


def check_labelled(batch, needs_masks):
    """Raises ValueError naming what a training batch lacks."""
    needed = ["image", "image_shape", "image_id", "gt_boxes", "gt_classes"] + ["gt_masks"] * needs_masks
    missing = [name for name in needed if name not in batch]
    if missing:
        hint = " (or set config.model.mask_head.enabled=False)" if "gt_masks" in missing else ""
        raise ValueError(f"the batch lacks {', '.join(missing)}; it has {', '.join(sorted(batch))}{hint}.")


def rpn_loss_sums(config, batch, step, anchors, objectness_logits, anchor_deltas):
    """Sums and counts of the RPN's two losses.

    Args:
      config: the `ModelConfig`.
      batch: labelled batch.
      step: int64 [], of the sampling seeds.
      anchors: float32 [N, 4], network pixels.
      objectness_logits: float32 [B, N].
      anchor_deltas: float32 [B, N, 4].

    Returns:
      {name: (sum, count)} of this replica.
    """
    rpn = config.rpn
    positive, negative, delta_targets = target_ops.rpn_targets(
        anchors,
        batch["gt_boxes"],
        batch["gt_classes"],
        target_ops.image_seeds(config.seed, step, batch["image_id"], 0),
        rpn.positive_iou,
        rpn.negative_iou,
        rpn.samples,
        rpn.positive_fraction,
        config.sampler,
    )
    objectness, sampled = loss_ops.objectness_loss(objectness_logits, positive, negative)
    box, _ = loss_ops.delta_loss(anchor_deltas, delta_targets, positive, rpn.loss_beta)
    if rpn.loss_normalizer == "batch":
        sampled = tf.cast(tf.shape(objectness_logits)[0] * rpn.samples, tf.float32)
    return {"rpn_objectness": (objectness, sampled), "rpn_box": (box, sampled)}


def normalize(sums):
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
