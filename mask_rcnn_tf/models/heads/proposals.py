"""The head of an RPN alone, which has no layers: its proposals are the detections, all of one class."""

import keras
import tensorflow as tf

from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.models.heads.base import RoiHead
from mask_rcnn_tf.models.heads.box import detection_specs
from mask_rcnn_tf.models.pooler import Pooler
from mask_rcnn_tf.models.steps import Step, Tensors


@keras.saving.register_keras_serializable("mask_rcnn_tf")
class ProposalHead(RoiHead):
    """Gives proposals the names of detections, so that all that takes detections takes them.

    `detection_scores` are the sigmoid of the objectness logits, which are too far from 0 and 1 to be compared by
    otherwise; all are of class 1. They are the best `detection.max_detections` above `detection.score_threshold`.

    Source: `detectron2/modeling/meta_arch/rcnn.py`, ProposalNetwork, which gives the logits themselves.
    """

    pool_size = 0

    def steps(self, config: ModelConfig, pooler: Pooler) -> list[Step]:
        """See `RoiHead`."""

        def detections(tensors: Tensors) -> Tensors:
            boxes, counts, scores = (tensors[name] for name in ("proposals", "num_proposals", "proposal_scores"))
            scores = scores if config.rpn.ranking == "sigmoid" else tf.sigmoid(scores)
            is_proposal = tf.range(tf.shape(scores)[1])[None] < counts[:, None]
            found = is_proposal & (scores > config.detection.score_threshold)  # the first rows: they are in order
            boxes, scores = tf.where(found[..., None], boxes, 0.0), tf.where(found, scores, 0.0)
            boxes, scores, classes = (
                _rows(values, config.detection.max_detections) for values in (boxes, scores, tf.cast(found, tf.int32))
            )
            return {
                "detection_boxes": boxes,
                "detection_scores": scores,
                "detection_classes": classes,
                "num_detections": tf.reduce_sum(classes, 1),
            }

        return [Step("detections", detections)]

    def output_specs(self, config: ModelConfig) -> dict[str, tf.TensorSpec]:
        """See `RoiHead`."""
        return detection_specs(config.detection)


def _rows(values, count):
    """The first `count` of [B, K, ...], with zeros where there are fewer."""
    values = values[:, :count]
    missing = count - (values.shape[1] if values.shape[1] is not None else tf.shape(values)[1])
    padded = tf.pad(values, [[0, 0], [0, missing]] + [[0, 0]] * (values.shape.rank - 2))
    return tf.ensure_shape(padded, [values.shape[0], count, *values.shape[2:]])
