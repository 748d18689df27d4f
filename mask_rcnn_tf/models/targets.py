"""What the losses compare with: anchor targets, sampled RoIs and their targets. All float32, no gradient."""

import tensorflow as tf

from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import masks as mask_ops
from mask_rcnn_tf.ops.matching import match
from mask_rcnn_tf.ops.sampling import pack, sample


def image_seeds(seed, step, image_id, draw):
    """One seed an image, independent of its place in the batch and of the number of replicas.

    Args:
      seed: Python int of the configuration.
      step: int64 [], optimizer steps done.
      image_id: int64 [B].
      draw: Python int, different for each sampler of a step (0 or 1).

    Returns:
      int64 [B, 2].
    """
    high = tf.cast(step, tf.int64) * 2 + draw + (seed << 40)
    return tf.stack([tf.fill(tf.shape(image_id), high), image_id], 1)


def rpn_targets(anchors, gt_boxes, gt_classes, seeds, positive_iou, negative_iou, samples, positive_fraction, sampler):
    """Labels and deltas of the anchors, and which of them are sampled.

    Args:
      anchors: float32 [N, 4], all levels, network pixels.
      gt_boxes: float32 [B, G, 4], network pixels.
      gt_classes: int32 [B, G], 0 is padding.
      seeds: int64 [B, 2], of `image_seeds`.
      positive_iou, negative_iou, samples, positive_fraction: see `config.RpnConfig`.
      sampler: "random" or "evenly".

    Returns:
      positive bool [B, N], negative bool [B, N] (both sampled), delta_targets float32 [B, N, 4], valid where positive.

    Source: `detectron2/modeling/proposal_generator/rpn.py`, label_and_sample_anchors.
    """

    def match_image(image):
        iou = box_ops.pairwise_iou(anchors[None], image[0][None])
        labels, gt_indices = match(iou, image[1][None] > 0, positive_iou, negative_iou, True)
        return labels[0], gt_indices[0]

    # Image by image: the IoU of 270k anchors with 100 gt boxes takes 107 MB, which must not grow with the batch.
    labels, gt_indices = tf.map_fn(
        match_image, (gt_boxes, gt_classes), parallel_iterations=2, fn_output_signature=(tf.int32, tf.int32)
    )
    tiled = tf.broadcast_to(anchors[None], [tf.shape(gt_boxes)[0], tf.shape(anchors)[0], 4])
    positive, negative = sample(labels, seeds, samples, positive_fraction, sampler)
    matched = tf.gather(gt_boxes, gt_indices, batch_dims=1)
    # Only positives are read; a padding gt (no area) would encode to -inf.
    matched = tf.where(positive[..., None], matched, tiled)
    return positive, negative, box_ops.encode_deltas(matched, tiled, (1.0,) * 4)


def sample_rois(
    proposals, counts, gt_boxes, gt_classes, seeds, samples, positive_fraction, positive_iou, delta_weights, sampler
):
    """Proposals and ground truth boxes mixed, matched and sampled; positives first.

    Args:
      proposals: float32 [B, K, 4], network pixels.
      counts: int32 [B], proposals that are not padding.
      gt_boxes: float32 [B, G, 4].
      gt_classes: int32 [B, G], 0 is padding.
      seeds: int64 [B, 2].
      samples: R, RoIs an image.
      positive_fraction, positive_iou: see `config.RoiConfig`.
      delta_weights: (dy, dx, dh, dw) of the box head.
      sampler: "random" or "evenly".

    Returns:
      {"rois": float32 [B, R, 4], "roi_valid": bool [B, R], "roi_classes": int32 [B, R] (0 background and padding),
      "roi_delta_targets": float32 [B, R, 4] (valid where roi_classes > 0), "roi_gt_indices": int32 [B, R]}.

    Source: `detectron2/modeling/roi_heads/roi_heads.py`, label_and_sample_proposals.
    """
    gt_valid = gt_classes > 0
    is_proposal = tf.range(tf.shape(proposals)[1])[None] < counts[:, None]
    candidates = tf.concat([proposals, gt_boxes], 1)
    usable = tf.concat([is_proposal, gt_valid], 1)
    iou = box_ops.pairwise_iou(candidates, gt_boxes)
    labels, gt_indices = match(iou, gt_valid, positive_iou, positive_iou, False)
    labels = tf.where(usable, labels, -1)
    positive, negative = sample(labels, seeds, samples, positive_fraction, sampler)
    chosen, total = pack(positive, negative, samples)
    rois = tf.gather(candidates, chosen, batch_dims=1)
    gt_indices = tf.gather(gt_indices, chosen, batch_dims=1)
    is_positive = tf.range(samples)[None] < tf.reduce_sum(tf.cast(positive, tf.int32), 1)[:, None]
    classes = tf.where(is_positive, tf.gather(gt_classes, gt_indices, batch_dims=1), 0)
    valid = tf.range(samples)[None] < total[:, None]
    rois = tf.where(valid[..., None], rois, 0.0)
    matched = tf.where(is_positive[..., None], tf.gather(gt_boxes, gt_indices, batch_dims=1), rois)
    # Rows without a target get a unit box on both sides: encoding an empty one would give NaN, and NaN * 0 is NaN.
    unit = tf.constant([0.0, 0.0, 1.0, 1.0])
    reference = tf.where(is_positive[..., None], rois, unit)
    deltas = box_ops.encode_deltas(tf.where(is_positive[..., None], matched, unit), reference, delta_weights)
    return {
        "rois": rois,
        "roi_valid": valid,
        "roi_classes": classes,
        "roi_delta_targets": deltas,
        "roi_gt_indices": gt_indices,
    }


def mask_targets(rows, rois, gt_indices, gt_boxes, gt_masks, size, frame, kernels):
    """Mask targets of the foreground RoIs.

    Args:
      rows: `RoiRows` over [B, F].
      rois: float32 [B, F, 4], network pixels.
      gt_indices: int32 [B, F].
      gt_boxes: float32 [B, G, 4].
      gt_masks: uint8 0..255, [B, G, mh, mw] in the frame of the gt box, or [B, G, H, W] in that of the canvas.
      size: M.
      frame: "box" (binary targets, as Detectron2's polygons give) or "canvas" (torchvision's soft targets).
      kernels: "native" or "xla".

    Returns:
      float32 [n, M, M], a row for each of `rows`.
    """
    flat_rois = rows.flatten(rois)
    if frame == "canvas":
        indices = rows.flatten(gt_indices)
        return mask_ops.canvas_frame_targets(gt_masks, flat_rois, rows.batch_indices, indices, size, kernels)
    masks = rows.flatten(tf.gather(gt_masks, gt_indices, batch_dims=1))
    boxes = rows.flatten(tf.gather(gt_boxes, gt_indices, batch_dims=1))
    return mask_ops.box_frame_targets(masks, boxes, flat_rois, size)
