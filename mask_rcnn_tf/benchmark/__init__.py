"""Times inference, the training step and the input pipeline, by stage."""
