"""Other code bases: the names and layouts of their tensors, and the configuration that gives their behaviour."""
