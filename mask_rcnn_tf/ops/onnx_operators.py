"""NonMaxSuppression and RoiAlign of ONNX inside a TensorFlow graph.

A `tf.numpy_function` holds the place of the operator: its first input is a description, which `export.to_onnx` replaces
by the operator itself. TensorFlow computes the same with its own kernels, so that a model with these operators runs
before it is exported too, if slowly.
"""

import json
from collections.abc import Callable, Sequence

import tensorflow as tf

from mask_rcnn_tf.ops.roi_regions import RoiAlignOptions

PLACE = "onnx_operator"  # name of the nodes that hold a place


def non_max_suppression(
    boxes: tf.Tensor,
    scores: tf.Tensor,
    max_outputs: int,
    iou_threshold: float,
    score_threshold: float,
    compute: Callable[..., tuple[tf.Tensor, tf.Tensor]],
) -> tf.Tensor:
    """Chooses boxes, G sets at once.

    Args:
      boxes: float32 [G, N, 4], pixels; no corner below and right of its opposite.
      scores: float32 [G, N]; of equal scores the lower index goes first.
      max_outputs: most boxes of a set that are kept.
      iou_threshold: a box is suppressed if its IoU with a kept, better one is strictly above this.
      score_threshold: only scores strictly above this take part.
      compute: what TensorFlow runs, from these arguments to indices int32 [G, max_outputs] and counts int32 [G].

    Returns:
      bool [G, N], the boxes that are kept.

    Source: ONNX, operator NonMaxSuppression-11.
    """

    def select(boxes, scores, *_):
        indices, counts = compute(boxes, scores[:, 0], max_outputs, iou_threshold, score_threshold)
        rows = tf.cast(tf.where(tf.sequence_mask(counts, max_outputs)), tf.int32)
        selected = tf.stack([rows[:, 0], tf.zeros_like(rows[:, 0]), tf.gather_nd(indices, rows)], 1)
        return tf.cast(selected, tf.int64)

    inputs = (
        boxes,
        scores[:, tf.newaxis],
        tf.constant([max_outputs], tf.int64),
        tf.constant([iou_threshold], tf.float32),
        tf.constant([max(score_threshold, tf.float32.min)], tf.float32),  # not every runtime takes -inf
    )
    selected = _place("NonMaxSuppression", inputs, {}, tf.int64, [None, 3], select)
    places = tf.gather(tf.cast(selected, tf.int32), [0, 2], axis=1)
    return tf.scatter_nd(places, tf.ones_like(places[:, 0]), tf.shape(scores)) > 0


def roi_align(
    level: tf.Tensor,
    rois: tf.Tensor,
    batch_indices: tf.Tensor,
    output_size: tuple[int, int],
    options: RoiAlignOptions,
    compute: Callable[..., tf.Tensor],
) -> tf.Tensor:
    """Pools RoIs from one level; see `ops.roi_align.pool`.

    Args:
      level: float32 [B, h, w, C].
      rois: float32 [n, 4], pixels of the network input; the adaptive grid of a RoI without area has no samples.
      batch_indices: int32 [n].
      output_size: (rows, columns).
      options: `RoiAlignOptions` with the level's stride alone.
      compute: what TensorFlow runs, from level, rois and batch_indices to the result.

    Returns:
      float32 [n, C, rows, columns], as the operator gives it.

    Source: ONNX, operator RoiAlign-16.
    """

    def pool(level, rois, images):
        rois = tf.gather(rois, [1, 0, 3, 2], axis=1)
        pooled = compute(tf.transpose(level, [0, 2, 3, 1]), rois, tf.cast(images, tf.int32))
        return tf.transpose(pooled, [0, 3, 1, 2])

    attributes = {
        "mode": "avg",
        "output_height": output_size[0],
        "output_width": output_size[1],
        "sampling_ratio": options.sampling_ratio,
        "spatial_scale": 1.0 / options.strides[0],
        "coordinate_transformation_mode": "half_pixel" if options.aligned else "output_half_pixel",
    }
    inputs = (
        tf.transpose(level, [0, 3, 1, 2]),
        tf.gather(rois, [1, 0, 3, 2], axis=1),
        tf.cast(batch_indices, tf.int64),
    )
    shape = [None, level.shape[3], *output_size]
    return _place("RoiAlign", inputs, attributes, tf.float32, shape, pool)


def _place(operator: str, inputs: Sequence[tf.Tensor], attributes: dict, dtype, shape, compute) -> tf.Tensor:
    description = json.dumps({"operator": operator, "attributes": attributes})

    def run(_, *arrays):
        return compute(*(tf.constant(array) for array in arrays)).numpy()

    output = tf.numpy_function(run, [tf.constant(description), *inputs], dtype, stateful=False, name=PLACE)
    return tf.ensure_shape(output, shape)
