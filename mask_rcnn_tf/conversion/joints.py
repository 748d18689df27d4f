"""Points that a tool has beside objects, each with a name, as keypoints of those objects."""

import collections
import dataclasses

import numpy as np

from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import mask_runs
from mask_rcnn_tf.conversion.labelled import LabelledData, LabelledImage, LabelledObject, Report

MOST_NAMES = 1000


@dataclasses.dataclass(frozen=True)
class Joint:
    """A point.

    Attributes:
      name: of the keypoint.
      x: pixels, continuous: the centre of pixel i is i + 0.5.
      y: pixels.
      where: its place, for messages.
      seen: COCO's visibility, 1 for a place that is covered, else 2.
    """

    name: str
    x: float
    y: float
    where: str
    seen: int = 2


def attach(owned: list[tuple[LabelledObject, Joint]], data: LabelledData, report: Report):
    """Sets the keypoints of objects, and those of their categories: the names of all points, sorted.

    Label Studio and LabelMe have one list of names for all categories, and no order of them.

    Args:
      owned: points with the object of each.
      data: gets the names of each category that has keypoints.
      report: gets points of one name on one object, of which none can be told to be the right one.
    """
    objects = {id(item): item for item, _ in owned}
    joints = collections.defaultdict(list)
    for item, joint in owned:
        joints[id(item)].append(joint)
    places = {key: _single(found, report) for key, found in joints.items()}
    every = sorted({name for found in places.values() for name in found})
    names, beyond = every[:MOST_NAMES], set(every[MOST_NAMES:])
    for key, found in places.items():
        for name in beyond & set(found):
            report.lose(Rejected(f"keypoint of a name beyond the first {MOST_NAMES}"), found.pop(name).where)
        if found:
            data.keypoints[objects[key].category] = (names, [])
            objects[key].keypoints = tuple(value for name in names for value in _columns(found.get(name)))


def _columns(joint: Joint | None) -> tuple[float, float, int]:
    """COCO's x, y, v: it counts from centres of pixels."""
    return (joint.x - 0.5, joint.y - 0.5, joint.seen) if joint else (0.0, 0.0, 0)


def _single(joints: list[Joint], report: Report) -> dict[str, Joint]:
    """The joints of an object by name, without those whose name it has twice."""
    counts = collections.Counter(joint.name for joint in joints)
    for joint in joints:
        if counts[joint.name] > 1:
            report.lose(Rejected("keypoint of a name that its object has twice", repr(joint.name)), joint.where)
    return {joint.name: joint for joint in joints if counts[joint.name] == 1}


class Areas:
    """Where the objects of an image are, to find the one that a point lies in.

    Args:
      image: with its objects.
    """

    def __init__(self, image: LabelledImage):
        self._size = image.height, image.width
        self._items = image.objects
        self._ends: list[np.ndarray | None] = [self._runs(item) for item in image.objects]

    def owner(self, x: float, y: float) -> LabelledObject:
        """The only object that a point (pixels) lies in. Raises Rejected: it lies in none, or in several."""
        found = [item for item, ends in zip(self._items, self._ends, strict=True) if self._holds(item, ends, x, y)]
        if len(found) != 1:
            kind = "several objects" if found else "no object"
            raise Rejected(f"keypoint in {kind} and tied to none: whose it is cannot be told", f"x {x:g}, y {y:g}")
        return found[0]

    def _runs(self, item: LabelledObject) -> np.ndarray | None:
        """Where the runs of a mask end; None of a box, and none of what is no mask."""
        if item.segmentation is None:
            return None
        try:
            return np.cumsum(mask_runs(item.segmentation, *self._size))
        except Rejected:  # named when it is judged
            return np.zeros(0, np.int64)

    def _holds(self, item: LabelledObject, ends: np.ndarray | None, x: float, y: float) -> bool:
        if ends is None:
            left, top, width, height = item.box
            return min(width, height) > 0 and left <= x <= left + width and top <= y <= top + height
        height, width = self._size
        if not (0 <= x < width and 0 <= y < height):
            return False
        return bool(np.searchsorted(ends, int(x) * height + int(y), "right") % 2 == 1)
