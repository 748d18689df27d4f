"""Mask R-CNN (He et al., arXiv:1703.06870) for TensorFlow and Keras."""

from mask_rcnn_tf import starting as starting  # isort: skip  # it begins before the seconds that TensorFlow takes

from mask_rcnn_tf import export, weights
from mask_rcnn_tf.config import AugmentationConfig, Config, ModelConfig
from mask_rcnn_tf.detections import Detections
from mask_rcnn_tf.evaluation import CocoEvaluation
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN
from mask_rcnn_tf.models.prediction import make_predictor, predict_images
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.training import TorchSGD  # known to Keras when a saved model is loaded
from mask_rcnn_tf.training.from_data import suggest_config, train
from mask_rcnn_tf.weights.loading import load_model

load = load_model  # of a file, or of a run's folder

MaskRCNN.exporters = {"tf_saved_model": export.saved_model, "onnx": export.onnx, "tflite": export.tflite}

__version__ = "0.1.0"
__all__ = [
    "AugmentationConfig",
    "CocoEvaluation",
    "Config",
    "Detections",
    "MaskRCNN",
    "ModelConfig",
    "TorchSGD",
    "export",
    "load",
    "load_config",
    "load_model",
    "make_predictor",
    "predict_images",
    "suggest_config",
    "train",
    "weights",
]
