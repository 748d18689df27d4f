"""Box head: class logits and box deltas of every RoI, and the detections they decode to."""

import keras
import tensorflow as tf

from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.nms import class_nms


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class BoxHead(keras.layers.Layer):
    """n 3x3 convolutions, m fully connected layers, class logits and class-specific box deltas.

    Args:
      num_classes: C, without background.
      num_convs, conv_channels, norm, norm_momentum: the convolutions (torchvision v2, Detectron2's GN models: 4).
      num_fcs, fc_channels: the fully connected layers (paper: 2 of 1024).

    Source: paper, Appendix A and Figure 4; `detectron2/modeling/roi_heads/box_head.py`, FastRCNNConvFCHead.
    """

    def __init__(
        self,
        num_classes,
        num_convs=0,
        conv_channels=256,
        num_fcs=2,
        fc_channels=1024,
        norm="none",
        norm_momentum=0.9,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.supports_jit = True
        self.num_classes = num_classes
        self._arguments = {
            "num_classes": num_classes,
            "num_convs": num_convs,
            "conv_channels": conv_channels,
            "num_fcs": num_fcs,
            "fc_channels": fc_channels,
            "norm": norm,
            "norm_momentum": norm_momentum,
        }
        dtype = self.dtype_policy
        self.convs = [
            ConvNorm(conv_channels, 3, norm=norm, relu=True, norm_momentum=norm_momentum, name=f"conv{i}", dtype=dtype)
            for i in range(num_convs)
        ]

        def dense(name, units, initializer, activation=None):
            return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name, dtype=dtype)

        self.fcs = [
            dense(f"fc{i}", fc_channels, keras.initializers.VarianceScaling(1.0, "fan_in", "uniform"), "relu")
            for i in range(num_fcs)
        ]
        self.classes = dense("class_logits", num_classes + 1, keras.initializers.RandomNormal(stddev=0.01))
        self.deltas = dense("box_deltas", 4 * num_classes, keras.initializers.RandomNormal(stddev=0.001))

    def build(self, input_shape):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], conv.filters)
        units = shape[1] * shape[2] * shape[3]
        for fc in self.fcs:
            fc.build((None, units))
            units = fc.units
        self.classes.build((None, units))
        self.deltas.build((None, units))

    def call(self, pooled, training=False, valid=None):
        """Runs the head.

        Args:
          pooled: [n, side, side, c].
          training: Python bool.
          valid: bool [n] or None, see `ConvNorm.call`.

        Returns:
          class_logits float32 [n, C + 1], background first, and box_deltas float32 [n, C, 4].
        """
        outputs = pooled
        for conv in self.convs:
            outputs = conv(outputs, training=training, valid=valid)
        outputs = tf.reshape(outputs, [-1, outputs.shape[1] * outputs.shape[2] * outputs.shape[3]])
        for fc in self.fcs:
            outputs = fc(outputs)
        deltas = tf.reshape(self.deltas(outputs), [-1, self.num_classes, 4])
        return tf.cast(self.classes(outputs), tf.float32), tf.cast(deltas, tf.float32)

    def compute_output_shape(self, input_shape):
        """Shapes of the logits and of the deltas."""
        return (input_shape[0], self.num_classes + 1), (input_shape[0], self.num_classes, 4)

    def get_config(self):
        """Keras's configuration."""
        return {**super().get_config(), **self._arguments}


def select_detections(
    class_logits,
    box_deltas,
    proposals,
    counts,
    image_shape,
    delta_weights,
    score_threshold,
    nms_iou,
    max_detections,
    min_size,
    kernels,
    max_candidates,
):
    """Softmax, decoding, NMS within each class, best D of the image.

    Args:
      class_logits: float32 [B, K, C + 1].
      box_deltas: float32 [B, K, C, 4].
      proposals: float32 [B, K, 4], network pixels.
      counts: int32 [B], proposals that are not padding.
      image_shape: [B, 2], valid (h, w).
      delta_weights, score_threshold, nms_iou, max_detections, min_size, max_candidates: see `config.DetectionConfig`.
      kernels: "native" or "xla".

    Returns:
      {"detection_boxes": float32 [B, D, 4], "detection_scores": float32 [B, D], "detection_classes": int32 [B, D],
      "num_detections": int32 [B]}, best first, zero-padded.

    Source: `detectron2/modeling/roi_heads/fast_rcnn.py`, fast_rcnn_inference; torchvision `roi_heads.py`,
    postprocess_detections.
    """
    boxes = box_ops.decode_deltas(box_deltas, proposals[:, :, None], delta_weights)
    boxes = box_ops.clip_boxes(boxes, image_shape)
    scores = tf.nn.softmax(class_logits)[..., 1:]
    valid = (tf.range(tf.shape(proposals)[1])[None] < counts[:, None])[..., None]
    scores = tf.where(valid & box_ops.has_area(boxes, min_size), scores, -1.0)
    boxes, scores, classes, counts = class_nms(
        boxes, scores, max_detections, nms_iou, score_threshold, kernels, max_candidates
    )
    return {
        "detection_boxes": boxes,
        "detection_scores": scores,
        "detection_classes": classes,
        "num_detections": counts,
    }
