"""Cascade: a box head that holds several, each on the boxes of the one before."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models import targets as target_ops
from mask_rcnn_tf.models.heads import box
from mask_rcnn_tf.models.heads.base import LossSums, Pool, RoiHead
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.steps import Step, Tensors
from mask_rcnn_tf.ops import boxes as box_ops
from mask_rcnn_tf.ops.gradients import with_gradient


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class CascadeBoxHead(RoiHead):
    """Box heads in a row: each pools the boxes of the one before, and learns at a higher IoU.

    IoUs and delta weights are the configuration's (`BoxHeadConfig`).

    Args:
      num_classes: C, without background.
      num_stages: how many.
      num_convs, conv_channels, norm, norm_momentum, num_fcs, fc_channels, pool_size, average: of each, see `BoxHead`.
      class_agnostic: True: a box of one class cannot be the next stage's of all.

    Source: Cai and Vasconcelos, arXiv:1712.00726; `detectron2/modeling/roi_heads/cascade_rcnn.py`.
    """

    def __init__(
        self,
        num_classes: int,
        *,
        num_stages: int = 3,
        num_convs: int = 0,
        conv_channels: int = 256,
        num_fcs: int = 2,
        fc_channels: int = 1024,
        norm: str = "none",
        norm_momentum: float = 0.9,
        pool_size: int = 7,
        class_agnostic: bool = True,
        average: bool = False,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.num_classes, self.pool_size, self.class_agnostic = num_classes, pool_size, class_agnostic
        self.stages = [
            box.BoxHead(
                num_classes,
                num_convs=num_convs,
                conv_channels=conv_channels,
                num_fcs=num_fcs,
                fc_channels=fc_channels,
                norm=norm,
                norm_momentum=norm_momentum,
                pool_size=pool_size,
                class_agnostic=class_agnostic,
                average=average,
                name=f"stage{number}",
                dtype=self.dtype_policy,
            )
            for number in range(1, num_stages + 1)
        ]
        numbers = range(1, num_stages + 1)
        self.loss_names = tuple(f"{name}_{number}" for number in numbers for name in box.BoxHead.loss_names)
        self.class_variables = tuple(f"stage{number}/class_logits" for number in numbers)

    def each_stage(self) -> list[box.BoxHead]:
        """Its box heads, in the order in which they run."""
        return list(self.stages)

    def put_channels_first(self):
        """See `RoiHead`."""
        for stage in self.each_stage():
            stage.put_channels_first()

    def build(self, input_shape: tuple):
        """Builds for pooled features [n, side, side, c]."""
        for stage in self.stages:
            stage.build(input_shape)

    def loss_sums(
        self,
        batch: Mapping[str, tf.Tensor],
        sampled: Mapping[str, tf.Tensor],
        pool: Pool,
        config: ModelConfig,
        training: bool,
    ) -> LossSums:
        """See `RoiHead`: the losses of a box head, of each stage on RoIs of its own."""
        head, found, boxes = config.box_head, [], None
        for index, (stage, weights) in enumerate(zip(self.stages, head.stage_delta_weights, strict=True)):
            if index:
                sampled = target_ops.relabel_rois(boxes, sampled, batch, head.cascade_ious[index - 1])
            rows, pooled = pool(sampled["rois"], sampled["roi_valid"], self.pool_size)
            pooled = scale_gradient(pooled, 1.0 / len(self.stages))
            class_logits, deltas = stage.train_on(rows, pooled, sampled, training)
            found += box.roi_losses(class_logits, deltas, sampled, batch["gt_boxes"], weights, head.loss_beta)
            boxes = box_ops.decode_deltas(deltas, sampled["rois"], weights)
            boxes = box_ops.clip_boxes(boxes, batch["image_shape"])
        return dict(zip(self.loss_names, found, strict=True))

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`: each stage moves the boxes; scores are the mean of all stages, boxes the last one's."""
        steps, rois, every = [], "proposals", config.box_head.stage_delta_weights
        for number, (stage, weights) in enumerate(zip(self.stages, every, strict=True), start=1):
            steps += stage.network_steps(pooler, rois, f"_{number}")
            steps.append(_decode_step(rois, number, weights, pooler))
            rois = f"boxes_{number}"

        def select(tensors: Tensors) -> Tensors:
            rows = box.proposal_rows(tensors, pooler)
            logits = [tensors[f"class_logits_{number}"] for number in range(1, len(self.stages) + 1)]
            scores = tf.add_n([tf.nn.softmax(each) for each in logits]) / float(len(logits))
            boxes, scores = box.mark_missing(tensors[rois][:, :, None], rows.restore(scores)[..., 1:], tensors, config)
            return box.select_detections(boxes, scores, config.detection, pooler.kernels)

        return [*steps, Step("class_nms", select)]

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        return box.detection_specs(config.detection)


def _decode_step(rois, number, weights, pooler):
    """From the boxes called `rois` and a stage's deltas to `boxes_<number>`, float32 [B, K, 4], clipped."""

    def decode(tensors: Tensors) -> Tensors:
        deltas = box.proposal_rows(tensors, pooler).restore(tensors[f"box_deltas_{number}"])[:, :, 0]
        boxes = box_ops.decode_deltas(deltas, tensors[rois], weights)
        return {f"boxes_{number}": box_ops.clip_boxes(boxes, tensors["image_shape"])}

    return Step(f"box_decode_{number}", decode)


def scale_gradient(values: tf.Tensor, factor: float) -> tf.Tensor:
    """The values, whose gradient is multiplied.

    Args:
      values: float32, any shape.
      factor: of the gradient. The stages' losses are added; their sum pulls at the features as one loss does.

    Source: `detectron2/modeling/roi_heads/cascade_rcnn.py`, _ScaleGradient.
    """

    return with_gradient(_scaled, values, factor=factor)


def _scaled(values, factor):
    return tf.identity(values), lambda gradient: gradient * factor
