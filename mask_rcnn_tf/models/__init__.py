"""Keras layers of each stage, their targets and losses, and the model that joins them."""
