"""File formats of checkpoints: each becomes named NumPy arrays, and nothing in it is run."""
