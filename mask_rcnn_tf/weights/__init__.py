"""Other projects' checkpoints in, and ours back out in torchvision's naming; fine-tuning from a saved model."""

from mask_rcnn_tf.weights.errors import CheckpointError
from mask_rcnn_tf.weights.exporter import save_torchvision, to_torchvision
from mask_rcnn_tf.weights.importer import import_checkpoint
from mask_rcnn_tf.weights.initialization import initialize

__all__ = ["CheckpointError", "import_checkpoint", "initialize", "save_torchvision", "to_torchvision"]
