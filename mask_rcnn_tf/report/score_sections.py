"""The parts of the page about the score: headline, threshold, classes, kinds of errors, confusions, curves."""

from xml.etree import ElementTree

import numpy as np

from mask_rcnn_tf.evaluation import curves
from mask_rcnn_tf.evaluation.analysis import Analysis
from mask_rcnn_tf.report import charts, words
from mask_rcnn_tf.report.elements import element, paragraph, section, table
from mask_rcnn_tf.report.facts import Facts

MATRIX_CLASSES = 20  # more do not fit a page: pairs are listed then
PAIRS = 20
NAMED_CURVES = 8
NOTHING = "(nothing)"
MAIN_FIGURES = {"segm": ("AP", "AP50"), "bbox": ("AP", "AP50"), "keypoints": ("AP",), "proposals": ()}  # (): the first


def headline(facts: Facts, analysis: Analysis | None) -> ElementTree.Element:
    """The figures that matter, each with a sentence."""
    cards = []
    if analysis and analysis.best:
        cards += _balance(analysis.best)
    kinds = [kind for kind in MAIN_FIGURES if kind in facts.metrics]
    for kind in kinds:
        names = MAIN_FIGURES[kind] or tuple(facts.metrics[kind])[:1]
        for name in names if kind == kinds[0] else names[:1]:  # of what comes first more than of the rest
            value = words.figure(facts.metrics[kind][name])
            cards.append(_card(value, f"{words.kind_of_shape(kind)} {name}", _sentence(kind, name)))
    return section("In short", "short", element("div", *cards, class_="cards"), _all_figures(facts))


def _balance(best: curves.Threshold) -> list[ElementTree.Element]:
    at = f"at score threshold {best.score:.2f}"
    found = f"Recall {at}: of 100 objects so many are found, with the right class and at least half overlap."
    right = f"Precision {at}: of 100 results so many are right; the others are false alarms."
    return [
        _card(words.share(best.recall), "of the objects found", found),
        _card(words.share(best.precision), "of the results right", right),
    ]


def _card(value: str, name: str, sentence: str) -> ElementTree.Element:
    return element("div", element("b", value), element("strong", name), element("span", sentence), class_="card")


def _sentence(kind: str, name: str) -> str:
    text = words.meaning(name)
    by = ", measured by the distance of keypoints (OKS)" if kind == "keypoints" else ""
    return f"{text[:1].upper()}{text[1:]}{by}. 0 is nothing, 1 is all."


def _all_figures(facts: Facts) -> ElementTree.Element:
    kinds = [kind for kind in facts.metrics if kind != "per_category"]
    names = list(dict.fromkeys(name for kind in kinds for name in facts.metrics[kind]))
    rows = [
        [name, *(words.figure(facts.metrics[kind].get(name)) for kind in kinds), words.meaning(name)] for name in names
    ]
    head = ["figure", *(words.kind_of_shape(kind) for kind in kinds), "what it is"]
    made = table(head, rows, "Every figure of the score, as pycocotools has it. A dash: there are no such objects.")
    return element("details", element("summary", "All figures"), made)


def threshold(facts: Facts, analysis: Analysis) -> ElementTree.Element:
    """Which score threshold to use."""
    if analysis.best is None:
        text = "At no threshold anything is right: no result covers half of an object of its class."
        return section("Which score threshold to use", "threshold", paragraph(text))
    best = analysis.best
    first = (
        "A model gives every result a score from 0 to 1, and whoever uses it drops those below a threshold. A higher "
        "one means fewer false alarms and more missed objects. Both are in balance (the highest F1) at "
    )
    rest = (
        f": then {words.share(best.recall)} of the objects are found, and {words.share(best.precision)} of the results "
        "are right. Where a missed object costs more than a false alarm, take a lower one; where false alarms cost "
        "more, a higher one. The classes' own are in the table below."
    )
    command = f"mrcnn predict --model {facts.model or 'model.keras'} --input IMAGES --output PICTURES "
    return section(
        "Which score threshold to use",
        "threshold",
        paragraph(first, element("strong", f"{best.score:.2f}", id="best_threshold"), rest),
        element("pre", f"{command}--score_threshold={best.score:.2f}", tabindex=0),
        _by_threshold(analysis),
    )


