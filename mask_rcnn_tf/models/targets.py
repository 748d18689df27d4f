"""What the losses compare with: anchor targets, sampled RoIs and their targets. All float32, no gradient."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig, RoiConfig, RpnConfig
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import masks as mask_ops
from mask_rcnn_tf.ops.kernels import get_kernels
from mask_rcnn_tf.ops.matching import match
from mask_rcnn_tf.ops.sampling import pack, sample


def image_seeds(seed: int, step: tf.Tensor, image_id: tf.Tensor, draw: int) -> tf.Tensor:
    """One seed an image, independent of its place in the batch and of the number of replicas.

    Args:
      seed: Python int of the configuration.
      step: int64 [], optimizer steps done.
      image_id: int64 [B].
      draw: Python int, different for each sampler of a step (0 or 1).

    Returns:
      int64 [B, 2].
    """
    # 24 bits of the seed lie above 40 of the step; a longer one goes on above 25 of the image's id.
    low, rest = seed % 2**24, seed // 2**24
    high = tf.cast(step, tf.int64) * 2 + draw + _wrapped(low << 40)
    return tf.stack([tf.fill(tf.shape(image_id), high), image_id + _wrapped(rest << 25)], 1)


def _wrapped(value: int) -> int:
    """The int64 with the lowest 64 bits of a Python int."""
    return (value + 2**63) % 2**64 - 2**63


def rpn_targets(
    anchors: tf.Tensor,
    gt_boxes: tf.Tensor,
    gt_classes: tf.Tensor,
    seeds: tf.Tensor,
    rpn: RpnConfig,
    sampler: str,
    *,
    static: bool,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Labels and deltas of the anchors, and which of them are sampled.

    Args:
      anchors: float32 [N, 4], all levels, network pixels.
      gt_boxes: float32 [B, G, 4], network pixels.
      gt_classes: int32 [B, G], 0 is padding.
      seeds: int64 [B, 2], of `image_seeds`.
      rpn: the configuration's section.
      sampler: "random" or "evenly".
      static: whether shapes must be constant (`ops.kernels.Kernels`); if not, the padding at the end of an image's
        ground truth is not compared with its anchors.

    Returns:
      positive bool [B, N], negative bool [B, N] (both sampled), delta_targets float32 [B, N, 4], valid where positive.

    Source: `detectron2/modeling/proposal_generator/rpn.py`, label_and_sample_anchors.
    """

    def match_image(image):
        boxes, valid = image[0], image[1] > 0
        if not static:
            used = tf.reduce_max(tf.where(valid)) + 1  # below 0 without any
            boxes, valid = boxes[: tf.maximum(used, 1)], valid[: tf.maximum(used, 1)]
        iou = box_ops.pairwise_iou(anchors[None], boxes[None])
        labels, gt_indices = match(iou, valid[None], rpn.positive_iou, rpn.negative_iou, True)
        return labels[0], gt_indices[0]

    # Image by image: the IoU of 270k anchors with 100 gt boxes takes 107 MB, which must not grow with the batch.
    labels, gt_indices = tf.map_fn(
        match_image, (gt_boxes, gt_classes), parallel_iterations=2, fn_output_signature=(tf.int32, tf.int32)
    )
    tiled = tf.broadcast_to(anchors[None], [tf.shape(gt_boxes)[0], tf.shape(anchors)[0], 4])
    positive, negative = sample(labels, seeds, rpn.samples, rpn.positive_fraction, sampler)
    matched = tf.gather(gt_boxes, gt_indices, batch_dims=1)
    # Only positives are read; a padding gt (no area) would encode to -inf.
    matched = tf.where(positive[..., None], matched, tiled)
    return positive, negative, box_ops.encode_deltas(matched, tiled, (1.0,) * 4)


def sample_rois(
    proposals: tf.Tensor,
    counts: tf.Tensor,
    batch: Mapping[str, tf.Tensor],
    seeds: tf.Tensor,
    roi: RoiConfig,
    sampler: str,
) -> dict[str, tf.Tensor]:
    """Proposals and ground truth boxes mixed, matched and sampled; positives first.

    Args:
      proposals: float32 [B, K, 4], network pixels.
      counts: int32 [B], proposals that are not padding.
      batch: `gt_boxes` float32 [B, G, 4] and `gt_classes` int32 [B, G], 0 being padding, are read.
      seeds: int64 [B, 2].
      roi: the configuration's section; R is `roi.samples`.
      sampler: "random" or "evenly".

    Returns:
      {"rois": float32 [B, R, 4], "roi_valid": bool [B, R], "roi_classes": int32 [B, R] (0 background and padding),
      "roi_gt_indices": int32 [B, R]}.

    Source: `detectron2/modeling/roi_heads/roi_heads.py`, label_and_sample_proposals.
    """
    gt_boxes, gt_classes = batch["gt_boxes"], batch["gt_classes"]
    gt_valid = gt_classes > 0
    is_proposal = tf.range(tf.shape(proposals)[1])[None] < counts[:, None]
    candidates = tf.concat([proposals, gt_boxes], 1)
    usable = tf.concat([is_proposal, gt_valid], 1)
    iou = box_ops.pairwise_iou(candidates, gt_boxes)
    labels, gt_indices = match(iou, gt_valid, roi.positive_iou, roi.positive_iou, False)
    labels = tf.where(usable, labels, -1)
    positive, negative = sample(labels, seeds, roi.samples, roi.positive_fraction, sampler)
    chosen, total = pack(positive, negative, roi.samples)
    gt_indices = tf.gather(gt_indices, chosen, batch_dims=1)
    is_positive = tf.range(roi.samples)[None] < tf.reduce_sum(tf.cast(positive, tf.int32), 1)[:, None]
    valid = tf.range(roi.samples)[None] < total[:, None]
    return {
        "rois": tf.where(valid[..., None], tf.gather(candidates, chosen, batch_dims=1), 0.0),
        "roi_valid": valid,
        "roi_classes": tf.where(is_positive, tf.gather(gt_classes, gt_indices, batch_dims=1), 0),
        "roi_gt_indices": gt_indices,
    }


