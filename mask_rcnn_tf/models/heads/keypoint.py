"""Keypoint head: a heat map a keypoint for every RoI, its loss, and the places that the maps decode to."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.dtypes import predictor_dtype
from mask_rcnn_tf.models.heads.base import LossSums, Pool, RoiHead
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import keypoints as keypoint_ops

KERNEL, UPSAMPLING = 4, 4  # side of the deconvolution; cells of a heat map a pooled cell and axis


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class KeypointHead(RoiHead):
    """3x3 convolutions with ReLU, a 4x4 deconvolution of stride 2 to J maps, and bilinear doubling.

    The keypoints are those of any class: a head has one set of J.

    Args:
      num_keypoints: J.
      num_convs, channels: the convolutions (paper: 8 of 512).
      pool_size: side of the pooled features.
      map_size: side of the map that the head reads, None for `pool_size`; heat maps have four times as many cells.

    Source: paper, section 5; `detectron2/modeling/roi_heads/keypoint_head.py`, KRCNNConvDeconvUpsampleHead.
    """

    loss_names = ("keypoint",)
    needs = {"gt_keypoints": "or set config.model.keypoint_head.enabled=False"}
    averaged = "keypoint_logits"

    def __init__(
        self,
        num_keypoints: int,
        *,
        num_convs: int = 8,
        channels: int = 512,
        pool_size: int = 14,
        map_size: int | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_keypoints, self.channels, self.pool_size = num_keypoints, channels, pool_size
        self.map_size = map_size or pool_size
        # Caffe2's MSRAFill, as in the references: normal with variance 2 / fan_out.
        self._fill = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        self.convs = [
            ConvNorm(
                channels,
                3,
                relu=True,
                kernel_initializer=self._fill.clone(),
                name=f"conv{i}",
                dtype=self.dtype_policy,
            )
            for i in range(num_convs)
        ]

    def build(self, input_shape: tuple):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], self.channels)
        shape = (KERNEL, KERNEL, self.num_keypoints, shape[-1])
        self.kernel = self.add_weight(shape=shape, initializer=self._fill.clone(), name="kernel", autocast=False)
        self.bias = self.add_weight(shape=(self.num_keypoints,), initializer="zeros", name="bias", autocast=False)

    def call(self, pooled: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None) -> tf.Tensor:
        """Runs the head.

        Args:
          pooled: [n, side, side, c].
          training: Python bool.
          valid: bool [n] or None; is not needed without batch norm.

        Returns:
          keypoint_logits float32 [n, 4 * side, 4 * side, J].
        """
        outputs = pooled
        for conv in self.convs:
            outputs = conv(outputs, training=training)
        dtype = predictor_dtype(self.compute_dtype)
        outputs, side = tf.cast(outputs, dtype), 2 * outputs.shape[1]
        # Twice the side: TensorFlow's SAME then pads by 1 on every side, as the references do.
        shape = [tf.shape(outputs)[0], side, side, self.num_keypoints]
        kernel = tf.cast(tf.convert_to_tensor(self.kernel), dtype)
        low = tf.nn.conv2d_transpose(outputs, kernel, shape, 2, "SAME")
        low = tf.nn.bias_add(low, tf.cast(tf.convert_to_tensor(self.bias), dtype))
        return tf.cast(keypoint_ops.double(low), tf.float32)

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the logits."""
        return (input_shape[0], *(UPSAMPLING * side for side in input_shape[1:3]), self.num_keypoints)

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """See `RoiHead`: cross entropy over the cells, of each labelled keypoint in a foreground RoI.

        Source: paper, section 5; `detectron2/modeling/roi_heads/keypoint_head.py`, keypoint_rcnn_loss.
        """
        foreground = int(config.roi.samples * config.roi.positive_fraction)  # positives come first
        rois, classes, gt_indices = (
            sampled[name][:, :foreground] for name in ("rois", "roi_classes", "roi_gt_indices")
        )
        keypoints = tf.gather(batch["gt_keypoints"], gt_indices, batch_dims=1)
        cells, labelled = keypoint_ops.heatmap_cells(keypoints, rois, UPSAMPLING * self.map_size)
        labelled &= (classes > 0)[..., None]
        rows, pooled = pool.sampled(tf.reduce_any(labelled, -1), self.pool_size)
        logits = self(pooled, training=training)
        counted = rows.flatten(labelled) & rows.counted[:, None]
        return {"keypoint": loss_ops.keypoint_loss(logits, rows.flatten(cells), counted)}

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`: pools `detection_boxes`; `detection_keypoints` are (x, y, score) in network pixels."""

        def rows_of(tensors: Tensors):
            rois, counts = tensors["detection_boxes"], tensors["num_detections"]
            return pooler.rows(tf.range(rois.shape[1])[None] < counts[:, None])

        def align(tensors: Tensors) -> Tensors:
            boxes = tensors["detection_boxes"]
            return {"keypoint_pooled": pooler.pool(tensors["roi_features"], boxes, rows_of(tensors), self.pool_size)}

        def run(tensors: Tensors) -> Tensors:
            return {"keypoint_logits": self(tensors["keypoint_pooled"])}

        def finish(tensors: Tensors) -> Tensors:
            rows, logits, boxes = rows_of(tensors), tensors["keypoint_logits"], tensors["detection_boxes"]
            peaks = pooler.kernels.keypoint_peaks(logits, rows.flatten(boxes), config.keypoint_head.decode_grid)
            scores = keypoint_ops.peak_scores(logits, peaks.logits)
            found = rows.restore(tf.concat([peaks.points, scores[..., None]], -1))
            return {
                "keypoint_peaks": rows.restore(peaks.logits),
                "detection_keypoints": tf.where(boxes[..., 3:, None] > boxes[..., 1:2, None], found, 0.0),
            }

        return [
            Step("keypoint_roi_align", align),
            *pooler.network(Step("keypoint_head", run, "keypoint_head", ("keypoint_pooled",)), "keypoint_pooled"),
            Step("keypoint_decode", finish),
        ]

    def unmirrored(self, value: tf.Tensor, config: ModelConfig) -> tf.Tensor:
        """See `RoiHead`: heat maps [n, S, S, J]; the left eye of the mirrored image is a right eye."""
        order = list(range(self.num_keypoints))
        for left, right in config.keypoint_head.flip_pairs:
            order[left], order[right] = right, left
        return tf.gather(tf.reverse(value, [2]), order, axis=-1)

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        shape = [config.detection.max_detections, self.num_keypoints, 3]
        return {"detection_keypoints": tf.TensorSpec(shape, tf.float32)}
