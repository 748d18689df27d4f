"""The parts of the page about the run: its course, its data, its configuration, its files, and the words used."""

import math
from collections.abc import Sequence
from urllib.parse import quote
from xml.etree import ElementTree

import numpy as np

from mask_rcnn_tf.evaluation.coco_metrics import category_names
from mask_rcnn_tf.report import charts, words
from mask_rcnn_tf.report.elements import element, paragraph, section, table
from mask_rcnn_tf.report.facts import Facts

NO_LOSS = ("step", "learning_rate", "images_per_second")
SIZES = ("small", "medium", "large")


def course(lines: Sequence[dict]) -> ElementTree.Element | None:
    """Losses, figures of the evaluations and the learning rate over the steps; None where nothing was logged."""
    trained = [line for line in lines if not any(name.startswith("val_") for name in line)]
    scored = [line for line in lines if line not in trained]
    names = list(dict.fromkeys(name for line in trained for name in line if name not in NO_LOSS))
    names.sort(key=lambda name: name != "loss")
    figures = [name for name in dict.fromkeys(key for line in scored for key in line) if _is_shown(name)]
    parts = (
        (trained, names, ("loss", 0.0), "Losses: what training makes small. They should fall, then level off."),
        (
            scored,
            figures,
            ("figure", 0.1),
            "Scores on the validation images. They should rise; where they fall for long while "
            "losses go on falling, the model learns its training images by heart.",
        ),
        (trained, ["learning_rate"], ("learning rate", 0.0), "The learning rate, how large the steps are."),
    )
    children = []
    for rows, keys, (label, least), text in parts:
        drawn = [charts.Line(_spoken(key), points) for key in keys if (points := _points(rows, key))]
        if drawn:
            alt = f"{text} {', '.join(f'{line.name} ends at {line.points[-1][1]:.4g}' for line in drawn)}."
            children += [paragraph(text), charts.line_chart(drawn, ("step", label), alt, _from_zero(drawn, least))]
    return section("How training went", "course", *children) if children else None


def _is_shown(name: str) -> bool:
    return name.endswith(("_AP", "_AP50")) or name.startswith("val_proposals_AR") and name[16:].isdigit()


def _spoken(name: str) -> str:
    for kind, word in words.KINDS.items():
        name = name.replace(f"val_{kind}_", f"{word} ")
    return name.replace("_", " ")


def _points(rows: Sequence[dict], name: str) -> list[tuple[float, float]]:
    found = [(row["step"], row[name]) for row in rows if isinstance(row.get(name), int | float)]
    return [point for point in found if math.isfinite(point[1])]


def _from_zero(lines: Sequence[charts.Line], least: float) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of steps and values that begin at 0; that of the values ends at `least` or above."""
    steps, values = zip(*(point for line in lines for point in line.points), strict=True)
    return (0, max(steps)), (min(0.0, *values), max(least, *values))


def data(facts: Facts) -> ElementTree.Element:
    """What was scored on, and trained on where that is known."""
    truth, training = facts.truth, facts.training
    rows = [row for row in truth.dataset["annotations"] if not row.get("iscrowd")]
    per_image = {number: 0 for number in truth.imgs}
    by_class = dict.fromkeys(truth.cats, 0)
    sizes = dict.fromkeys(SIZES, 0)
    for row in rows:
        per_image[row["image_id"]] += 1
        by_class[row["category_id"]] += 1
        sizes[_size(row["area"])] += 1
    crowds = len(truth.dataset["annotations"]) - len(rows)
    counts = np.array(list(per_image.values()) or [0])
    text = (
        f"Scored on {len(per_image)} images with {len(rows)} objects, {counts.mean():.1f} an image, {counts.max()} at "
        f"most; {int((counts == 0).sum())} images have none. {crowds} crowds are left out. {_sides(truth)}"
    )
    if training:
        text += f" Trained on {training.images} images with {training.objects} objects."
    head = ["", *(["training"] if training else []), "scored on"]
    names = category_names(truth)
    per_class = [
        [names[number], *([str(training.by_class.get(names[number], 0))] if training else []), str(count)]
        for number, count in by_class.items()
    ]
    per_size = [[size, *([str(training.sizes.get(size, 0))] if training else []), str(sizes[size])] for size in SIZES]
    areas = "Objects by size: small is below 32 x 32 pixels, large from 96 x 96."
    return section(
        "The data",
        "data",
        paragraph(text),
        table(["class", *head[1:]], per_class, "Objects of each class."),
        table(["size", *head[1:]], per_size, areas),
    )


def _size(area: float) -> str:
    return SIZES[0] if area < 32**2 else SIZES[1] if area < 96**2 else SIZES[2]


def _sides(truth) -> str:
    sides = [image[side] for image in truth.imgs.values() for side in ("height", "width") if image.get(side)]
    return f"Images have sides of {min(sides)} to {max(sides)} pixels." if sides else ""


def configuration(facts: Facts) -> ElementTree.Element:
    """What differs from the preset or the defaults."""
    settings = facts.settings
    if not settings.rows:
        return section("Configuration", "configuration", paragraph(f"It is that of {settings.usual}."))
    rows = [[row.name, element("code", row.value), element("code", row.usual), row.about] for row in settings.rows]
    text = f"Everything else is as in {settings.usual}; docs/configuration.md explains every key."
    made = table(["key", "here", settings.usual, "what it is"], rows, "Keys that differ.", numbers=False)
    return section("Configuration", "configuration", paragraph(text), made)


def files(facts: Facts) -> ElementTree.Element:
    """Where every file lies, as links from the page."""
    rows = [[element("a", path, href=quote(path)), about] for path, about in facts.files]
    made = table(["file", "what is there"], rows, "Paths are relative to this page.", numbers=False)
    return section("Where everything lies", "files", made)


def glossary() -> ElementTree.Element:
    """The words of the page."""
    children = []
    for word, about in words.GLOSSARY:
        children += [element("dt", word), element("dd", about)]
    return section("Words", "words", element("dl", *children))
