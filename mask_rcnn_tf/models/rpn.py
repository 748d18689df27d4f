"""Region proposal network (Ren et al., arXiv:1506.01497) over a pyramid: head, anchors, proposals."""

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.ops import anchors as anchor_ops
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.nms import nms

LEVELS = ("P2", "P3", "P4", "P5", "P6")


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class RpnHead(keras.layers.Layer):
    """Convolutions shared by all levels, then objectness and deltas of the anchors of each cell.

    Args:
      num_anchors: anchors a cell.
      num_convs: 3x3 convolutions with ReLU (Detectron2 and torchvision v1: 1; torchvision v2: 2).
      channels: of those convolutions.
    """

    def __init__(self, num_anchors, num_convs=1, channels=256, **kwargs):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.num_anchors, self.num_convs, self.channels = num_anchors, num_convs, channels

        def conv(name, filters, kernel_size, relu=False):
            normal = keras.initializers.RandomNormal(stddev=0.01)
            return ConvNorm(
                filters, kernel_size, relu=relu, kernel_initializer=normal, name=name, dtype=self.dtype_policy
            )

        self.convs = [conv(f"conv{i}", channels, 3, relu=True) for i in range(num_convs)]
        self.objectness = conv("objectness", num_anchors, 1)
        self.deltas = conv("deltas", 4 * num_anchors, 1)

    def build(self, input_shape):
        """Builds for levels of [B, h, w, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], self.channels)
        self.objectness.build(shape)
        self.deltas.build(shape)

    def call(self, level):
        """Runs the head on one level.

        Args:
          level: [B, h, w, c].

        Returns:
          objectness_logits float32 [B, h * w * A] and anchor_deltas float32 [B, h * w * A, 4], in (row, column, anchor)
          order.
        """
        outputs = level
        for conv in self.convs:
            outputs = conv(outputs)
        logits, deltas = self.objectness(outputs), self.deltas(outputs)
        batch = tf.shape(level)[0]
        count = tf.shape(level)[1] * tf.shape(level)[2] * self.num_anchors
        if None not in level.shape[1:3]:
            count = level.shape[1] * level.shape[2] * self.num_anchors  # xla kernels need it static
        logits = tf.reshape(logits, [batch, count])
        return tf.cast(logits, tf.float32), tf.cast(tf.reshape(deltas, [batch, count, 4]), tf.float32)

    def compute_output_shape(self, input_shape):
        """Shapes of the logits and of the deltas of one level."""
        count = None if None in input_shape[1:3] else input_shape[1] * input_shape[2] * self.num_anchors
        return (input_shape[0], count), (input_shape[0], count, 4)

    def get_config(self):
        """Keras's configuration."""
        return {
            **super().get_config(),
            "num_anchors": self.num_anchors,
            "num_convs": self.num_convs,
            "channels": self.channels,
        }


def pyramid_anchors(features, canvas_shape, sizes, ratios, rounded, stride_rule):
    """Anchors of P2..P6.

    Args:
      features: {"P2".."P6"}, [B, h, w, c].
      canvas_shape: int32 [2], (H, W) of the network input.
      sizes: a tuple of sides in pixels for each level.
      ratios: height / width.
      rounded: whether base anchors are rounded half to even (torchvision).
      stride_rule: "level" for 4..64 (Detectron2), "grid" for canvas // grid (torchvision).

    Returns:
      A list of float32 [h * w * A, 4], network pixels.

    Source: `detectron2/modeling/anchor_generator.py`; `torchvision/models/detection/anchor_utils.py`.
    """
    anchors = []
    for i, name in enumerate(LEVELS):
        grid = tf.shape(features[name])[1:3]
        if None not in features[name].shape[1:3]:
            grid = features[name].shape[1:3]
        stride = (2 ** (i + 2),) * 2
        if stride_rule == "grid":
            stride = (canvas_shape[0] // grid[0], canvas_shape[1] // grid[1])
        cells = anchor_ops.cell_anchors(sizes[i], ratios, rounded)
        anchors.append(anchor_ops.level_anchors(grid, stride, cells))
    return anchors


def select_proposals(
    objectness_logits,
    anchor_deltas,
    anchors,
    image_shape,
    pre_nms_top_n,
    post_nms_top_n,
    nms_iou,
    min_size,
    ranking,
    kernels,
):
    """The best boxes of every level after NMS, then the best of the image.

    Args:
      objectness_logits: a list of float32 [B, n], a level each.
      anchor_deltas: a list of float32 [B, n, 4].
      anchors: a list of float32 [n, 4], network pixels.
      image_shape: [B, 2], valid (h, w); boxes are clipped to it.
      pre_nms_top_n: best anchors of a level that enter NMS.
      post_nms_top_n: proposals an image, K.
      nms_iou: boxes overlapping a better one by more are dropped.
      min_size: sides must be above 0 and at least this, pixels.
      ranking: "logit" or "sigmoid" (saturated scores then tie, and the earlier anchor wins).
      kernels: "native" or "xla".

    Returns:
      proposals float32 [B, K, 4] best first and zero-padded, no gradient; counts int32 [B].

    Source: `detectron2/modeling/proposal_generator/proposal_utils.py`; `torchvision/models/detection/rpn.py`.
    """
    boxes, scores = [], []
    for logits, deltas, level_anchors in zip(objectness_logits, anchor_deltas, anchors, strict=True):
        logits, index = top_k_padded(tf.stop_gradient(logits), pre_nms_top_n)
        level = box_ops.decode_deltas(
            tf.gather(tf.stop_gradient(deltas), index, batch_dims=1), tf.gather(level_anchors, index), (1.0,) * 4
        )
        level = box_ops.clip_boxes(level, image_shape)
        level_scores = tf.sigmoid(logits) if ranking == "sigmoid" else logits
        usable = box_ops.has_area(level, min_size) & (logits > -float("inf"))
        level_scores = tf.where(usable, level_scores, -float("inf"))
        kept, counts = nms(level, level_scores, min(level.shape[1], post_nms_top_n), nms_iou, kernels)
        boxes.append(tf.gather(level, kept, batch_dims=1))
        valid = tf.range(tf.shape(kept)[1])[None] < counts[:, None]
        scores.append(tf.where(valid, tf.gather(level_scores, kept, batch_dims=1), -float("inf")))
    scores, index = top_k_padded(tf.concat(scores, 1), post_nms_top_n)
    valid = scores > -float("inf")
    proposals = tf.where(valid[..., None], tf.gather(tf.concat(boxes, 1), index, batch_dims=1), 0.0)
    return tf.stop_gradient(proposals), tf.reduce_sum(tf.cast(valid, tf.int32), 1)


def top_k_padded(scores, k):
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
