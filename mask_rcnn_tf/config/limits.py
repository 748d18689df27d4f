"""Bounds of sizes in a configuration, far above what anybody uses.

The configuration of a saved model may be a stranger's, and memory follows these.
"""

SIDE = 2**14  # pixels of an image
LAYERS = 200  # of a stack
ROWS = 100_000  # of a list of boxes
CELLS = 64  # of a side of a grid
STAGES = 10  # of a cascade after the first
PARTS = 1000  # of one object, keypoints
