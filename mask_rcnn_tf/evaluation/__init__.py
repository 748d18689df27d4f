"""Detections to COCO results to average precision, and the Keras callback that does both."""

from mask_rcnn_tf.coco.results import to_results, write_json
from mask_rcnn_tf.evaluation.callback import CocoEvaluation, evaluate
from mask_rcnn_tf.evaluation.coco_metrics import format_classes, format_table, score

__all__ = ["CocoEvaluation", "evaluate", "format_classes", "format_table", "score", "to_results", "write_json"]
