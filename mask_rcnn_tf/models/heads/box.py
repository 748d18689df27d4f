"""Box head: class logits and box deltas of every RoI, its losses, and the detections they decode to."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import DetectionConfig, ModelConfig
from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.dtypes import predictor_dtype
from mask_rcnn_tf.models.heads.base import LossSums, Pool, RoiHead
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.kernels import Kernels


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class BoxHead(RoiHead):
    """n 3x3 convolutions, m fully connected layers, class logits and class-specific box deltas.

    Args:
      num_classes: C, without background.
      num_convs, conv_channels, norm, norm_momentum: the convolutions (torchvision v2, Detectron2's GN models: 4).
      num_fcs, fc_channels: the fully connected layers (paper: 2 of 1024).
      pool_size: side of the pooled features.
      average: whether the layers behind the convolutions read the mean of the map and not its cells, as in C4 models.

    Source: paper, Appendix A and Figure 4; `detectron2/modeling/roi_heads/box_head.py`, FastRCNNConvFCHead.
    """

    loss_names = ("box_class", "box_delta")
    class_variables = ("class_logits", "box_deltas")

    def __init__(
        self,
        num_classes: int,
        *,
        num_convs: int = 0,
        conv_channels: int = 256,
        num_fcs: int = 2,
        fc_channels: int = 1024,
        norm: str = "none",
        norm_momentum: float = 0.9,
        pool_size: int = 7,
        average: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.pool_size, self.average = num_classes, pool_size, average
        dtype = self.dtype_policy
        self.convs = [
            ConvNorm(conv_channels, 3, norm=norm, relu=True, norm_momentum=norm_momentum, name=f"conv{i}", dtype=dtype)
            for i in range(num_convs)
        ]

        def dense(name, units, initializer, activation=None, dtype=dtype):
            return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name, dtype=dtype)

        self.fcs = [
            dense(f"fc{i}", fc_channels, keras.initializers.VarianceScaling(1.0, "fan_in", "uniform"), "relu")
            for i in range(num_fcs)
        ]
        normal, exact = keras.initializers.RandomNormal, {"dtype": predictor_dtype(self.compute_dtype)}
        self.classes = dense("class_logits", num_classes + 1, normal(stddev=0.01), **exact)
        self.deltas = dense("box_deltas", 4 * num_classes, normal(stddev=0.001), **exact)

    def build(self, input_shape: tuple):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], conv.filters)
        units = shape[3] if self.average else shape[1] * shape[2] * shape[3]
        for fc in self.fcs:
            fc.build((None, units))
            units = fc.units
        self.classes.build((None, units))
        self.deltas.build((None, units))

    def call(
        self, pooled: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None
    ) -> tuple[tf.Tensor, tf.Tensor]:
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
        if self.average:
            outputs = tf.reduce_mean(outputs, axis=[1, 2])
        else:
            outputs = tf.reshape(outputs, [-1, outputs.shape[1] * outputs.shape[2] * outputs.shape[3]])
        for fc in self.fcs:
            outputs = fc(outputs)
        deltas = tf.reshape(self.deltas(outputs), [-1, self.num_classes, 4])
        return tf.cast(self.classes(outputs), tf.float32), tf.cast(deltas, tf.float32)

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        """Shapes of the logits and of the deltas."""
        return (input_shape[0], self.num_classes + 1), (input_shape[0], self.num_classes, 4)

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """See `RoiHead`: cross entropy of the classes, smooth L1 of the deltas of each RoI's own class."""
        valid, classes = sampled["roi_valid"], sampled["roi_classes"]
        rows, pooled = pool.sampled(valid, self.pool_size)
        class_logits, box_deltas = map(rows.restore, self(pooled, training=training, valid=rows.counted))
        class_sum, count = loss_ops.class_loss(class_logits, classes, valid)
        targets = target_ops.delta_targets(sampled, batch["gt_boxes"], config.box_head.delta_weights)
        deltas = loss_ops.class_deltas(box_deltas, classes)
        box_sum, _ = loss_ops.delta_loss(deltas, targets, classes > 0, config.box_head.loss_beta)
        return {"box_class": (class_sum, count), "box_delta": (box_sum, count)}

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`: pools `proposals`, decodes to the detections."""

        def rows_of(tensors: Tensors):
            proposals, counts = tensors["proposals"], tensors["num_proposals"]
            return pooler.rows(tf.range(tf.shape(proposals)[1])[None] < counts[:, None])

        def align(tensors: Tensors) -> Tensors:
            rows = rows_of(tensors)
            pooled = pooler.pool(tensors["roi_features"], tensors["proposals"], rows, self.pool_size)
            return {"box_pooled": pooled}

        def run(tensors: Tensors) -> Tensors:
            return dict(zip(("class_logits", "box_deltas"), self(tensors["box_pooled"]), strict=True))

        def select(tensors: Tensors) -> Tensors:
            rows = rows_of(tensors)
            logits, deltas = (rows.restore(tensors[name]) for name in ("class_logits", "box_deltas"))
            boxes, scores = score_boxes(logits, deltas, tensors, config)
            return select_detections(boxes, scores, config.detection, pooler.kernels)

        return [
            Step("box_roi_align", align),
            *pooler.network(Step("box_head", run, "box_head", ("box_pooled",)), "box_pooled"),
            Step("class_nms", select),
        ]

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        rows = config.detection.max_detections
        return {
            "detection_boxes": tf.TensorSpec([rows, 4], tf.float32),
            "detection_scores": tf.TensorSpec([rows], tf.float32),
            "detection_classes": tf.TensorSpec([rows], tf.int32),
            "num_detections": tf.TensorSpec([], tf.int32),
        }


def score_boxes(
    class_logits: tf.Tensor, box_deltas: tf.Tensor, tensors: Mapping[str, tf.Tensor], config: ModelConfig
) -> tuple[tf.Tensor, tf.Tensor]:
    """Softmax and decoding.

    Args:
      class_logits: float32 [B, K, C + 1].
      box_deltas: float32 [B, K, C, 4].
      tensors: `proposals` float32 [B, K, 4], network pixels, `num_proposals` int32 [B], and `image_shape` [B, 2], valid
        (h, w).
      config: the model's.

    Returns:
      boxes float32 [B, K, C, 4], clipped to the image, and scores float32 [B, K, C], -1 where there is no box.
    """
    proposals, counts = tensors["proposals"], tensors["num_proposals"]
    boxes = box_ops.decode_deltas(box_deltas, proposals[:, :, None], config.box_head.delta_weights)
    boxes = box_ops.clip_boxes(boxes, tensors["image_shape"])
    scores = tf.nn.softmax(class_logits)[..., 1:]
    valid = (tf.range(tf.shape(proposals)[1])[None] < counts[:, None])[..., None]
    return boxes, tf.where(valid & box_ops.has_area(boxes, config.detection.min_size), scores, -1.0)


def select_detections(
    boxes: tf.Tensor, scores: tf.Tensor, detection: DetectionConfig, kernels: Kernels
) -> dict[str, tf.Tensor]:
    """NMS within each class, best D of the image.

    Args:
      boxes: float32 [B, K, C, 4], pixels.
      scores: float32 [B, K, C].
      detection: the configuration's section.
      kernels: a set of `ops.kernels`.

    Returns:
      {"detection_boxes": float32 [B, D, 4], "detection_scores": float32 [B, D], "detection_classes": int32 [B, D],
      "num_detections": int32 [B]}, best first, zero-padded.

    Source: `detectron2/modeling/roi_heads/fast_rcnn.py`, fast_rcnn_inference; torchvision `roi_heads.py`,
    postprocess_detections.
    """
    found = kernels.class_nms(
        boxes,
        scores,
        detection.max_detections,
        detection.nms_iou,
        detection.score_threshold,
        detection.max_candidates,
    )
    names = ("detection_boxes", "detection_scores", "detection_classes", "num_detections")
    return dict(zip(names, found, strict=True))
