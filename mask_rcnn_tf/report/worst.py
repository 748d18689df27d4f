"""The images with most errors, as pictures that mark what was missed, false and confused."""

from collections.abc import Iterator, Mapping
from xml.etree import ElementTree

import numpy as np

from mask_rcnn_tf import visualize
from mask_rcnn_tf.evaluation.analysis import Analysis, ImageErrors
from mask_rcnn_tf.evaluation.matching import SHAPE
from mask_rcnn_tf.report.elements import element, paragraph, picture, section
from mask_rcnn_tf.report.facts import Facts

MOST = 8  # pictures
LONGEST = 900  # pixels of a picture's longer side
# Okabe and Ito's colours, which the colour-blind tell apart; labels say the same in words.
MARKS = {
    "missed": ((86, 180, 233), "missed: an object that no result has found"),
    "false": ((230, 159, 0), "false: a result where no such object is"),
    "confused": ((204, 121, 167), "confused: an object taken for one of another class"),
    "found": ((0, 158, 115), "found: right"),
}


def worst(facts: Facts, analysis: Analysis) -> ElementTree.Element:
    """Pictures of the worst images."""
    if not analysis.images:
        text = f"At score threshold {analysis.common.score:.2f} nothing is missed, false or confused in any image."
        return section("The worst images", "worst", paragraph(text))
    chosen = {row.image_id: row for row in analysis.images[:MOST]}
    pictures = {
        image_id: _figure(facts, analysis, chosen[image_id], image)
        for image_id, image in facts.read_images(list(chosen))
    }
    legend = [
        element("li", element("span", class_="key", style=f"background: rgb{color}"), text)
        for color, text in MARKS.values()
    ]
    text = (
        f"The {len(chosen)} of {len(analysis.images)} images with errors that have most of them, at score threshold "
        f"{analysis.common.score:.2f}. Look at the annotations too: what seems false may be an object that nobody "
        "annotated."
    )
    figures = [pictures[image_id] for image_id in chosen]
    return section(
        "The worst images",
        "worst",
        paragraph(text),
        element("ul", *legend, class_="legend"),
        element("div", *figures, class_="pictures"),
    )


def _figure(facts: Facts, analysis: Analysis, row: ImageErrors, image: np.ndarray | str) -> ElementTree.Element:
    name = facts.truth.imgs[row.image_id].get("file_name", f"image {row.image_id}")
    counts = f"{row.missed} missed, {row.false} false, {row.confused} confused"
    caption = element("figcaption", element("strong", name), f": {counts}")
    if isinstance(image, str):
        return element("figure", paragraph(f"No picture: {image}"), caption)
    drawn = marked(image, facts, analysis, row.image_id)
    return element("figure", picture(drawn, f"{name} with its errors marked: {counts}", LONGEST), caption)


def marked(image: np.ndarray, facts: Facts, analysis: Analysis, image_id: int) -> np.ndarray:
    """An image with what was found, missed, false and confused in it.

    Args:
      image: uint8 [h, w, 3] RGB.
      facts: of the report.
      analysis: of `facts.truth` and `facts.results`.
      image_id: of the image.

    Returns:
      uint8 picture, as of `visualize.draw_labelled`.
    """
    names = dict(enumerate(row.name for row in analysis.classes))
    marks = [mark for mark in _marks(facts, analysis, names) if mark[1]["image_id"] == image_id]
    rows = [_shape(row, SHAPE[analysis.kind]) for _, row, _ in marks]
    colors = [MARKS[kind][0] for kind, _, _ in marks]
    return visualize.draw_labelled(image, rows, [label for _, _, label in marks], colors)


def _marks(facts: Facts, analysis: Analysis, names: Mapping[int, str]) -> Iterator[tuple[str, dict, str]]:
    """(kind, annotation or result, label) of everything; what is found comes first, below the others."""
    matching, sorted_out = analysis.matching, analysis.outcome
    results = [facts.results[row] for row in matching.result_rows]
    annotations = [facts.truth.anns[number] for number in matching.annotation_ids.tolist()]
    for detection, _ in sorted_out.found:
        yield "found", results[detection], ""
    for item in sorted_out.missed:
        yield "missed", annotations[item], f"missed {names[matching.object_classes[item]]}"
    for detection in sorted_out.false:
        score = matching.scores[detection]
        yield "false", results[detection], f"false {names[matching.classes[detection]]} {score:.2f}"
    for detection, item in sorted_out.confused:
        said, true = names[matching.classes[detection]], names[matching.object_classes[item]]
        yield "confused", results[detection], f"{true} taken for {said} {matching.scores[detection]:.2f}"


def _shape(row: dict, key: str) -> dict:
    """What is drawn: boxes alone where boxes were compared, else the mask too."""
    return {name: row[name] for name in dict.fromkeys(("bbox", key))}
