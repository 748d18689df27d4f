"""What figures are called and mean, for people who have never heard of them."""

import re

KINDS = {"segm": "mask", "bbox": "box", "keypoints": "keypoint", "proposals": "proposal"}
PLURALS = {"segm": "masks", "bbox": "boxes"}
SIZES = {"s": "small objects (below 32 x 32 pixels)", "m": "medium objects", "l": "large objects (from 96 x 96 pixels)"}
FREQUENCIES = {"r": "rare classes", "c": "common classes", "f": "frequent classes"}
ERRORS = {
    "cls": ("wrong class", "an object was found, and taken for one of another class"),
    "loc": ("badly placed", "of the right class, but the {shape} covers the object too loosely (IoU 0.1 to 0.5)"),
    "both": ("wrong and badly placed", "near an object, with neither its class nor its place right"),
    "dup": ("found twice", "a second result on an object that another one has found"),
    "bkg": ("nothing there", "a result where no object is (IoU below 0.1)"),
    "miss": ("missed", "an object that no result comes near"),
}
GLOSSARY = (
    (
        "IoU, overlap",
        "The area that a result and an object share, divided by the area that they cover together: 1 is a perfect fit, "
        "0 no contact. At 0.5 a person sees that the right thing was meant.",
    ),
    ("Precision", "Of all results, the share that is right. What is missing to 1 are false alarms."),
    ("Recall", "Of all objects, the share that is found. What is missing to 1 was overlooked."),
    ("F1", "One figure for both, high only where both are high."),
    (
        "AP, average precision",
        "Precision, averaged over all levels of recall, then over the classes. It asks besides that results with high "
        "scores be right more often than those with low ones. AP averages over ten demands on the overlap, from 0.50 "
        "to 0.95; AP50 asks 0.50 only. There is no threshold in it. On COCO's photos good models reach 0.4 to 0.5; on "
        "simpler images 0.7 and more.",
    ),
    (
        "Crowd",
        "A region that was annotated as many objects at once. It counts neither for the model nor against it.",
    ),
)


def share(value: float | None) -> str:
    """A share as people read it, such as "91 %"; "none" where there is nothing to take it of."""
    return "none" if value is None else f"{100 * value:.0f} %"


def figure(value: float | None) -> str:
    """A figure with three digits; a dash where there is none (pycocotools' -1)."""
    return "–" if value is None or value < 0 else f"{value:.3f}"


def kind_of_shape(kind: str) -> str:
    """ "mask" for "segm" and so on."""
    return KINDS[kind]


def meaning(name: str) -> str:
    """A figure of a table of `coco_metrics.score` in words.

    Args:
      name: such as "AP50" or "ARs".
    """
    start, rest = name[:2], name[2:]
    base = (
        "how well objects are found and covered, the mean over ten demands on the overlap"
        if start == "AP"
        else "share of the objects that is found, the mean over ten demands on the overlap"
    )
    if rest in ("50", "75"):
        base = base.replace("the mean over ten demands on the overlap", f"where an overlap of 0.{rest} is asked")
        return base
    if start == "AR" and (match := re.fullmatch(r"([sml]?)(\d+)", rest)):
        of = f", {SIZES[match[1]]} alone" if match[1] else ""
        return f"{base}, if the best {match[2]} results of an image count{of}"
    known = SIZES | FREQUENCIES
    return f"{base}, {known[rest]} alone" if rest in known else base
