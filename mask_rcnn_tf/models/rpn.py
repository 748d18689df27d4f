"""Region proposal network (Ren et al., arXiv:1506.01497) over a pyramid: head, anchors, proposals."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mask_rcnn_tf.config import AnchorConfig, RpnConfig
from mask_rcnn_tf.models.conv_norm import ConvNorm, convolve_together
from mask_rcnn_tf.models.dtypes import predictor_dtype
from mask_rcnn_tf.ops import anchors as anchor_ops
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.kernels import Kernels
from mask_rcnn_tf.ops.shapes import sizes
from mask_rcnn_tf.ops.turns import after


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class RpnHead(keras.layers.Layer):
    """Convolutions shared by all levels, then objectness and deltas of the anchors of each cell.

    Args:
      num_anchors: anchors a cell.
      num_convs: 3x3 convolutions with ReLU (Detectron2 and torchvision v1: 1; torchvision v2: 2).
      channels: of those convolutions.
    """

    def __init__(self, num_anchors: int, num_convs: int = 1, channels: int = 256, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.num_anchors, self.channels = num_anchors, channels

        def conv(name, filters, kernel_size, dtype, relu=False):
            normal = keras.initializers.RandomNormal(stddev=0.01)
            return ConvNorm(filters, kernel_size, relu=relu, kernel_initializer=normal, name=name, dtype=dtype)

        self.convs = [conv(f"conv{i}", channels, 3, self.dtype_policy, relu=True) for i in range(num_convs)]
        exact = predictor_dtype(self.compute_dtype)
        self.objectness = conv("objectness", num_anchors, 1, exact)
        self.deltas = conv("deltas", 4 * num_anchors, 1, exact)

    def build(self, input_shape: tuple):
        """Builds for levels of [B, h, w, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], self.channels)
        self.objectness.build(shape)
        self.deltas.build(shape)

    def call(self, level: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Runs the head on one level.

        Args:
          level: [B, h, w, c].
          training: Python bool.

        Returns:
          objectness_logits float32 [B, h * w * A] and anchor_deltas float32 [B, h * w * A, 4], in (row, column, anchor)
          order.
        """
        outputs = level
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        logits, deltas = convolve_together((self.objectness, self.deltas), outputs)
        batch, height, width, _ = sizes(level)
        count = height * width * self.num_anchors  # xla kernels need it static
        logits = tf.reshape(logits, [batch, count])
        return tf.cast(logits, tf.float32), tf.cast(tf.reshape(deltas, [batch, count, 4]), tf.float32)

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        """Shapes of the logits and of the deltas of one level."""
        count = None if None in input_shape[1:3] else input_shape[1] * input_shape[2] * self.num_anchors
        return (input_shape[0], count), (input_shape[0], count, 4)


def run_levels(head: RpnHead, levels: Sequence[tf.Tensor], training: bool = False) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """What the head gives for each level, see `RpnHead.call`; the levels in turn, once all are there."""
    outputs, earlier = [], levels
    for level in levels:
        earlier = head(after(level, *earlier), training=training)
        outputs.append(earlier)
    return outputs


def pyramid_anchors(
    canvas_shape: Sequence[int | tf.Tensor], strides: Sequence[int], config: AnchorConfig
) -> list[tf.Tensor]:
    """Anchors of every level.

    Args:
      canvas_shape: (H, W) of the network input, int or int32 scalars.
      strides: of the levels, pixels; a level has ceil(H / stride) x ceil(W / stride) cells.
      config: the section. `stride_rule` "level" puts cells `strides` apart (Detectron2), "grid" canvas // grid
        (torchvision).

    Returns:
      A float32 [h * w * A, 4] a level, network pixels.

    Source: `detectron2/modeling/anchor_generator.py`; `torchvision/models/detection/anchor_utils.py`.
    """
    anchors = []
    for stride, sides in zip(strides, config.sizes, strict=True):
        grid = tuple((side + stride - 1) // stride for side in canvas_shape)
        steps = (stride, stride)
        if config.stride_rule == "grid":
            steps = tuple(side // cells for side, cells in zip(canvas_shape, grid, strict=True))
        cells = anchor_ops.cell_anchors(sides, config.ratios, config.rounded)
        anchors.append(anchor_ops.level_anchors(grid, steps, cells))
    return anchors


def select_proposals(
    levels: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    image_shape: tf.Tensor,
    rpn: RpnConfig,
    kernels: Kernels,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor]:
    """`scored_proposals` without their scores."""
    return scored_proposals(levels, image_shape, rpn, kernels, training)[:2]


def scored_proposals(
    levels: Sequence[tuple[tf.Tensor, tf.Tensor, tf.Tensor]],
    image_shape: tf.Tensor,
    rpn: RpnConfig,
    kernels: Kernels,
    training: bool = False,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The best boxes of every level after NMS, then the best of the image.

    Args:
      levels: (objectness_logits float32 [B, n], anchor_deltas float32 [B, n, 4], anchors float32 [n, 4] in network
        pixels) of each.
      image_shape: [B, 2], valid (h, w); boxes are clipped to it.
      rpn: the configuration's section.
      kernels: a set of `ops.kernels`.
      training: chooses the numbers of proposals.

    Returns:
      proposals float32 [B, K, 4] best first and zero-padded, no gradient; counts int32 [B]; what they are ranked by
      (`rpn.ranking`) float32 [B, K], 0 in padding.

    Source: `detectron2/modeling/proposal_generator/proposal_utils.py`; `torchvision/models/detection/rpn.py`.
    """
    before = rpn.pre_nms_top_n_train if training else rpn.pre_nms_top_n_test
    after = rpn.post_nms_top_n_train if training else rpn.post_nms_top_n_test
    width = max(_count_of(logits, before) for logits, _, _ in levels)
    best = [_best_anchors(*level, width) for level in levels]
    # All levels at once: five times as many small operations take longer to trace and to run.
    boxes, scores = _decode(*(tf.concat(part, 1) for part in zip(*best, strict=True)), image_shape, rpn)
    boxes, scores = tf.reshape(boxes, [-1, width, 4]), tf.reshape(scores, [-1, width])
    rows = min(width, after)
    kept, counts = kernels.nms(boxes, scores, rows, rpn.nms_iou)
    valid = tf.range(rows)[None] < counts[:, None]
    scores = tf.where(valid, tf.gather(scores, kept, batch_dims=1), -float("inf"))
    boxes = tf.reshape(tf.gather(boxes, kept, batch_dims=1), [-1, len(levels) * rows, 4])
    scores, index = top_k_padded(tf.reshape(scores, [-1, len(levels) * rows]), after)
    valid = scores > -float("inf")
    proposals = tf.where(valid[..., None], tf.gather(boxes, index, batch_dims=1), 0.0)
    counts = tf.reduce_sum(tf.cast(valid, tf.int32), 1)
    return tf.stop_gradient(proposals), counts, tf.where(valid, scores, 0.0)


def _count_of(logits, count):
    """How many of a level's anchors can be chosen: all of a small one."""
    return count if logits.shape[1] is None else min(count, logits.shape[1])


def _best_anchors(logits, deltas, anchors, count):
    """Of a level's best anchors logits [B, count], deltas and boxes [B, count, 4], and bool [1, count]: no padding."""
    total = sizes(logits)[1]
    logits, index = top_k_padded(tf.stop_gradient(logits), _count_of(logits, count))
    missing = [[0, 0], [0, count - logits.shape[1]]]
    if missing[1][1]:
        logits, index = tf.pad(logits, missing, constant_values=-float("inf")), tf.pad(index, missing)
    deltas = tf.gather(tf.stop_gradient(deltas), index, batch_dims=1)
    real = tf.less(np.arange(count, dtype=np.int32), total)[None]
    return logits, deltas, tf.gather(anchors, index), real


def _decode(logits, deltas, anchors, real, image_shape, rpn):
    """Boxes [B, n, 4], and what they are ranked by [B, n], -inf where there is none."""
    decoded = box_ops.decode_deltas(deltas, anchors, (1.0,) * 4)
    boxes = box_ops.clip_boxes(decoded, image_shape)
    scores = tf.sigmoid(logits) if rpn.ranking == "sigmoid" else logits
    # A network that diverges must not fill the image with its worst: what is not finite is no proposal.
    finite = _is_finite(scores) & tf.reduce_all(_is_finite(decoded), -1)
    # Padding comes after every anchor, also after one whose logit is -inf, which is a score of 0 under "sigmoid".
    usable = box_ops.has_area(boxes, rpn.min_size) & real & finite
    return boxes, tf.where(usable, scores, -float("inf"))


def _is_finite(values):
    # By comparison, which NaN fails: ONNX has IsInf and IsNaN in place of TensorFlow's IsFinite, TensorRT neither.
    return (values > -float("inf")) & (values < float("inf"))


def top_k_padded(scores: tf.Tensor, k: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Best scores of each row, earlier first among equals.

    Args:
      scores: float32 [B, n]; n may be unknown or below k.
      k: Python int.

    Returns:
      values float32 [B, m] and indices int32 [B, m]; m = min(n, k) where n is static, else k, padded with -inf and
      valid indices.
    """
    if scores.shape[1] is not None:
        return tf.math.top_k(scores, min(k, scores.shape[1]))
    count = tf.shape(scores)[1]
    padded = tf.pad(scores, [[0, 0], [0, tf.maximum(k - count, 0)]], constant_values=-float("inf"))
    values, indices = tf.math.top_k(padded, k)
    return values, tf.minimum(indices, count - 1)
