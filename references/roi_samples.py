"""Which RoIs two programs trained on: pairs of the same box and class, and what one of them alone has."""

import numpy as np

SAME = 0.05  # pixels: more than rounding moves a box, less than what lies between two proposals


def alone(ours, theirs):
    """The RoIs of each side that the other has not.

    Args:
        ours, theirs: (boxes [n, 4], classes [n]), 0 being background; boxes in the same order of coordinates.

    Returns:
        (list, list): (box, class) that only `ours` has, and that only `theirs` has.
    """
    free = list(range(len(theirs[0])))
    left = []
    for box, label in zip(*ours, strict=True):
        apart = [np.abs(theirs[0][i] - box).max() + (theirs[1][i] != label) for i in free]
        if apart and min(apart) < SAME:
            del free[int(np.argmin(apart))]
        else:
            left.append((box, int(label)))
    return left, [(theirs[0][i], int(theirs[1][i])) for i in free]
