"""From a record in pixels of its image to one in pixels of a view of it (`views`).

What follows (resizing, jitter, pasting, mirrors) takes the one as the other.
"""

from typing import Any

import tensorflow as tf

from mask_rcnn_tf.config import Config
from mask_rcnn_tf.data import mask_runs, records
from mask_rcnn_tf.data.views import View, view_of
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops import images as image_ops
from mask_rcnn_tf.ops import masks as mask_ops


def viewed(config: Config, compacted: dict[str, Any], draws: dict[str, tf.Tensor]) -> dict[str, Any]:
    """A record as it is seen.

    Args:
      config: `data.min_visible`, `data.max_gt`, `model.preprocess` and whether the model has masks are read.
      compacted: from `transforms.compact`, with or without `proposals`.
      draws: of `transforms.augment_draws`.

    Returns:
      The record in pixels of the view. Objects whose mask is cut, or turned by another than a right angle, have the box
      of what is left of it; others the box around the corners of theirs, cut. Objects of which less than `min_visible`
      is left are dropped, then those above `max_gt`; keypoints outside are unlabelled.
    """
    if "crop" not in draws:
        return compacted
    view = view_of(tf.shape(compacted["image"])[:2], draws)
    height, width = tf.unstack(view.shape)
    seen = compacted | {"image": view.pixels(compacted["image"], _outside(config)), "height": height, "width": width}
    if "keypoints" in compacted:
        seen["keypoints"] = _keypoints(view, compacted["keypoints"])
    if "proposals" in compacted:
        seen["proposals"] = view.clipped(compacted["proposals"])
    if "masks" in compacted:
        seen["masks"] = tf.image.rot90(compacted["masks"][..., tf.newaxis], view.quarters)[..., 0]
    if "mask_counts" not in compacted:
        return seen | {"boxes": view.clipped(compacted["boxes"])}
    boxes, counts, share = _cut(view, tf.shape(compacted["image"])[0], compacted["mask_counts"], compacted["boxes"])
    seen |= {"boxes": boxes, "mask_counts": counts}
    return _left(config, seen, (share > 0) & (share >= config.data.min_visible))


def _outside(config: Config) -> tf.Tensor:
    """The level that normalisation makes 0, as the rest of a canvas is, float32 [C]."""
    preprocess = config.model.preprocess
    kind = preprocess.pixels
    numbers = preprocess.channel_order, preprocess.pixel_scale, preprocess.mean, preprocess.std
    return tf.round(tf.clip_by_value(image_ops.denormalize(tf.zeros([kind.channels]), *numbers), 0.0, kind.white))


def _keypoints(view: View, keypoints: tf.Tensor) -> tf.Tensor:
    """Keypoints [g, J, 3] (x, y, v) in the view; those outside of it have v = 0."""
    places = view.points(keypoints[..., 1::-1])
    inside = tf.reduce_all((places >= 0) & (places <= tf.cast(view.shape, tf.float32)), axis=-1, keepdims=True)
    return tf.concat([places[..., ::-1], tf.where(inside, keypoints[..., 2:], 0.0)], axis=-1)


def _cut(
    view: View, height: tf.Tensor, mask_counts: tf.RaggedTensor, boxes: tf.Tensor
) -> tuple[tf.Tensor, tf.RaggedTensor, tf.Tensor]:
    """Objects in the view, one after the other: boxes [g, 4], run lengths, and which share of each is left [g]."""

    def one(inputs):
        counts, box = inputs
        part, corner, area = _mask(view, height, counts)
        left = tf.reduce_sum(tf.cast(part, tf.float32))
        around = view.boxes(box[tf.newaxis])
        clipped = view.clipped(box[tf.newaxis])
        has_mask = area > 0
        is_cut = has_mask & ((left < area) | ~view.is_exact)
        tight = mask_ops.tight_box(part) + tf.cast(tf.tile(corner, [2]), tf.float32)
        share = tf.where(has_mask, left / area, tf.math.divide_no_nan(box_ops.area(clipped), box_ops.area(around))[0])
        runs = mask_runs.encode(part, corner, view.shape)
        return tf.where(is_cut, tight, clipped[0]), runs[: tf.where(has_mask, tf.size(runs), 0)], share

    signature = tf.TensorSpec([4]), tf.RaggedTensorSpec([None], tf.int32), tf.TensorSpec([])
    return tf.map_fn(one, (mask_counts, boxes), fn_output_signature=signature)


def _mask(view: View, height: tf.Tensor, counts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """What of a mask is in the view, uint8 [ph, pw], the corner of it int32 [2], and the area of the whole mask."""
    first, end = mask_runs.columns(counts, height)
    bitmap = mask_runs.decode_columns(counts, height, first, tf.maximum(end, first + 1))
    offset = tf.cast(tf.stack([0, first, 0, first]), tf.float32)
    part, corner = view.bitmap(bitmap, first, mask_ops.tight_box(bitmap) + offset)
    return part, corner, tf.reduce_sum(tf.cast(bitmap, tf.float32))


def _left(config: Config, record: dict[str, Any], keep: tf.Tensor) -> dict[str, Any]:
    """The record with the objects that bool [g] `keep` has, as many as there may be."""
    kept = tf.where(keep)[: config.data.max_gt, 0]
    found = {name: tf.gather(value, kept) for name, value in record.items() if name in records.PER_OBJECT}
    seen = record | found
    if not config.model.has_masks:
        seen.pop("mask_counts")
    return seen
