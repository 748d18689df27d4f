"""Why AP is not higher: the six kinds of error of TIDE, and what AP50 would gain were each mended alone.

Source: Bolya et al., TIDE, arXiv:2008.08115, sections 2.2 and 2.3, and their program `tidecv` 1.0.1. Three things are
pycocotools' here, so that AP50 is that of the score: ties, the limit of detections (of a class, not of an image), and
classes without objects, which do not count. What lies in a crowd (half of it at least, as in pycocotools; in `tidecv`
more than half) is no error. A class of which nothing is left that is wrong or missed has AP 1, where `tidecv` leaves it
out.
"""

import dataclasses

import numpy as np

from mask_rcnn_tf.evaluation.curves import interpolated_precision
from mask_rcnn_tf.evaluation.matching import Matching, rows_of_images

FOREGROUND, BACKGROUND = 0.5, 0.1  # IoU
KINDS = ("cls", "loc", "both", "dup", "bkg", "miss")
NONE = -1


@dataclasses.dataclass(frozen=True)
class Errors:
    """The errors of a matching at IoU 0.5."""

    ap50: float  # of all classes that have objects; 0 without any
    gains: dict[str, float]  # of AP50, by kind, were errors of this kind mended
    counts: dict[str, int]  # of errors, by kind
    kinds: np.ndarray  # int [D], the error of each detection, an index of KINDS; -1: it is right
    missed: np.ndarray  # bool [N], objects that no detection of any kind of error could have found


@dataclasses.dataclass
class _Marks:
    """Of each detection its error, and what mending makes of it; of each object whether it is missed."""

    kinds: np.ndarray  # int [D]
    mended: np.ndarray  # int [D]: the object that it finds once mended; -1: none, it goes
    missed: np.ndarray  # bool [N]


def errors(matching: Matching) -> Errors:
    """Sorts every wrong detection and every missed object into the kinds, and mends each kind alone.

    - cls: on an object (IoU 0.5) of another class. Mended: it has that class.
    - loc: of the right class, too far off (IoU 0.1 to 0.5). Mended: it fits.
    - both: of another class and too far off. Mended: it goes, as in the next two.
    - dup: on an object that a better one has found.
    - bkg: on nothing (IoU 0.1 at most).
    - miss: an object that neither a right detection nor a mended one finds. Mended: it is not counted.

    Of several detections that would find one object, the one with the highest score does, and the others go.
    """
    marks = _marked(matching)
    base = _ap50(matching.scores, matching.classes, matching.found >= 0, matching.object_counts, matching.object_counts)
    gains = {kind: max(0.0, _mended_ap50(matching, marks, kind) - base) for kind in KINDS}
    counts = {kind: int(np.count_nonzero(marks.kinds == code)) for code, kind in enumerate(KINDS)}
    counts["miss"] = int(np.count_nonzero(marks.missed))
    return Errors(base, gains, counts, marks.kinds, marks.missed)


def _marked(matching: Matching) -> _Marks:
    none = np.full(len(matching.scores), NONE)
    marks = _Marks(none.copy(), none.copy(), matching.finders < 0)
    for (detections, objects), ious in zip(rows_of_images(matching), matching.ious, strict=True):
        _mark_image(matching, marks, detections, objects, ious)
    return marks


def _mark_image(matching: Matching, marks: _Marks, detections: np.ndarray, objects: np.ndarray, ious: np.ndarray):
    is_taken = ~marks.missed[objects]
    same = matching.classes[detections][:, None] == matching.object_classes[objects][None, :]
    wanted: dict[int, int] = {}  # the detection that would find each object, by the object's column
    for row in np.argsort(-matching.scores[detections], kind="stable").tolist():
        if matching.found[detections[row]] >= 0:
            continue
        kind, column = _kind(ious[row], same[row], is_taken)
        marks.kinds[detections[row]] = KINDS.index(kind)
        if column is not None and not is_taken[column] and column not in wanted:
            wanted[column] = row
    for column, row in wanted.items():
        marks.mended[detections[row]] = objects[column]
        marks.missed[objects[column]] = False


def _kind(ious: np.ndarray, same: np.ndarray, is_taken: np.ndarray) -> tuple[str, int | None]:
    """The error of a wrong detection, and the object (column) that it is of, for the kinds that have one.

    Args:
      ious: float64 [n] with the objects of its image.
      same: bool [n], of its class.
      is_taken: bool [n], found by another detection.
    """
    if not len(ious):
        return "bkg", None
    of_class, of_others = np.where(same, ious, 0.0), np.where(same, 0.0, ious)
    if BACKGROUND <= of_class.max() <= FOREGROUND:
        return "loc", int(of_class.argmax())
    if of_others.max() >= FOREGROUND:
        return "cls", int(of_others.argmax())
    if (of_class * is_taken).max() >= FOREGROUND:
        return "dup", None
    return ("bkg" if ious.max() <= BACKGROUND else "both"), None


def _mended_ap50(matching: Matching, marks: _Marks, kind: str) -> float:
    right, classes, counts = matching.found >= 0, matching.classes.copy(), matching.object_counts
    kept = np.ones(len(right), bool)
    if kind == "miss":
        counts = counts - np.bincount(matching.object_classes[marks.missed], minlength=len(counts))
    else:
        chosen = marks.kinds == KINDS.index(kind)
        saved = chosen & (marks.mended != NONE)
        right = right | saved
        classes[saved] = matching.object_classes[marks.mended[saved]]
        kept = ~chosen | saved
    return _ap50(matching.scores[kept], classes[kept], right[kept], counts, matching.object_counts)


def _ap50(scores: np.ndarray, classes: np.ndarray, right: np.ndarray, counts: np.ndarray, before: np.ndarray) -> float:
    """The mean over classes that had objects `before`; `counts` are those that are left to be found, both int [K]."""
    figures = []
    for number in np.flatnonzero(before):
        of_class = classes == number
        if counts[number]:
            figures.append(interpolated_precision(scores[of_class], right[of_class], counts[number]).mean())
        else:
            figures.append(float(not of_class.any()))
    return float(np.mean(figures)) if figures else 0.0
