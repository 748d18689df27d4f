"""Mask head: one M x M mask of the class asked for, for every RoI, and its loss."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models import losses as loss_ops
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.conv_norm import ConvNorm
from mask_rcnn_tf.models.deconv import Deconv, in_places
from mask_rcnn_tf.models.dtypes import predictor_dtype
from mask_rcnn_tf.models.heads.base import LossSums, Pool, RoiHead
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops.shapes import sizes

TINY = 1e-7  # of a share of 1: its odds are finite


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class MaskHead(RoiHead):
    """3x3 convolutions, a 2x2 deconvolution of stride 2 with ReLU, a 1x1 convolution to one mask a class.

    Args:
      num_classes: C, without background.
      num_convs, channels, norm, norm_momentum: the convolutions; the deconvolution has `channels` too.
      pool_size: side of the pooled features.
      map_size: side of the map that the head reads, None for `pool_size`; M is twice that.
      num_fcs, fc_channels: an MLP of so many hidden layers in the place of all these; 0 for none.
      class_agnostic: whether there is one mask for all classes.
      activation: "sigmoid", or "softmax" over the classes and background.

    Source: paper, Figure 4 right; `detectron2/modeling/roi_heads/mask_head.py`, MaskRCNNConvUpsampleHead.
    """

    loss_names = ("mask",)
    needs = {"gt_masks": "or set config.model.mask_head.enabled=False"}
    class_variables = ("kernel", "bias")
    averaged = "detection_masks"

    def __init__(
        self,
        num_classes: int,
        *,
        num_convs: int = 4,
        channels: int = 256,
        norm: str = "none",
        norm_momentum: float = 0.9,
        pool_size: int = 14,
        map_size: int | None = None,
        num_fcs: int = 0,
        fc_channels: int = 1024,
        class_agnostic: bool = False,
        activation: str = "sigmoid",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.channels, self.pool_size = num_classes, channels, pool_size
        self.map_size = map_size or pool_size
        self.class_agnostic, self.activation = class_agnostic, activation
        self.num_masks = 1 if class_agnostic else num_classes
        self._channels_first = False
        self._background = int(activation == "softmax")  # channels before those of the classes
        if class_agnostic:
            self.class_variables = ()
        elif num_fcs:
            self.class_variables = ("masks",)
        # Caffe2's MSRAFill: normal with variance 2 / fan_out.
        fill = keras.initializers.VarianceScaling(2.0, "fan_out", "untruncated_normal")
        dtype = self.dtype_policy
        self.convs = [
            ConvNorm(
                channels,
                3,
                norm=norm,
                relu=True,
                norm_momentum=norm_momentum,
                kernel_initializer=fill.clone(),
                name=f"conv{i}",
                dtype=dtype,
            )
            for i in range(0 if num_fcs else num_convs)
        ]
        self.deconv = None if num_fcs else Deconv(channels, fill.clone(), name="deconv", dtype=dtype)
        self.fcs, self.masks = [], None
        if num_fcs:  # no initializer without need: each takes a number of Keras's seed, and later weights would change
            uniform = keras.initializers.VarianceScaling(1.0, "fan_in", "uniform")
            self.fcs = [
                keras.layers.Dense(fc_channels, "relu", kernel_initializer=uniform.clone(), name=f"fc{i}", dtype=dtype)
                for i in range(num_fcs)
            ]
            units = (self._background + self.num_masks) * (2 * self.map_size) ** 2
            normal, exact = keras.initializers.RandomNormal(stddev=0.001), predictor_dtype(self.compute_dtype)
            self.masks = keras.layers.Dense(units, kernel_initializer=normal, name="masks", dtype=exact)

    def build(self, input_shape: tuple):
        """Builds for pooled features [n, side, side, c]."""
        shape = input_shape
        if self.fcs:
            units = shape[1] * shape[2] * shape[3]
            for layer in (*self.fcs, self.masks):
                layer.build((None, units))
                units = layer.units
            return
        for conv in self.convs:
            conv.build(shape)
            shape = (*shape[:3], self.channels)
        self.deconv.build(shape)
        normal, rows = keras.initializers.RandomNormal(stddev=0.001), self._background + self.num_masks
        self.kernel = self.add_weight(shape=(rows, self.channels), initializer=normal, name="kernel")
        self.bias = self.add_weight(shape=(rows,), initializer="zeros", name="bias")

    def call(
        self, pooled: tf.Tensor, classes: tf.Tensor, training: bool = False, valid: tf.Tensor | None = None
    ) -> tf.Tensor:
        """Runs the head.

        Args:
          pooled: [n, side, side, c].
          classes: int32 [n], 1..C; 0 (padding) gives the first class's mask.
          training: Python bool.
          valid: bool [n] or None, see `ConvNorm.call`.

        Returns:
          mask_logits float32 [n, 2 * side, 2 * side] of the given classes.
        """
        if self.fcs or self._background:
            return self._of_class(self._odds(self._channels(pooled, training, valid)), classes)
        # One mask is read: computing the other C - 1 would cost more than the deconvolution.
        index = self._row(classes)
        dtype = predictor_dtype(self.compute_dtype)
        kernel = tf.cast(tf.gather(tf.convert_to_tensor(self.kernel), index), dtype)
        bias = tf.cast(tf.gather(tf.convert_to_tensor(self.bias), index), tf.float32)
        if self._channels_first:
            logits = self._products(pooled, kernel)
        else:
            outputs = self._upsample(pooled, training, valid)
            logits = tf.einsum("nhwc,nc->nhw", tf.cast(outputs, dtype), kernel)
        return in_places((tf.cast(logits, tf.float32) + bias[:, None, None])[..., None])[..., 0]

    def _products(self, pooled, kernel):
        """What `call` multiplies, [n, h, 4w], of kernels [n, c], by maps [n, 4c, h, w] that are not turned around."""
        cells = tf.transpose(self.deconv(self._convolved(pooled, False, None), whole=True), [0, 3, 1, 2])
        _, _, height, width = sizes(cells)
        cells = tf.reshape(tf.cast(cells, kernel.dtype), [-1, 4, self.channels, height * width])
        logits = tf.reshape(tf.matmul(kernel[:, None, None], cells), [-1, 4, height, width])
        return tf.reshape(tf.transpose(logits, [0, 2, 3, 1]), [-1, height, 4 * width])

    def put_channels_first(self):
        """See `RoiHead`: the mask of a class is multiplied out of the deconvolution as it comes."""
        self._channels_first = True

    def all_logits(self, pooled: tf.Tensor) -> tf.Tensor:
        """mask_logits float32 [n, 2 * side, 2 * side, C] of every class, for runtimes that gather nothing.

        One channel where the head is class-agnostic.
        """
        return self._odds(self._channels(pooled, False, None))

    def _row(self, classes):
        """The place of each class among the masks."""
        return tf.zeros_like(classes) if self.class_agnostic else tf.maximum(classes - 1, 0)

    def _of_class(self, maps, classes):
        """[n, M, M] of the asked classes, from [n, M, M, masks]."""
        return tf.gather(tf.transpose(maps, [0, 3, 1, 2]), self._row(classes), batch_dims=1)

    def _channels(self, pooled, training, valid):
        """What the last layer gives, float32 [n, M, M, background and masks]."""
        if self.fcs:
            outputs, side = (
                tf.reshape(pooled, [-1, pooled.shape[1] * pooled.shape[2] * pooled.shape[3]]),
                self.map_size,
            )
            for layer in (*self.fcs, self.masks):
                outputs = layer(outputs)
            return tf.cast(tf.reshape(outputs, [-1, 2 * side, 2 * side, self._background + self.num_masks]), tf.float32)
        outputs = tf.cast(self._upsample(pooled, training, valid), tf.float32)
        kernel = tf.cast(tf.transpose(tf.convert_to_tensor(self.kernel))[None, None], tf.float32)
        bias = tf.cast(tf.convert_to_tensor(self.bias), tf.float32)
        return in_places(tf.nn.conv2d(outputs, kernel, 1, "VALID") + bias)

    def _odds(self, channels):
        """Logits whose sigmoid is the probability of each mask, [n, M, M, masks]."""
        if not self._background:
            return channels
        shares = tf.nn.log_softmax(channels)[..., 1:]
        return shares - tf.math.log(-tf.math.expm1(tf.minimum(shares, -TINY)))

    def _upsample(self, pooled, training, valid):
        return self.deconv(self._convolved(pooled, training, valid))

    def _convolved(self, pooled, training, valid):
        for conv in self.convs:
            pooled = conv(pooled, training=training, valid=valid)
        return pooled

    def compute_output_shape(self, input_shape: tuple) -> tuple:
        """Shape of the logits."""
        return (input_shape[0], 2 * input_shape[1], 2 * input_shape[2])

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """See `RoiHead`: binary cross entropy on the foreground RoIs, or multinomial with "softmax"."""
        foreground = int(config.roi.samples * config.roi.positive_fraction)  # positives come first
        rois, classes, gt_indices = (
            sampled[name][:, :foreground] for name in ("rois", "roi_classes", "roi_gt_indices")
        )
        rows, pooled = pool.sampled(classes > 0, self.pool_size)
        targets = target_ops.mask_targets(batch, rois, gt_indices, rows, 2 * self.map_size, config)
        if self._background:
            shares = tf.nn.log_softmax(self._channels(pooled, training, rows.counted))
            mask = self._of_class(shares[..., 1:], rows.flatten(classes))
            return {"mask": loss_ops.softmax_mask_loss(mask, shares[..., 0], targets, rows.counted)}
        logits = self(pooled, rows.flatten(classes), training=training, valid=rows.counted)
        return {"mask": loss_ops.mask_loss(logits, targets, rows.counted)}

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`: pools `detection_boxes`; `detection_masks` are probabilities in the frame of the box."""

        def rows_of(tensors: Tensors):
            rois, counts = tensors["detection_boxes"], tensors["num_detections"]
            return pooler.rows(tf.range(rois.shape[1])[None] < counts[:, None])

        def align(tensors: Tensors) -> Tensors:
            rows = rows_of(tensors)
            pooled = pooler.pool(tensors["roi_features"], tensors["detection_boxes"], rows, self.pool_size)
            return {"mask_pooled": pooled, "mask_classes": rows.flatten(tensors["detection_classes"])}

        def run(tensors: Tensors) -> Tensors:
            return {"mask_logits": self(tensors["mask_pooled"], tensors["mask_classes"])}

        def run_all(tensors: Tensors) -> Tensors:
            return {"mask_logits": self.all_logits(tensors["mask_pooled"])}

        def finish(tensors: Tensors) -> Tensors:
            logits, rois = tensors["mask_logits"], tensors["detection_boxes"]
            if logits.shape.rank == 4:  # of every class, from a network without gathers
                logits = self._of_class(logits, tensors["mask_classes"])
            masks = rows_of(tensors).restore(tf.sigmoid(logits))
            return {"detection_masks": tf.where(rois[..., 3:, None] > rois[..., 1:2, None], masks, 0.0)}

        delegated = Step("mask_head", run_all, "mask_head", ("mask_pooled",))
        network = Step("mask_head", run, "mask_head", ("mask_pooled", "mask_classes"), delegated=delegated)
        return [
            Step("mask_roi_align", align),
            *pooler.network(network, "mask_pooled"),
            Step("mask_scores", finish),
        ]

    def unmirrored(self, value: tf.Tensor, config: ModelConfig) -> tf.Tensor:
        """See `RoiHead`: masks [B, D, M, M]."""
        return tf.reverse(value, [-1])

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        side = 2 * self.map_size
        return {"detection_masks": tf.TensorSpec([config.detection.max_detections, side, side], tf.float32)}