def _by_threshold(analysis: Analysis) -> ElementTree.Element:
    kept, right = curves.counts_by_threshold(analysis.matching)
    total = int(analysis.matching.object_counts.sum())
    rows = [curves.at_threshold(index, kept.sum(1), right.sum(1), total) for index in range(len(curves.THRESHOLDS))]
    lines = [
        charts.Line(name, [(row.score, getattr(row, key)) for row in rows if getattr(row, key) is not None])
        for name, key in (("precision (right)", "precision"), ("recall (found)", "recall"), ("F1", "f1"))
    ]
    alt = f"Precision, recall and F1 over the score threshold; F1 is highest at {analysis.common.score:.2f}."
    return charts.line_chart(lines, ("score threshold", "share"), alt, ((0.0, 1.0), (0.0, 1.0)))


def classes(facts: Facts, analysis: Analysis) -> ElementTree.Element:
    """A row a class."""
    tables, kind = facts.metrics["per_category"], analysis.kind
    others = [name for name in tables if name != kind]
    at = f"at {analysis.common.score:.2f}"
    head = ["class", "objects", "AP", "AP50", "AP75", f"found {at}", f"right {at}", "best threshold"]
    head += [f"{words.kind_of_shape(name)} AP" for name in others]
    rows = []
    for row in analysis.classes:
        cells = [row.name, str(row.objects), words.figure(tables[kind].get(row.name))]
        cells += [words.figure(row.ap50), words.figure(row.ap75)]
        cells += ["–" if value is None else words.share(value) for value in (row.common.recall, row.common.precision)]
        cells += [f"{row.best.score:.2f}" if row.best else "–"]
        rows.append(cells + [words.figure(tables[name].get(row.name)) for name in others])
    caption = (
        f"AP, AP50 and AP75 are of {words.PLURALS[kind]}. What is found and right is at the common threshold; the best "
        "threshold is that of the class's own highest F1. A dash: no objects, or no results."
    )
    return section("Class by class", "classes", table(head, rows, caption))


def classes_alone(facts: Facts) -> ElementTree.Element:
    """The AP of each class, where there is no analysis."""
    tables = facts.metrics["per_category"]
    kinds = list(tables)
    names = list(tables[kinds[0]])
    rows = [[name, *(words.figure(tables[kind][name]) for kind in kinds)] for name in names]
    head = ["class", *(f"{words.kind_of_shape(kind)} AP" for kind in kinds)]
    return section("Class by class", "classes", table(head, rows, "AP of each class. A dash: there are no objects."))


def errors(analysis: Analysis) -> ElementTree.Element:
    """The kinds of errors, and what each costs."""
    found, shape = analysis.errors, words.kind_of_shape(analysis.kind)
    bars = [(words.ERRORS[name][0], gain, f"+{gain:.3f} ({found.counts[name]})") for name, gain in found.gains.items()]
    text = (
        f"AP50 of {words.PLURALS[analysis.kind]} is {found.ap50:.3f}. A bar says what it would gain were all errors of "
        "one kind mended, and behind it stands how many there are, at any score. The longest bar is what to work on "
        "first. The gains do not add up to what is missing: mending one kind changes what others cost."
    )
    largest = max(bars, key=lambda bar: bar[1])
    alt = f"Gains of AP50: {', '.join(f'{name} {text}' for name, _, text in bars)}."
    explained = []
    for name, about in words.ERRORS.values():
        explained += [element("dt", name), element("dd", f"{about.format(shape=shape)}.")]
    advice = f"Here the largest is “{largest[0]}”." if largest[1] else "None would gain anything alone."
    return section(
        "What goes wrong",
        "errors",
        paragraph(text, f" {advice}"),
        charts.bar_chart(bars, alt),
        element("dl", *explained),
        paragraph("The kinds are those of TIDE (Bolya et al., arXiv:2008.08115).", class_="source"),
    )


