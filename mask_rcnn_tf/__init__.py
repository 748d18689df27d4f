"""Mask R-CNN (He et al., arXiv:1703.06870) for TensorFlow and Keras."""

from mask_rcnn_tf.config import Config, ModelConfig, load_config
from mask_rcnn_tf.models.mask_rcnn import MaskRCNN

__version__ = "0.1.0"
__all__ = ["Config", "MaskRCNN", "ModelConfig", "load_config"]
