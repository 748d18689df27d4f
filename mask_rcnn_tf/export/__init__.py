"""Trained models for TensorFlow Serving, phones, ONNX Runtime, TensorRT and PJRT: docs/deploy.md."""

from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.to_onnx import onnx
from mask_rcnn_tf.export.to_saved_model import saved_model
from mask_rcnn_tf.export.to_stablehlo import stablehlo
from mask_rcnn_tf.export.to_tflite import tflite

__all__ = ["ExportError", "onnx", "saved_model", "stablehlo", "tflite"]
