"""Other projects' checkpoints in, and ours back out in torchvision's naming; fine-tuning from a saved model."""
