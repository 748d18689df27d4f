"""Box head: class logits and box deltas of every RoI, its losses, and the detections they decode to."""

from collections.abc import Mapping, Sequence
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
from mask_rcnn_tf.models.roi_rows import RoiRows
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.kernels import Kernels


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class BoxHead(RoiHead):
    """n 3x3 convolutions, m fully connected layers, class logits and box deltas, of each class or of all as one.

    Args:
      num_classes: C, without background.
      num_convs, conv_channels, norm, norm_momentum: the convolutions (torchvision v2, Detectron2's GN models: 4).
      num_fcs, fc_channels: the fully connected layers (paper: 2 of 1024).
      pool_size: side of the pooled features.
      class_agnostic: whether there is one box for all classes.
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
        class_agnostic: bool = False,
        average: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.pool_size, self.average = num_classes, pool_size, average
        self.class_agnostic, self.num_boxes = class_agnostic, 1 if class_agnostic else num_classes
        if class_agnostic:
            self.class_variables = ("class_logits",)
        self._channels_first = False
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
        self.deltas = dense("box_deltas", 4 * self.num_boxes, normal(stddev=0.001), **exact)

    def each_stage(self) -> list["BoxHead"]:
        """Itself: a cascade has several."""
        return [self]

    def build(self, input_shape: tuple):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], conv.filters)
        units = shape[3] if self.average else shape[1] * shape[2] * shape[3]
        self._map_shape = tuple(shape[1:])
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
          class_logits float32 [n, C + 1], background first, and box_deltas float32 [n, C, 4], or [n, 1, 4] of a
          class-agnostic head.
        """
        outputs = pooled
        for conv in self.convs:
            outputs = conv(outputs, training=training, valid=valid)
        if self.average:
            outputs = tf.reduce_mean(outputs, axis=[1, 2])
        else:
            cells = outputs.shape[1] * outputs.shape[2] * outputs.shape[3]
            outputs = tf.transpose(outputs, [0, 3, 1, 2]) if self._channels_first else outputs
            outputs = tf.reshape(outputs, [-1, cells])
        for fc in self.fcs:
            outputs = fc(outputs)
        deltas = tf.reshape(self.deltas(outputs), [-1, self.num_boxes, 4])
        return tf.cast(self.classes(outputs), tf.float32), tf.cast(deltas, tf.float32)

    def put_channels_first(self):
        """See `RoiHead`: fully connected layers read maps as [c, h, w], with the rows of the first in that order."""
        if self._channels_first or self.average:
            return
        self._channels_first = True
        for layer in self.fcs[:1] or (self.classes, self.deltas):
            cells = tf.reshape(tf.convert_to_tensor(layer.kernel), [*self._map_shape, layer.units])
            layer.kernel.assign(tf.reshape(tf.transpose(cells, [2, 0, 1, 3]), layer.kernel.shape))

    def compute_output_shape(self, input_shape: tuple) -> tuple[tuple, tuple]:
        """Shapes of the logits and of the deltas."""
        return (input_shape[0], self.num_classes + 1), (input_shape[0], self.num_boxes, 4)

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """See `RoiHead`: cross entropy of the classes, smooth L1 of the deltas of each RoI's own class."""
        rows, pooled = pool.sampled(sampled["roi_valid"], self.pool_size)
        class_logits, deltas = self.train_on(rows, pooled, sampled, training)
        found = roi_losses(
            class_logits, deltas, sampled, batch["gt_boxes"], config.box_head.delta_weights, config.box_head.loss_beta
        )
        return dict(zip(self.loss_names, found, strict=True))

    def train_on(
        self, rows: RoiRows, pooled: tf.Tensor, sampled: Mapping[str, tf.Tensor], training: bool
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """class_logits float32 [B, R, C + 1] and deltas float32 [B, R, 4] of each RoI's own class.

        Args:
          rows: of the RoIs.
          pooled: float32 [n, side, side, c], a row for each of these.
          sampled: of `targets.sample_rois`.
          training: Python bool.
        """
        class_logits, box_deltas = map(rows.restore, self(pooled, training=training, valid=rows.counted))
        if self.class_agnostic:
            return class_logits, box_deltas[:, :, 0]
        return class_logits, loss_ops.class_deltas(box_deltas, sampled["roi_classes"])

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`: pools `proposals`, decodes to the detections."""

        def select(tensors: Tensors) -> Tensors:
            rows = proposal_rows(tensors, pooler)
            logits, deltas = (rows.restore(tensors[name]) for name in ("class_logits", "box_deltas"))
            boxes, scores = score_boxes(logits, deltas, tensors, config)
            return select_detections(boxes, scores, config.detection, pooler.kernels)

        return [*self.network_steps(pooler, "proposals"), Step("class_nms", select)]

    def network_steps(self, pooler: Pooler, rois: str, suffix: str = "") -> list[Step]:
        """The steps to `class_logits` and `box_deltas`, a row for each of `proposal_rows`.

        Args:
          pooler: reads `tensors["roi_features"]`.
          rois: name of the boxes that are pooled, float32 [B, K, 4]: the proposals or what they became.
          suffix: of all names, the network's too.
        """
        names = [f"{name}{suffix}" for name in ("class_logits", "box_deltas")]

        def align(tensors: Tensors) -> Tensors:
            rows = proposal_rows(tensors, pooler)
            return {f"box_pooled{suffix}": pooler.pool(tensors["roi_features"], tensors[rois], rows, self.pool_size)}

        def run(tensors: Tensors) -> Tensors:
            return dict(zip(names, self(tensors[f"box_pooled{suffix}"]), strict=True))

        network = f"box_head{suffix}"
        inputs = f"box_pooled{suffix}"
        return [Step(f"box_roi_align{suffix}", align), *pooler.network(Step(network, run, network, (inputs,)), inputs)]

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        return detection_specs(config.detection)


def proposal_rows(tensors: Mapping[str, tf.Tensor], pooler: Pooler) -> RoiRows:
    """`RoiRows` of the proposals that are not padding."""
    proposals, counts = tensors["proposals"], tensors["num_proposals"]
    return pooler.rows(tf.range(tf.shape(proposals)[1])[None] < counts[:, None])


def roi_losses(
    class_logits: tf.Tensor,
    deltas: tf.Tensor,
    sampled: Mapping[str, tf.Tensor],
    gt_boxes: tf.Tensor,
    delta_weights: Sequence[float],
    beta: float,
) -> tuple[tuple[tf.Tensor, tf.Tensor], tuple[tf.Tensor, tf.Tensor]]:
    """(sum, count) of the classes' loss and of the deltas'; both counts are of all valid RoIs.

    Args:
      class_logits: float32 [B, R, C + 1].
      deltas: float32 [B, R, 4], of each RoI's own class.
      sampled: of `targets.sample_rois`.
      gt_boxes: float32 [B, G, 4], network pixels.
      delta_weights: (dy, dx, dh, dw).
      beta: of smooth L1.

    Source: `detectron2/modeling/roi_heads/fast_rcnn.py`, FastRCNNOutputLayers.losses.
    """
    classes = sampled["roi_classes"]
    class_sum, count = loss_ops.class_loss(class_logits, classes, sampled["roi_valid"])
    targets = target_ops.delta_targets(sampled, gt_boxes, delta_weights)
    box_sum, _ = loss_ops.delta_loss(deltas, targets, classes > 0, beta)
    return (class_sum, count), (box_sum, count)


def detection_specs(detection: DetectionConfig) -> dict[str, tf.TensorSpec]:
    """`RoiHead.output_specs` of a head that detects."""
    rows = detection.max_detections
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
      box_deltas: float32 [B, K, C, 4], or [B, K, 1, 4] of a class-agnostic head.
      tensors: `proposals` float32 [B, K, 4], network pixels, `num_proposals` int32 [B], and `image_shape` [B, 2], valid
        (h, w).
      config: the model's.

    Returns:
      boxes float32 [B, K, C, 4], clipped to the image, and scores float32 [B, K, C], -1 where there is no box.
    """
    boxes = box_ops.decode_deltas(box_deltas, tensors["proposals"][:, :, None], config.box_head.delta_weights)
    boxes = box_ops.clip_boxes(boxes, tensors["image_shape"])
    return mark_missing(boxes, tf.nn.softmax(class_logits)[..., 1:], tensors, config)


def mark_missing(
    boxes: tf.Tensor, scores: tf.Tensor, tensors: Mapping[str, tf.Tensor], config: ModelConfig
) -> tuple[tf.Tensor, tf.Tensor]:
    """What NMS reads: a box for each class, and scores that are -1 where there is no box.

    Args:
      boxes: float32 [B, K, C, 4], clipped to the image, or [B, K, 1, 4] of a class-agnostic head.
      scores: float32 [B, K, C].
      tensors: `proposals` and `num_proposals`.
      config: the model's.

    Returns:
      boxes float32 [B, K, C, 4] and scores float32 [B, K, C].
    """
    proposals, counts = tensors["proposals"], tensors["num_proposals"]
    valid = (tf.range(tf.shape(proposals)[1])[None] < counts[:, None])[..., None]
    scores = tf.where(valid & box_ops.has_area(boxes, config.detection.min_size), scores, -1.0)
    if config.box_head.class_agnostic:
        boxes = tf.tile(boxes, [1, 1, config.num_classes, 1])
    return boxes, scores


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
