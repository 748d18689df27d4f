"""Matching anchors or proposals to ground truths by intersection over union."""

import tensorflow as tf


def match(
    iou: tf.Tensor, gt_valid: tf.Tensor, positive_iou: float, negative_iou: float, allow_low_quality: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """Labels every box by its best ground truth.

    Args:
      iou: float32 [B, N, G], of N boxes with G ground truths.
      gt_valid: bool [B, G], False for padding. Padding never matches, whatever stands in `iou`.
      positive_iou: a box whose best IoU is at least this is positive.
      negative_iou: a box whose best IoU is below this is negative; what lies between is ignored.
      allow_low_quality: every box that reaches the best IoU of some ground truth, ties included, is positive too. It
        keeps its own best ground truth, which may be another one. A ground truth that meets no box at all (best
        IoU 0) thereby makes every box it misses positive, as in both references: drop ground truths without area
        before they come here.

    Returns:
      labels: int32 [B, N]; 1 positive, 0 negative, -1 ignored. All 0 for an image without ground truths.
      gt_indices: int32 [B, N]; the best ground truth of each box (the first of equals), whatever its label.

    Raises:
      ValueError: negative_iou is above positive_iou.

    Source: torchvision/models/detection/_utils.py `Matcher`; detectron2/modeling/matcher.py `Matcher`.
    """
    if negative_iou > positive_iou:
        raise ValueError(f"negative_iou is {negative_iou}; allowed: at most positive_iou = {positive_iou}.")
    iou = _with_a_column(tf.where(gt_valid[:, tf.newaxis, :], iou, -1.0))
    best = tf.reduce_max(iou, axis=2)
    gt_indices = tf.argmax(iou, axis=2, output_type=tf.int32)
    labels = tf.where(best >= positive_iou, 1, tf.where(best < negative_iou, 0, -1))
    if allow_low_quality:
        best_of_gt = tf.reduce_max(iou, axis=1, keepdims=True)
        # Padding is -1 everywhere and would tie with itself.
        reached = tf.reduce_any((iou == best_of_gt) & (best_of_gt >= 0.0), axis=2)
        labels = tf.where(reached, 1, labels)
    return labels, gt_indices


def _with_a_column(iou: tf.Tensor) -> tf.Tensor:
    """G = 0 becomes one column of padding, over which a maximum is defined; other sizes stay uncopied."""
    if iou.shape[2] is None:
        missing = tf.maximum(1 - tf.shape(iou)[2], 0)
    elif iou.shape[2] == 0:
        missing = 1
    else:
        return iou
    return tf.pad(iou, [[0, 0], [0, 0], [0, missing]], constant_values=-1.0)
