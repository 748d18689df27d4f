"""Non-maximum suppression: over all boxes of an image, or within each class, in the forms of `kernels`."""

import numpy as np
import tensorflow as tf

from mask_rcnn_tf.ops import onnx_operators
from mask_rcnn_tf.ops.boxes import area, has_area, pairwise_iou
from mask_rcnn_tf.ops.sampling import pack

FAR = 2.0**20  # pixels, further than any box; floats still tell halves of pixels apart there


def nms_native(
    boxes: tf.Tensor, scores: tf.Tensor, max_outputs: int, iou_threshold: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """Greedy non-maximum suppression, best score first, by TensorFlow's operator.

    Args:
      boxes: float32 [B, N, 4], pixels. Boxes without area, inverted ones included, meet nothing and are kept.
      scores: float32 [B, N]; of equal scores the lower index goes first. -inf (and NaN) is never selected.
      max_outputs: length of the output; N may be smaller, and may be 0.
      iou_threshold: a box is suppressed if its IoU with a kept, better one is strictly above this.

    Returns:
      indices: int32 [B, max_outputs] into N, in the order of scores, padded with 0.
      counts: int32 [B], entries of `indices` that are not padding.

    Source: torchvision/csrc/ops/cpu/nms_kernel.cpp; tensorflow/core/kernels/image/non_max_suppression_op.cc.
    """
    return _suppress(boxes, scores, max_outputs, iou_threshold)


def nms_xla(boxes: tf.Tensor, scores: tf.Tensor, max_outputs: int, iou_threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """`nms_native` in static shapes, [B, N, N] bytes of memory."""
    scores, order = _sorted_best(scores, None)
    boxes = tf.gather(boxes, order, batch_dims=1)
    keep = _fixed_point(_suppressors(boxes, iou_threshold), scores > -float("inf"))
    kept, counts = pack(keep, tf.zeros_like(keep), max_outputs)
    return _take(order, kept, counts), counts


def nms_tflite(
    boxes: tf.Tensor, scores: tf.Tensor, max_outputs: int, iou_threshold: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """`nms_native` by TFLite's operator; B is known."""
    scores, order = _sorted_best(scores, None)
    boxes, valid = tf.gather(boxes, order, batch_dims=1), scores > -float("inf")
    found = [
        _suppress_tflite(boxes[i : i + 1], valid[i : i + 1], max_outputs, iou_threshold) for i in range(boxes.shape[0])
    ]
    kept, counts = (tf.concat(part, 0) for part in zip(*found, strict=True))
    return _take(order, kept, counts), counts


def nms_onnx(
    boxes: tf.Tensor, scores: tf.Tensor, max_outputs: int, iou_threshold: float
) -> tuple[tf.Tensor, tf.Tensor]:
    """`nms_native` by ONNX's operator, for exports alone."""
    keep = onnx_operators.non_max_suppression(
        _collapse(boxes), scores, max_outputs, iou_threshold, -float("inf"), _suppress
    )
    top, order = _sorted_best(tf.where(keep, scores, -float("inf")), max_outputs)
    counts = tf.reduce_sum(tf.cast(top > -float("inf"), tf.int32), axis=1)
    order = tf.pad(order, [[0, 0], [0, max_outputs - tf.shape(order)[1]]])
    return tf.where(tf.range(max_outputs)[tf.newaxis] < counts[:, tf.newaxis], order, 0), counts


def _suppress(boxes, scores, max_outputs, iou_threshold, score_threshold=-float("inf")):
    def one_image(image):
        indices, _, count = tf.raw_ops.NonMaxSuppressionV5(
            boxes=image[0],
            scores=image[1],
            max_output_size=max_outputs,
            iou_threshold=iou_threshold,
            score_threshold=score_threshold,
            soft_nms_sigma=0.0,
            pad_to_max_output_size=True,
        )
        return tf.ensure_shape(indices, [max_outputs]), count

    return tf.map_fn(one_image, (_collapse(boxes), scores), fn_output_signature=(tf.int32, tf.int32))


def _collapse(boxes):
    """Inverted boxes lose their area: TensorFlow's operator would swap their corners instead."""
    corner, opposite = boxes[..., :2], boxes[..., 2:]
    return tf.concat([corner, tf.maximum(corner, opposite)], axis=-1)


def class_nms_native(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_detections: int,
    iou_threshold: float,
    score_threshold: float,
    max_candidates: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Non-maximum suppression within each class, then the best of all classes together.

    Args:
      boxes: float32 [B, K, C, 4], pixels, one box a class.
      scores: float32 [B, K, C], without background.
      max_detections: D.
      iou_threshold: a box is suppressed if its IoU with a kept, better one of its class is strictly above this.
      score_threshold: only scores strictly above this take part.
      max_candidates: read in the forms of constant shapes only: (box, class) pairs an image that take part, best
        first. The forms agree as long as no more pairs pass the threshold, or D are found among them.

    Returns:
      boxes: float32 [B, D, 4], pixels, best score first, padded with 0.
      scores: float32 [B, D], padded with 0.
      classes: int32 [B, D], 1..C, padded with 0.
      counts: int32 [B], rows that are not padding.

    Source: detectron2/modeling/roi_heads/fast_rcnn.py `fast_rcnn_inference_single_image`.
    """
    # tf.image.combined_non_max_suppression takes equal scores in no defined order, and saturated scores are equal.
    shape = tf.shape(scores)
    batch, num_boxes, num_classes = shape[0], shape[1], shape[2]
    of_class = tf.reshape(tf.transpose(boxes, [0, 2, 1, 3]), [batch * num_classes, num_boxes, 4])
    class_scores = tf.reshape(tf.transpose(scores, [0, 2, 1]), [batch * num_classes, num_boxes])
    kept, counts = _suppress(of_class, class_scores, max_detections, iou_threshold, score_threshold)
    real = tf.sequence_mask(counts, max_detections)
    rows = tf.cast(tf.where(real)[:, 0], tf.int32)
    kept = tf.boolean_mask(kept, real)
    # Back in the order (box, class), in which equal scores are ranked.
    places = tf.stack([rows // num_classes, kept * num_classes + rows % num_classes], axis=-1)
    keep = tf.scatter_nd(places, tf.ones_like(kept), [batch, num_boxes * num_classes]) > 0
    scores = tf.where(keep, tf.reshape(scores, [batch, num_boxes * num_classes]), -float("inf"))
    classes = tf.tile(tf.range(1, num_classes + 1)[tf.newaxis, :], [batch, num_boxes])
    return _best(tf.reshape(boxes, [batch, num_boxes * num_classes, 4]), scores, classes, max_detections)


def class_nms_xla(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_detections: int,
    iou_threshold: float,
    score_threshold: float,
    max_candidates: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`class_nms_native` in static shapes."""
    boxes, scores, classes = _candidates(boxes, scores, score_threshold, max_candidates)
    same_class = classes[:, :, tf.newaxis] == classes[:, tf.newaxis, :]
    keep = _fixed_point(_suppressors(boxes, iou_threshold) & same_class, scores > -float("inf"))
    return _best(boxes, tf.where(keep, scores, -float("inf")), classes, max_detections)


def class_nms_tflite(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_detections: int,
    iou_threshold: float,
    score_threshold: float,
    max_candidates: int,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`class_nms_native` by TFLite's operator; B = 1."""
    num_classes = tf.shape(scores)[2]
    boxes, scores, classes = _candidates(boxes, scores, score_threshold, max_candidates)
    keep = _keep_classes_tflite(boxes, scores, classes, num_classes, max_detections, iou_threshold)
    return _best(boxes, tf.where(keep, scores, -float("inf")), classes, max_detections)


def _candidates(boxes, scores, score_threshold, max_candidates):
    """The best (box, class) pairs of each image: boxes [B, n, 4], scores [B, n] (-inf at padding), classes [B, n]."""
    num_classes = tf.shape(scores)[2]
    batch, pairs = tf.shape(scores)[0], tf.shape(scores)[1] * num_classes
    scores = tf.reshape(tf.where(scores > score_threshold, scores, -float("inf")), [batch, pairs])
    scores, order = _sorted_best(scores, max_candidates)
    boxes = tf.gather(tf.reshape(boxes, [batch, pairs, 4]), order, batch_dims=1)
    return boxes, scores, order % num_classes + 1


def class_nms_onnx(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_detections: int,
    iou_threshold: float,
    score_threshold: float,
    max_candidates: int | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """`class_nms_native` by ONNX's operator, for exports alone."""
    # The operator's classes share their boxes, and ours do not: to it each class of each image is an image.
    shape = tf.shape(scores)
    batch, num_boxes, num_classes = shape[0], shape[1], shape[2]
    of_class = tf.reshape(tf.transpose(boxes, [0, 2, 1, 3]), [batch * num_classes, num_boxes, 4])
    class_scores = tf.reshape(tf.transpose(scores, [0, 2, 1]), [batch * num_classes, num_boxes])
    keep = onnx_operators.non_max_suppression(
        _collapse(of_class), class_scores, max_detections, iou_threshold, score_threshold, _suppress
    )
    keep = tf.transpose(tf.reshape(keep, [batch, num_classes, num_boxes]), [0, 2, 1])
    pairs = [batch, num_boxes * num_classes]
    scores = tf.reshape(tf.where(keep, scores, -float("inf")), pairs)
    classes = tf.tile(tf.range(1, num_classes + 1)[tf.newaxis, :], [batch, num_boxes])
    return _best(tf.reshape(boxes, [*pairs, 4]), scores, classes, max_detections)


def _suppress_tflite(boxes, valid, max_outputs, iou_threshold):
    """`kept` int32 [1, max_outputs] and `counts` [1] of boxes [1, N, 4] that are in the order of scores.

    TFLite's kernel takes tied scores in no defined order, so the places in the order stand for scores. It suppresses
    from the threshold on, not above it, so the next float32 is its threshold. It drops a box that it has kept from its
    queue because the box meets itself, so one without area would be kept again and again: such boxes get a place far
    from everything (all measured, ai_edge_litert 2.3).

    Source: tensorflow/lite/kernels/internal/reference/non_max_suppression.h.
    """
    place = tf.cast(tf.range(tf.shape(boxes)[1]), tf.float32)
    far = tf.stack([FAR + 2.0 * place, tf.fill(tf.shape(place), FAR)], axis=-1)
    alone = tf.concat([far, far + 1.0], axis=-1)
    empty = ~(has_area(boxes[0]) & (area(boxes[0]) > 0.0))
    kept, _, count = tf.raw_ops.NonMaxSuppressionV5(
        boxes=tf.where(empty[:, tf.newaxis], alone, boxes[0]),
        scores=tf.where(valid[0], -place, -float("inf")),
        max_output_size=max_outputs,
        iou_threshold=min(float(np.nextafter(np.float32(iou_threshold), np.float32(2))), 1.0),
        score_threshold=-float("inf"),
        soft_nms_sigma=0.0,
        pad_to_max_output_size=True,
    )
    return tf.ensure_shape(kept, [max_outputs])[tf.newaxis], count[tf.newaxis]


def _keep_classes_tflite(boxes, scores, classes, num_classes, max_outputs, iou_threshold):
    """bool [1, N]: the boxes that suppression within each class keeps; boxes [1, N, 4] in the order of scores [1, N].

    One class after the other: its candidates are few, and the operator's time is that of those it keeps.
    """

    def one_class(number, keep):
        valid = (classes == number) & (scores > -float("inf"))
        kept, counts = _suppress_tflite(boxes, valid, max_outputs, iou_threshold)
        real = tf.cast(tf.range(max_outputs) < counts[0], tf.int32)  # padding adds 0 to place 0
        return number + 1, keep + tf.scatter_nd(kept[0][:, tf.newaxis], real, tf.shape(keep)[:1])

    start = tf.ones([], tf.int32), tf.zeros(tf.shape(scores)[1:], tf.int32)
    return (tf.while_loop(lambda number, _: number <= num_classes, one_class, start)[1] > 0)[tf.newaxis]


def _best(boxes, scores, classes, size):
    """The `size` best of N boxes, zero-padded, and their count; a score of -inf does not count."""
    top, order = _sorted_best(scores, size)
    counts = tf.reduce_sum(tf.cast(top > -float("inf"), tf.int32), axis=1)
    kept = tf.pad(order, [[0, 0], [0, size - tf.shape(order)[1]]])
    return _take(boxes, kept, counts), _take(scores, kept, counts), _take(classes, kept, counts), counts


def _sorted_best(scores, limit):
    """The best `limit` (None: all) scores of each image, best first, equal ones in index order; and their indices."""
    length = tf.shape(scores)[1] if scores.shape[1] is None else scores.shape[1]
    k = length if limit is None else (min(limit, length) if isinstance(length, int) else tf.minimum(limit, length))
    scores = tf.where(scores > -float("inf"), scores, -float("inf"))  # a NaN would have no place in the order
    return tf.math.top_k(scores, k)


def _suppressors(boxes, iou_threshold):
    """bool [B, N, N] of boxes in the order of scores: [b, i, j] if box i, once kept, suppresses box j."""
    place = tf.range(tf.shape(boxes)[1])
    earlier = place[:, tf.newaxis] < place[tf.newaxis, :]
    return (pairwise_iou(boxes, boxes) > iou_threshold) & earlier


def _fixed_point(suppressors, valid):
    """bool [B, N]: the boxes that greedy suppression keeps.

    keep[j] = valid[j] and no kept i with suppressors[i, j]. As i < j, there is one solution; each round settles at
    least one more place of every chain of suppressions, so the loop ends after the longest chain, rarely above 10.
    """

    def next_keep(keep):
        return valid & ~tf.reduce_any(suppressors & keep[:, :, tf.newaxis], axis=1)

    def unsettled(keep, previous):
        return tf.reduce_any(keep != previous)

    def step(keep, _):
        return next_keep(keep), keep

    return tf.while_loop(unsettled, step, (next_keep(valid), valid))[0]


def _take(values, kept, counts):
    """float or int [B, D, ...]: rows `kept` [B, D] of `values` [B, N, ...], 0 from `counts` [B] on."""
    real = tf.sequence_mask(counts, tf.shape(kept)[1])
    # One row more, so that there is something to gather where N is 0.
    values = tf.pad(values, [[0, 0], [0, 1]] + [[0, 0]] * (values.shape.rank - 2))
    for _ in range(values.shape.rank - 2):
        real = real[..., tf.newaxis]
    return tf.where(real, tf.gather(values, kept, batch_dims=1), tf.zeros([], values.dtype))
