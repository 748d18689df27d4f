"""Masks as polygons along the borders of their pixels, and several rings as one."""

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected

LONGEST, MOST = 500_000, 2000  # sides of pixels, and rings: seconds of work
PAIRS = 200_000  # of corners that are compared at a time for the shortest way between rings


def rings(mask: np.ndarray) -> list[np.ndarray]:
    """The borders of a mask.

    Args:
      mask: bool [h, w]. Pixels that touch at a corner alone have borders of their own.

    Returns:
      float64 [n, 2] (x, y) of each ring's corners, on the grid between pixels: those around pixels clockwise as the
      image is seen, those around holes the other way. Filled even-odd, or by pycocotools, they are the mask.

    Raises:
      Rejected: the borders are too long, or too many, to be walked along.
    """
    padded = np.pad(mask, 1)
    length = sum(int(np.count_nonzero(np.diff(padded, axis=axis))) for axis in (0, 1))
    if length > LONGEST:
        raise Rejected("mask whose border is too long for a polygon", f"{length} sides of pixels; allowed: {LONGEST}")
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    for begin, (dx, dy), beside in (
        ((0, 0), (1, 0), (-1, 0)),  # the upper side of a pixel, to the right: nothing above
        ((1, 0), (0, 1), (0, 1)),  # the right side, down
        ((1, 1), (-1, 0), (1, 0)),  # the lower side, to the left
        ((0, 1), (0, -1), (0, -1)),  # the left side, up
    ):
        empty = padded[1 + beside[0] :, 1 + beside[1] :][: mask.shape[0], : mask.shape[1]]
        ys, xs = np.nonzero(mask & ~empty)
        for x, y in zip((xs + begin[0]).tolist(), (ys + begin[1]).tolist(), strict=True):
            steps.setdefault((x, y), []).append((dx, dy))
    found = []
    while steps:
        found.append(_followed(steps))
    if len(found) > MOST:
        raise Rejected("mask of too many parts and holes for a polygon", f"{len(found)}; allowed: {MOST}")
    return found


def _followed(steps: dict) -> np.ndarray:
    """One ring, whose steps are taken away: its corners."""
    start = place = next(iter(steps))
    direction, right, corners = None, None, []
    while place != start or direction is None or right in steps.get(start, ()):
        ways = steps[place]
        # Where two pixels meet at a corner: to the right, which stays at the pixel that is followed.
        step = right if right in ways else ways[0]
        ways.remove(step)
        if not ways:
            del steps[place]
        if step != direction:
            corners.append(place)
        place, direction = (place[0] + step[0], place[1] + step[1]), step
        right = (-direction[1], direction[0])
    return np.array(corners, np.float64)


def joined(parts: list[np.ndarray]) -> np.ndarray:
    """Rings as one: each is reached by a line there and back, which has no area.

    Args:
      parts: float64 [n, 2] each, which may lie inside each other (holes) but do not overlap otherwise.

    Returns:
      float64 [m, 2].
    """
    ring = parts[0]
    for part in parts[1:]:
        first, second = _nearest(ring, part)
        turned = np.roll(part, -second, 0)
        ring = np.concatenate([ring[: first + 1], turned, turned[:1], ring[first:]])
    return ring


def _nearest(ring: np.ndarray, part: np.ndarray) -> tuple[int, int]:
    """The corners of two rings that are near each other: of large rings of every k-th corner."""
    every = max(1, int(np.ceil(np.sqrt(len(ring) * len(part) / PAIRS))))
    distances = ((ring[::every, None] - part[None, ::every]) ** 2).sum(-1)
    first, second = np.unravel_index(distances.argmin(), distances.shape)
    return int(first) * every, int(second) * every