def confusions(analysis: Analysis) -> ElementTree.Element:
    """What objects were taken for."""
    names = [row.name for row in analysis.classes]
    at = f"At score threshold {analysis.common.score:.2f} and half overlap."
    if len(names) > MATRIX_CLASSES:
        text = f"{at} What was missed, and what is false, is in the table of classes and in the pictures below."
        return section("What is taken for what", "confusion", paragraph(text), _pairs(analysis.confusion, names))
    text = (
        f"{at} A row is what an object is, a column what it was taken for: right ones are on the diagonal. The last "
        "column counts objects that were missed, the last row results where there is no such object."
    )
    return section("What is taken for what", "confusion", paragraph(text), _matrix(analysis.confusion, names))


def _matrix(counts: np.ndarray, names: list[str]) -> ElementTree.Element:
    totals = np.maximum(counts.sum(1, keepdims=True), 1)
    rows = []
    for number, name in enumerate([*names, NOTHING]):
        cells = [element("th", name, scope="row")]
        for column, count in enumerate(counts[number]):
            kind = "right" if number == column else "wrong"
            alpha = 0.12 + 0.4 * count / totals[number, 0] if count else 0
            is_corner = number == column == len(names)
            shown = "" if is_corner else str(count)
            cells.append(element("td", shown, class_=kind, style=f"--alpha:{alpha:.2f}"))
        rows.append(element("tr", *cells))
    head = element(
        "tr",
        element("th", "is / taken for", scope="col"),
        *(element("th", name, scope="col") for name in [*names, "(missed)"]),
    )
    caption = element("caption", "Objects by what they are (rows) and what they were taken for (columns).")
    made = element("table", caption, element("thead", head), element("tbody", *rows), class_="numbers matrix")
    return element("div", made, class_="wide", tabindex=0)


def _pairs(counts: np.ndarray, names: list[str]) -> ElementTree.Element:
    wrong = counts[:-1, :-1] * (1 - np.eye(len(names), dtype=int))
    order = np.argsort(-wrong, axis=None, kind="stable")[:PAIRS]
    pairs = [np.unravel_index(index, wrong.shape) for index in order if wrong.flat[index]]
    rows = [[names[row], names[column], str(wrong[row, column])] for row, column in pairs]
    caption = f"The most frequent of {int(wrong.sum())} confusions of two classes."
    return table(["is", "taken for", "times"], rows, caption)


def precision_recall(analysis: Analysis) -> ElementTree.Element:
    """The curves that AP50 is the area of."""
    matching, recalls = analysis.matching, curves.RECALLS.tolist()
    shown = [number for number, row in enumerate(analysis.classes) if row.ap50 is not None]
    style = "" if len(shown) <= NAMED_CURVES else "faint"
    own = [
        charts.Line(analysis.classes[number].name, _points(recalls, matching.precision[0][:, number]), style)
        for number in shown
    ]
    means = [
        charts.Line("all classes, IoU 0.5", _points(recalls, curves.mean_precision(matching, 0)), "mean"),
        charts.Line("all classes, IoU 0.75", _points(recalls, curves.mean_precision(matching, 1)), "mean dashed"),
    ]
    text = (
        "Lowering the threshold finds more objects (to the right) and lets in more false results (down). A curve that "
        "stays near the top right corner is a good one; where it falls to 0, no threshold finds more. The area below "
        "it is AP. Thick: the mean of the classes at IoU 0.5; dashed: at 0.75."
    )
    if style:
        text += f" Thin: each of {len(shown)} classes."
    alt = f"Precision over recall of {len(shown)} classes; their mean AP50 is {analysis.errors.ap50:.3f}."
    chart = charts.line_chart(own + means, ("recall (found)", "precision (right)"), alt, ((0.0, 1.0), (0.0, 1.0)))
    return section("Precision and recall", "curves", paragraph(text), chart)


def _points(recalls: list[float], precision: np.ndarray) -> list[tuple[float, float]]:
    return list(zip(recalls, precision.tolist(), strict=True))
