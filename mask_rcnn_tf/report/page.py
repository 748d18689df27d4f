"""The whole page, and the lines that say the same in a terminal."""

import pathlib
from xml.etree import ElementTree

from mask_rcnn_tf.coco import lvis
from mask_rcnn_tf.evaluation.analysis import Analysis, analyze, to_json
from mask_rcnn_tf.report import run_sections, score_sections, words
from mask_rcnn_tf.report.elements import data, element, paragraph, to_html
from mask_rcnn_tf.report.facts import Facts
from mask_rcnn_tf.report.style import STYLE
from mask_rcnn_tf.report.worst import worst
from mask_rcnn_tf.whole_files import replacing

# Nothing is fetched and nothing is run, whatever a name in the page may try.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
FEW_OBJECTS = 100
NO_ANALYSIS = (
    "The annotations are of LVIS, where not all objects of an image are annotated: what a result on something else is "
    "worth nobody knows, so that thresholds, confusions, kinds of errors and the worst images are not computed."
)


def render(facts: Facts) -> tuple[str, list[str]]:
    """A report as HTML, and a few lines for a terminal: the figures and what they mean."""
    analysis = _analyzed(facts)
    return to_html(_page(facts, analysis)), summary(facts, analysis)


def write(facts: Facts, path: pathlib.Path) -> list[str]:
    """Writes a report.

    Args:
      facts: what it is made of.
      path: of the HTML file, in a folder that is there.

    Returns:
      The lines for a terminal, see `render`.
    """
    page, lines = render(facts)
    with replacing(path) as partial:
        partial.write_text(page)
    return lines


def _analyzed(facts: Facts) -> Analysis | None:
    """The analysis of masks, or of boxes where there are none; None where it would say what nobody knows."""
    kinds = [kind for kind in ("segm", "bbox") if kind in facts.metrics]
    if not kinds or lvis.is_federated(facts.truth.dataset):
        return None
    return analyze(facts.truth, facts.results, kinds[0], facts.max_dets)


def _page(facts: Facts, analysis: Analysis | None) -> ElementTree.Element:
    sections = [score_sections.headline(facts, analysis)]
    if analysis:
        sections += [
            score_sections.threshold(facts, analysis),
            score_sections.classes(facts, analysis),
            score_sections.errors(analysis),
            score_sections.confusions(analysis),
            worst(facts, analysis),
            score_sections.precision_recall(analysis),
        ]
    elif facts.metrics.get("per_category"):
        sections.append(score_sections.classes_alone(facts))
    sections += [
        run_sections.course(facts.lines),
        run_sections.data(facts),
        run_sections.configuration(facts),
        run_sections.files(facts),
        run_sections.glossary(),
    ]
    sections = [part for part in sections if part is not None]
    links = [element("li", element("a", part[0].text, href=f"#{part.get('id')}")) for part in sections]
    figures = {"metrics": facts.metrics, "analysis": to_json(analysis) if analysis else None}
    body = element(
        "main",
        element("h1", facts.title),
        paragraph(facts.about),
        *(paragraph(element("strong", "Note: "), note, class_="note") for note in _notes(facts, analysis)),
        element("nav", element("ul", *links), aria_label="Parts of this page"),
        *sections,
        data("figures", figures),
    )
    return element("html", _head(facts), element("body", body), lang="en")


def _head(facts: Facts) -> ElementTree.Element:
    policy = ElementTree.Element("meta", {"http-equiv": "Content-Security-Policy", "content": POLICY})
    style = element("style")
    style.text = STYLE
    return element(
        "head",
        element("meta", charset="utf-8"),
        policy,
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("title", facts.title),
        style,
    )


def _notes(facts: Facts, analysis: Analysis | None) -> list[str]:
    notes = list(facts.notes)
    if lvis.is_federated(facts.truth.dataset):
        notes.append(NO_ANALYSIS)
    if analysis is None:
        return notes
    count = len(analysis.matching.annotation_ids)
    if not facts.results:
        notes.append("The model has found nothing at all.")
    if count < FEW_OBJECTS:
        notes.append(
            f"There are {count} objects to score on: with so few, figures change by several hundredths by chance."
        )
    without = [row.name for row in analysis.classes if not row.objects]
    if without:
        shown = ", ".join(without[:10]) + (", ..." if len(without) > 10 else "")
        notes.append(f"{len(without)} classes have no objects to score on, and no figures: {shown}.")
    return notes


def summary(facts: Facts, analysis: Analysis | None) -> list[str]:
    """What the figures are and mean, in lines for a terminal."""
    lines = []
    for kind, figures in facts.metrics.items():
        if kind != "per_category":
            shown = [name for name in ("AP", "AP50") if name in figures] or list(figures)[:1]
            text = ", ".join(f"{name} {words.figure(figures[name])}" for name in shown)
            lines.append(f"{words.kind_of_shape(kind)} {text} (0 to 1): {words.meaning(shown[0])}")
    if analysis and analysis.best:
        best = analysis.best
        lines.append(
            f"at --score_threshold={best.score:.2f} {words.share(best.recall)} of the objects are found and "
            f"{words.share(best.precision)} of the results are right"
        )
    return lines
