"""One page of HTML, complete in itself, that says how a model does and what it gets wrong."""

from mask_rcnn_tf.report.facts import Facts, TrainingData
from mask_rcnn_tf.report.of_files import of_files
from mask_rcnn_tf.report.page import render, write

__all__ = ["Facts", "TrainingData", "of_files", "render", "write"]
