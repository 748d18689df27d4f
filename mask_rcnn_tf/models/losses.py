"""Losses as sums with their denominators; the model sums denominators over replicas before it divides.

Every function returns (sum, count) as float32 scalars of this replica. All inputs are float32.
"""

import tensorflow as tf


def smooth_l1(errors: tf.Tensor, beta: float) -> tf.Tensor:
    """Smooth L1: 0.5 e^2 / beta below beta, |e| - beta / 2 above; L1 at beta 0. Source: arXiv:1504.08083."""
    size = tf.abs(errors)
    if beta == 0:
        return size
    return tf.where(size < beta, 0.5 * size * size / beta, size - 0.5 * beta)


def _masked_sum(values, mask):
    # where, not a product: an unused row may hold inf, and inf * 0 is NaN.
    return tf.reduce_sum(tf.where(mask, values, 0.0))


def _count(mask):
    return tf.reduce_sum(tf.cast(mask, tf.float32))


def objectness_loss(
    objectness_logits: tf.Tensor, positive: tf.Tensor, negative: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Binary cross entropy of the sampled anchors.

    Args:
      objectness_logits: [B, N].
      positive, negative: bool [B, N], sampled anchors.

    Returns:
      The sum and the number of sampled anchors. Source: arXiv:1506.01497, equation 1.
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(positive, tf.float32), objectness_logits)
    sampled = positive | negative
    return _masked_sum(entropy, sampled), _count(sampled)


def delta_loss(deltas: tf.Tensor, targets: tf.Tensor, mask: tf.Tensor, beta: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Smooth L1 of the box deltas where `mask` is True, summed over the four.

    Args:
      deltas, targets: [..., 4].
      mask: bool [...].
      beta: where the parabola meets the line.

    Returns:
      The sum and the number of True. Source: arXiv:1504.08083, equations 2 and 3.
    """
    # The error of an unused row is made 0 before the loss, so that its gradient is 0 and never NaN.
    errors = tf.where(mask[..., None], deltas - targets, 0.0)
    return tf.reduce_sum(smooth_l1(errors, beta)), _count(mask)


def class_loss(class_logits: tf.Tensor, classes: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Softmax cross entropy of the sampled RoIs.

    Args:
      class_logits: [B, R, C + 1], background first.
      classes: int32 [B, R].
      valid: bool [B, R].

    Returns:
      The sum and the number of valid RoIs.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(classes, class_logits)
    return _masked_sum(entropy, valid), _count(valid)


def class_deltas(box_deltas: tf.Tensor, classes: tf.Tensor) -> tf.Tensor:
    """The deltas [B, R, 4] of each RoI's own class, from [B, R, C, 4]; background gives the first class's."""
    return tf.gather(box_deltas, tf.maximum(classes - 1, 0), batch_dims=2)


def mask_loss(mask_logits: tf.Tensor, targets: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Binary cross entropy of the masks of the RoIs' own classes.

    Args:
      mask_logits: [n, M, M].
      targets: [n, M, M], 0..1.
      valid: bool [n], rows that count.

    Returns:
      The sum and the number of pixels, 0 and 0 without foreground. Source: paper, section 3, "Mask Representation".
    """
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(targets, mask_logits)
    pixels = tf.broadcast_to(valid[:, None, None], tf.shape(entropy))
    return _masked_sum(entropy, pixels), _count(pixels)


def softmax_mask_loss(
    mask: tf.Tensor, background: tf.Tensor, targets: tf.Tensor, valid: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Multinomial cross entropy of each pixel, which is of the RoI's own class or background.

    Args:
      mask, background: logarithms of the softmax for the class and for background, [n, M, M].
      targets: [n, M, M], 0..1.
      valid: bool [n], rows that count.

    Returns:
      The sum and the number of pixels. Source: paper, section 4.1, "Multinomial vs. Independent Masks".
    """
    entropy = -(targets * mask + (1.0 - targets) * background)
    pixels = tf.broadcast_to(valid[:, None, None], tf.shape(entropy))
    return _masked_sum(entropy, pixels), _count(pixels)


def keypoint_loss(keypoint_logits: tf.Tensor, cells: tf.Tensor, valid: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Softmax cross entropy over the cells of heat maps.

    Args:
      keypoint_logits: [n, S, S, J].
      cells: int32 [n, J], row * S + column of each keypoint.
      valid: bool [n, J], keypoints that count.

    Returns:
      The sum and the number of keypoints, 0 and 0 without any. Source: paper, section 5.
    """
    cell_count = keypoint_logits.shape[1] * keypoint_logits.shape[2]
    logits = tf.reshape(tf.transpose(keypoint_logits, [0, 3, 1, 2]), [-1, keypoint_logits.shape[3], cell_count])
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(cells, logits)
    return _masked_sum(entropy, valid), _count(valid)