def relabel_rois(
    boxes: tf.Tensor, sampled: Mapping[str, tf.Tensor], batch: Mapping[str, tf.Tensor], positive_iou: float
) -> dict[str, tf.Tensor]:
    """What the next stage of a cascade trains on: the boxes of the stage before, matched again; nothing is sampled.

    Args:
      boxes: float32 [B, R, 4], network pixels, clipped to the image; what `sampled` became.
      sampled: of `sample_rois`, or of this function.
      batch: `gt_boxes` float32 [B, G, 4] and `gt_classes` int32 [B, G], 0 being padding, are read.
      positive_iou: a box whose best IoU is at least this is foreground.

    Returns:
      As `sample_rois`, without an order. Boxes without area, which the references drop, are not valid.

    Source: `detectron2/modeling/roi_heads/cascade_rcnn.py`, _create_proposals_from_boxes and _match_and_label_boxes.
    """
    gt_boxes, gt_classes = batch["gt_boxes"], batch["gt_classes"]
    boxes = tf.stop_gradient(boxes)
    valid = sampled["roi_valid"] & box_ops.has_area(boxes)
    boxes = tf.where(valid[..., None], boxes, 0.0)
    iou = box_ops.pairwise_iou(boxes, gt_boxes)
    labels, gt_indices = match(iou, gt_classes > 0, positive_iou, positive_iou, False)
    is_positive = valid & (labels == 1)
    return {
        "rois": boxes,
        "roi_valid": valid,
        "roi_classes": tf.where(is_positive, tf.gather(gt_classes, gt_indices, batch_dims=1), 0),
        "roi_gt_indices": gt_indices,
    }


def delta_targets(sampled: Mapping[str, tf.Tensor], gt_boxes: tf.Tensor, delta_weights: Sequence[float]) -> tf.Tensor:
    """What the box deltas of sampled RoIs should be.

    Args:
      sampled: of `sample_rois`.
      gt_boxes: float32 [B, G, 4].
      delta_weights: (dy, dx, dh, dw) of the box head.

    Returns:
      float32 [B, R, 4], valid where roi_classes > 0.
    """
    is_positive = (sampled["roi_classes"] > 0)[..., None]
    matched = tf.gather(gt_boxes, sampled["roi_gt_indices"], batch_dims=1)
    # Rows without a target get a unit box on both sides: encoding an empty one would give NaN, and NaN * 0 is NaN.
    unit = tf.constant([0.0, 0.0, 1.0, 1.0])
    matched, reference = (tf.where(is_positive, boxes, unit) for boxes in (matched, sampled["rois"]))
    return box_ops.encode_deltas(matched, reference, delta_weights)


def mask_targets(
    batch: Mapping[str, tf.Tensor],
    rois: tf.Tensor,
    gt_indices: tf.Tensor,
    rows: RoiRows,
    size: int,
    config: ModelConfig,
) -> tf.Tensor:
    """Mask targets of the foreground RoIs.

    Args:
      batch: `image_shape` int32 [B, 2], `gt_boxes` float32 [B, G, 4], and `gt_masks` uint8 0..255, [B, G, mh, mw] in
        the frame of the gt box, or [B, G, H, W] in that of the canvas, are read.
      rois: float32 [B, F, 4], network pixels.
      gt_indices: int32 [B, F].
      rows: `RoiRows` over [B, F].
      size: M.
      config: `masks_on_canvas` (False: binary targets, as Detectron2's polygons give; True: torchvision's soft
        targets) and `kernels` are read.

    Returns:
      float32 [n, M, M], a row for each of `rows`.
    """
    flat_rois = rows.flatten(rois)
    if config.masks_on_canvas:
        targets = get_kernels(config.kernels).canvas_targets
        indices = rows.flatten(gt_indices)
        return targets(batch["gt_masks"], batch["image_shape"], flat_rois, rows.batch_indices, indices, size)
    masks = rows.flatten(tf.gather(batch["gt_masks"], gt_indices, batch_dims=1))
    boxes = rows.flatten(tf.gather(batch["gt_boxes"], gt_indices, batch_dims=1))
    return mask_ops.box_frame_targets(masks, boxes, flat_rois, size)
