"""What a file's boxes mean: COCO's [x, y, width, height] in pixels, or another form that its own masks give away."""

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np

from mask_rcnn_tf.coco import rle
from mask_rcnn_tf.coco.errors import Rejected
from mask_rcnn_tf.coco.segmentation import has_segmentation, mask_runs, numbers

# From four numbers to y1, x1, y2, x2.
ORDERS = {
    "x, y, width, height": lambda x, y, w, h: (y, x, y + h, x + w),
    "x1, y1, x2, y2": lambda x1, y1, x2, y2: (y1, x1, y2, x2),
    "y1, x1, y2, x2": lambda y1, x1, y2, x2: (y1, x1, y2, x2),
    "x centre, y centre, width, height": lambda x, y, w, h: (y - h / 2, x - w / 2, y + h / 2, x + w / 2),
}
NEAR = 2.0  # pixels that a side of a box may differ from its mask's whatever the IoU: small objects, rounding
LOOSE, CLOSE = 0.5, 0.8  # IoU of a box and its mask's, below which they are unlike, from which they are one
SAMPLED, FEWEST = 1000, 4  # annotations that are compared, and from which on they say something about the file


@dataclasses.dataclass(frozen=True)
class BoxForm:
    """How the four numbers of a box are to be read."""

    order: str = "x, y, width, height"
    is_normalised: bool = False  # to 0..1 of the image's width and height

    def __str__(self):
        return f"[{self.order}]" + (" normalised to the image" if self.is_normalised else "")

    def corners(self, values: np.ndarray, height: int, width: int) -> np.ndarray:
        """Float64 [4] [y1, x1, y2, x2] pixels of a box float64 [4] in an image, not cut at its border."""
        scale = (width, height) if self.is_normalised else (1, 1)
        scale = scale[::-1] * 2 if self.order.startswith("y1") else scale * 2
        return np.array(ORDERS[self.order](*(values * scale)), np.float64)


XYWH = BoxForm()
FORMS = tuple(BoxForm(order, is_normalised) for is_normalised in (False, True) for order in ORDERS)


@dataclasses.dataclass(frozen=True)
class Verdict:
    """How a file's boxes are read, and what is to be said of it."""

    form: BoxForm = XYWH
    note: str = ""  # where it is another form than COCO's
    contradiction: str = ""  # where boxes and masks do not belong together in any form: the file is of no use


def check_box(bbox: Any) -> np.ndarray:
    """A COCO box as float64 [4]; raises Rejected unless it is four finite numbers."""
    values = numbers(bbox, "box")
    if values.shape != (4,):
        raise Rejected("box is not four numbers", f"it is {bbox!r:.60}")
    return values


def clipped(corners: np.ndarray, height: int, width: int) -> np.ndarray:
    """A box [y1, x1, y2, x2] cut at the image's border."""
    return np.clip(corners, 0, (height, width, height, width))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """IoU of two boxes [y1, x1, y2, x2]; 0 where one has no area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    areas = [float(np.prod(np.maximum(box[2:] - box[:2], 0))) for box in (a, b)]
    both = float(np.prod(np.maximum(sides, 0)))
    return both / (sum(areas) - both) if both else 0.0


def agree(stated: np.ndarray, mask_box: np.ndarray, least_iou: float = LOOSE) -> bool:
    """Whether a stated box may be that of a mask whose tight box is `mask_box`; both [y1, x1, y2, x2]."""
    return bool(np.abs(stated - mask_box).max() <= NEAR) or iou(stated, mask_box) >= least_iou


def judge_boxes(coco: dict) -> Verdict:
    """Compares boxes with the boxes of their masks, on annotations spread over the file.

    Args:
      coco: a COCO-format dict whose structure was checked.

    Returns:
      The form that explains the boxes. Single boxes that are unlike their masks are left to the judge.
    """
    pairs = list(_compared(coco))
    if len(pairs) < FEWEST:
        return Verdict()

    def share(form, least_iou):
        fits = [agree(clipped(form.corners(values, *size), *size), mask, least_iou) for values, mask, size in pairs]
        return sum(fits) / len(fits)

    if share(XYWH, CLOSE) >= 0.5:
        return Verdict()
    closest, best = max(((share(form, CLOSE), form) for form in FORMS), key=lambda pair: pair[0])
    count = f"{round(closest * len(pairs))} of {len(pairs)} compared annotations"
    if closest >= 0.9:
        return Verdict(
            best, f"boxes are {best}, not {XYWH}: so they fit the masks in {count}; the masks' boxes are used"
        )
    loose = share(XYWH, LOOSE)
    if loose >= 0.5:
        return Verdict()
    fitting = f"{round(loose * len(pairs))} of {len(pairs)} compared annotations"
    return Verdict(
        contradiction=f"boxes and masks do not belong together: they fit in {fitting}, and no other form of box "
        "explains it; rows may have been mixed up"
    )


def _compared(coco: dict) -> Iterator[tuple[np.ndarray, np.ndarray, tuple[int, int]]]:
    """(box float64 [4] as stated, box of its mask, (height, width) of its image) of up to SAMPLED annotations."""
    images = {image["id"]: image for image in coco["images"]}
    rows = [row for row in coco["annotations"] if row.get("bbox") and has_segmentation(row)]
    for row in rows[:: max(1, len(rows) // SAMPLED)]:
        try:
            image = images[row["image_id"]]
            size = image_size(image)
            values = check_box(row["bbox"])
            runs = mask_runs(row["segmentation"], *size)
        except (Rejected, KeyError):
            continue
        if (values[2:] > 0).all():
            yield values, rle.box(runs, *size), size


def image_size(image: dict) -> tuple[int, int]:
    """Height and width of an image's row. Raises Rejected unless they are those of an image."""
    sides = image.get("height"), image.get("width")
    for side in sides:
        if not isinstance(side, int | np.integer) or isinstance(side, bool) or side < 1:
            raise Rejected("image without a height and width", f"[height, width] = {list(sides)!r:.60}")
    if sides[0] * sides[1] >= 2**31:
        raise Rejected("image with more than 2**31 pixels", f"[height, width] = {list(sides)!r:.60}")
    return int(sides[0]), int(sides[1])
