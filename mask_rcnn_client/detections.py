"""What was found in an image, as objects."""

import collections
import copy
import dataclasses
import numbers
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from mask_rcnn_client.legend import Legend
from mask_rcnn_client.pasting import paste_bitmap


@dataclasses.dataclass(frozen=True, eq=False)
class Detection:
    """One object.

    Attributes:
      box: float32 [4], y1, x1, y2, x2, pixels of the image.
      score: 0 to 1.
      class_name: of its class.
      class_number: 1..C.
      category_id: the annotation file's id of the class.
      keypoints: float32 [J, 3] (x, y, score), pixels of the image; None where the model has none.
      found: all that was found in the image.
      index: its place there.
    """

    box: np.ndarray
    score: float
    class_name: str
    class_number: int
    category_id: int
    keypoints: np.ndarray | None
    found: "Detections" = dataclasses.field(repr=False)
    index: int = dataclasses.field(repr=False)

    @property
    def mask(self) -> np.ndarray | None:
        """bool [h, w] of the image, pasted each time that it is asked for; None where the model has no masks."""
        return self.found.mask(self.index)


class Detections:
    """What was found in one image, best first.

    `len` counts the objects, an index or a loop gives them one by one (`Detection`). By their names it gives the arrays
    of the model, as a dict does: `found["detection_boxes"]`, `"detection_masks" in found`, `keys()`, `items()`.

    Args:
      arrays: rows without padding: `detection_boxes` float32 [n, 4] (y1, x1, y2, x2, pixels of the image),
        `detection_scores` float32 [n], `detection_classes` int32 [n], 1..C; of a model with masks `detection_masks`
        float32 [n, M, M], probabilities in the frame of the box, or `detection_bitmaps` uint8 [n, h, w], pasted before;
        of one with keypoints `detection_keypoints` float32 [n, J, 3] (x, y, score).
      image_shape: (h, w) of the image, pixels.
      legend: of the model.
    """

    kind = Detection

    def __init__(self, arrays: Mapping[str, np.ndarray], image_shape: Sequence[int], legend: Legend):
        self._arrays = dict(arrays)
        self.image_shape = tuple(int(side) for side in image_shape)
        self.legend = legend

    def __len__(self) -> int:
        return len(self._arrays["detection_scores"])

    def __iter__(self) -> Iterator[Detection]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, key: int | str) -> Detection | np.ndarray:
        if isinstance(key, str):
            return self._arrays[key]
        index = range(len(self))[operator.index(key)]  # negative ones count from the end
        number = int(self.classes[index])
        return self.kind(
            box=self.boxes[index],
            score=float(self.scores[index]),
            class_name=self.legend.class_names[number - 1],
            class_number=number,
            category_id=int(self.legend.category_ids[number - 1]),
            keypoints=None if self.keypoints is None else self.keypoints[index],
            found=self,
            index=index,
        )

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in collections.Counter(self.class_names).most_common())
        height, width = self.image_shape
        found = f"{len(self)} {'object' if len(self) == 1 else 'objects'} in {height} x {width} pixels"
        return f"<{found}: {counts}>" if counts else f"<{found}>"

    def keys(self) -> Any:
        """Names of the arrays."""
        return self._arrays.keys()

    def values(self) -> Any:
        """The arrays."""
        return self._arrays.values()

    def items(self) -> Any:
        """The arrays with their names."""
        return self._arrays.items()

    def get(self, name: str, default: Any = None) -> Any:
        """An array by its name, or `default`."""
        return self._arrays.get(name, default)

    @property
    def boxes(self) -> np.ndarray:
        """float32 [n, 4]: y1, x1, y2, x2, pixels of the image."""
        return self._arrays["detection_boxes"]

    @property
    def scores(self) -> np.ndarray:
        """float32 [n]."""
        return self._arrays["detection_scores"]

    @property
    def classes(self) -> np.ndarray:
        """int32 [n], 1..C."""
        return self._arrays["detection_classes"]

    @property
    def class_names(self) -> list[str]:
        """n names."""
        return [self.legend.class_names[number - 1] for number in self.classes.tolist()]

    @property
    def category_ids(self) -> list[int]:
        """n ids of the annotation file."""
        return [int(self.legend.category_ids[number - 1]) for number in self.classes.tolist()]

    @property
    def keypoints(self) -> np.ndarray | None:
        """float32 [n, J, 3] (x, y, score), pixels of the image; None where the model has none."""
        return self._arrays.get("detection_keypoints")

    @property
    def has_masks(self) -> bool:
        """Whether the model has masks."""
        return "detection_masks" in self or "detection_bitmaps" in self

    @property
    def masks(self) -> np.ndarray | None:
        """bool [n, h, w], pasted now: a byte a pixel of each object. None where the model has no masks."""
        if not self.has_masks:
            return None
        masks = np.zeros((len(self), *self.image_shape), bool)
        for index, mask in enumerate(masks):
            _place(mask, *self.crop(index))
        return masks

    def mask(self, index: int) -> np.ndarray | None:
        """The mask of one object, bool [h, w] of the image; None where the model has no masks."""
        return _place(np.zeros(self.image_shape, bool), *self.crop(index)) if self.has_masks else None

    def crop(self, index: int) -> tuple[np.ndarray, tuple[int, int]]:
        """A window of the image outside of which an object's mask has no pixel, without painting the image.

        Returns:
          bool [ch, cw], possibly empty, and the image pixel (y0, x0) of its corner.

        Raises:
          KeyError: the model has no masks.
        """
        if "detection_bitmaps" in self:
            return self["detection_bitmaps"][index].astype(bool), (0, 0)
        probabilities, rules = self["detection_masks"][index], (self.legend.mask_threshold, self.legend.paste)
        return paste_bitmap(probabilities, self.boxes[index], self.image_shape, *rules)

    def select(self, min_score: float = 0.0, classes: Sequence[str | int] | None = None) -> "Detections":
        """Those objects that are wanted.

        Args:
          min_score: lowest score, 0 to 1.
          classes: names, or numbers 1..C, such as ("cat", 3); None for all.

        Returns:
          Of the same kind, in the same order; the arrays' other rows are left out.

        Raises:
          ValueError: there is no such class, or an argument is of another kind.
        """
        if not (isinstance(min_score, numbers.Real) and 0 <= min_score <= 1):
            raise ValueError(f"min_score is {min_score!r:.100}; allowed: a number from 0 to 1.")
        wanted = self.scores >= np.float32(min_score)
        if classes is not None:
            if isinstance(classes, str) or not isinstance(classes, Collection):
                raise ValueError(f'classes is {classes!r:.100}; allowed: a list or tuple, such as ("cat", 3), or None.')
            wanted &= np.isin(self.classes, [self.legend.number_of(one) for one in classes])
        chosen = copy.copy(self)
        chosen._arrays = {name: rows[wanted] for name, rows in self.items()}
        return chosen


def _place(mask: np.ndarray, crop: np.ndarray, origin: tuple[int, int]) -> np.ndarray:
    y, x = origin
    mask[y : y + crop.shape[0], x : x + crop.shape[1]] = crop
    return mask
