"""The page: its figures are those of the score, and whatever names say, it fetches and runs nothing."""

import json
import re

import numpy as np
import pytest
import report_facts
import tide_scenes
from reading_pages import Page

from mask_rcnn_tf import report
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.presets import load_config
from mask_rcnn_tf.report import settings
from mask_rcnn_tf.report.style import STYLE

ATTACK = report_facts.ATTACKS[2]  # the name that has a number once it is printable


def written(folder, facts):
    lines = report.write(facts, folder / "report.html")
    assert [path.name for path in folder.iterdir()] == ["report.html"]
    return Page((folder / "report.html").read_text(encoding="utf-8")), lines


@pytest.fixture(scope="module")
def facts():
    return report_facts.facts()


@pytest.fixture(scope="module")
def page(facts, tmp_path_factory):
    return written(tmp_path_factory.mktemp("page"), facts)[0]


def test_every_figure_is_that_of_the_score(page, facts):
    assert page.figures["metrics"] == json.loads(json.dumps(facts.metrics))
    short = page.texts["short"]
    for kind, word in (("segm", "mask"), ("bbox", "box")):
        for name, value in facts.metrics[kind].items():
            shown = "–" if value < 0 else f"{value:.3f}"
            assert shown in short, (kind, name)
        assert f"{facts.metrics[kind]['AP']:.3f}{word} AP" in short
    assert f"{facts.metrics['segm']['AP50']:.3f}mask AP50" in short
    analysis = page.figures["analysis"]
    assert analysis["ap50"] == pytest.approx(facts.metrics["segm"]["AP50"], abs=1e-12)
    assert f"is {analysis['ap50']:.3f}." in page.texts["errors"]
    for name, value in facts.metrics["per_category"]["segm"].items():
        assert f"{value:.3f}" in page.texts["classes"] and printable(name) in page.texts["classes"]
    best = analysis["best"]
    assert page.texts["best_threshold"] == f"{best['score']:.2f}"
    assert f"{100 * best['recall']:.0f} % of the objects are found" in page.texts["threshold"]
    assert f"--score_threshold={best['score']:.2f}" in page.texts["threshold"]


def printable(name):
    return name.replace("\u202e", "\\u202e").replace("\x07", "\\x07")


def test_the_analysis_is_in_words_and_pictures(page):
    analysis = page.figures["analysis"]
    for kind, gain in analysis["error_gains"].items():
        assert f"+{gain:.3f} ({analysis['error_counts'][kind]})" in page.texts["errors"]
    cells = [cell for row in analysis["confusion"] for cell in row][:-1]  # without the corner, which is empty
    numbers = re.findall(r"\d+", page.texts["confusion"].split("(missed)")[1].replace(printable(ATTACK), ""))
    assert list(map(int, numbers)) == cells
    worst, images = analysis["images"][:8], [attrs for tag, attrs in page.tags if tag == "img"]
    assert len(images) == len(worst) - any(row["image_id"] == 2 for row in worst)
    for row, image in zip((row for row in worst if row["image_id"] != 2), images, strict=True):
        assert image["alt"].endswith(f"{row['missed']} missed, {row['false']} false, {row['confused']} confused")
    assert ("No picture: no such file" in page.texts["worst"]) == any(row["image_id"] == 2 for row in worst)


def test_nothing_is_fetched_or_run(page):
    assert not {tag for tag, _ in page.tags} & {"iframe", "link", "object", "embed", "form", "base"}
    assert [attrs["type"] for tag, attrs in page.tags if tag == "script"] == ["application/json"]
    for _, attrs in page.tags:
        assert not [name for name in attrs if name.startswith("on")]
        assert attrs.get("src", "data:image/jpeg").startswith("data:image/jpeg")
        assert re.match(r"#|model\.keras$|http%3A//attacker.example/%3Cx%3E$", attrs.get("href", "#"))
    policy = next(attrs for tag, attrs in page.tags if attrs.get("http-equiv") == "Content-Security-Policy")
    assert policy["content"].startswith("default-src 'none'")
    assert "url(" not in page.texts.get("style", "") and page.tags.count(("title", {})) > 1


def test_colours_are_told_from_the_paper():
    """WCAG 2.2: 4.5 for text, 3 for lines of charts, in the light and in the dark."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)
    for block in blocks[:2]:
        colors = dict(re.findall(r"--(\w+): (#\w{6})", block))
        for name in ("ink", "soft", "link"):
            assert contrast(colors[name], colors["paper"]) >= 4.5 <= contrast(colors[name], colors["panel"]), name
        assert contrast(colors["ink"], colors["note"]) >= 4.5
        assert all(contrast(colors[f"s{number}"], colors["paper"]) >= 3 for number in range(8))


def contrast(first, second):
    """Of two colours, as WCAG defines it."""
    levels = np.array([[int(color[place : place + 2], 16) / 255 for place in (1, 3, 5)] for color in (first, second)])
    linear = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    low, high = np.sort(linear @ (0.2126, 0.7152, 0.0722))
    return (high + 0.05) / (low + 0.05)


def test_links_and_alternatives(page):
    ids = {attrs["id"] for _, attrs in page.tags if "id" in attrs}
    targets = [attrs["href"][1:] for tag, attrs in page.tags if tag == "a" and attrs["href"].startswith("#")]
    assert len(targets) == 12 and set(targets) <= ids
    assert all(attrs["alt"] for tag, attrs in page.tags if tag == "img")
    drawings = page.tags.count(("svg", {"viewbox": "0 0 640 300", "role": "img"}))
    assert drawings == 5 and dict(page.tags)["html"] == {"lang": "en"}


def test_the_course_is_drawn_where_the_log_has_it(page, tmp_path):
    """Steps go from 0 to 200 over the width, losses from 0 to 4 over the height."""
    from mask_rcnn_tf.report import charts, run_sections

    section = run_sections.course(report_facts.LINES)
    paths = {path[0].text: path.get("d") for path in section.iter("path")}
    points = [[float(number) for number in pair.split()] for pair in paths["loss"][1:].split("L")]
    width, height = charts.WIDTH - charts.LEFT - charts.RIGHT, charts.HEIGHT - charts.TOP - charts.BOTTOM
    expected = [(charts.LEFT + width / 2, charts.TOP), (charts.LEFT + width, charts.TOP + height / 2)]
    np.testing.assert_allclose(points, expected, atol=0.06)
    assert set(paths) == {"loss", "mask", "learning rate"}  # of one evaluation there are dots
    assert [dot[0].text for dot in section.iter("circle")] == ["mask AP", "mask AP50", "box AP"]
    assert run_sections.course([]) is None and run_sections.course([{"step": 1, "loss": float("nan")}]) is None


def test_many_points_are_means():
    from mask_rcnn_tf.report.charts import thinned

    points = [(float(step), float(step % 7)) for step in range(1000)]
    drawn = thinned(points)
    assert len(drawn) == 250 and drawn[1] == (5.5, (4 + 5 + 6 + 0) / 4)
    assert thinned(points[:300]) == points[:300]


def test_data_and_configuration(page):
    assert "Trained on 7 images with 9 objects" in page.texts["data"]
    truth, _ = tide_scenes.scene(0, crowds=True)
    crowds = sum(row["iscrowd"] for row in truth["annotations"])
    assert (
        f"{len(truth['annotations']) - crowds} objects" in page.texts["data"]
        and f"{crowds} crowds" in page.texts["data"]
    )
    assert "It is that of the defaults" not in page.texts["configuration"] and "iframe" in page.texts["configuration"]
    config = load_config("mask_rcnn_small")
    assert settings.of_run(config).rows == () and settings.of_run(config).usual == "the preset mask_rcnn_small"
    config.train.steps, config.model.preprocess.short_side = 77, 320
    rows = settings.of_run(config).rows
    assert [(row.name, row.value) for row in rows] == [("model.preprocess.short_side", "320"), ("train.steps", "77")]
    assert rows[1].about == "updates of the weights, a batch each"
    model = ModelConfig()
    model.box_head.num_fcs = 1
    assert [row.name for row in settings.of_model(model).rows] == ["model.box_head.num_fcs"]


def test_lines_for_a_terminal(facts, tmp_path):
    _, lines = written(tmp_path, facts)
    segm = facts.metrics["segm"]
    assert lines[1].startswith(
        f"mask AP {segm['AP']:.3f}, AP50 {segm['AP50']:.3f} (0 to 1): how well objects are found"
    )
    assert re.fullmatch(r"at --score_threshold=0\.\d\d \d+ % of the objects are found and \d+ % of .* right", lines[2])


def test_nothing_found(tmp_path):
    page, lines = written(tmp_path, report_facts.facts(results=[], kinds=("bbox",), lines=[], training=None))
    assert (
        "The model has found nothing at all." in page.texts[""]
        and "At no threshold anything is right" in page.texts[""]
    )
    assert page.figures["analysis"]["best"] is None and len(lines) == 1 and "course" not in page.texts


def test_boxes_without_objects_of_a_class(tmp_path):
    truth, results = tide_scenes.scene(1)
    truth["annotations"] = [row for row in truth["annotations"] if row["category_id"] > 1]
    truth["images"].append({"id": 99, "file_name": "empty.png", "height": 9, "width": 9})
    page, _ = written(tmp_path, report_facts.facts(results=results, truth=truth, kinds=("bbox",)))
    assert "1 classes have no objects to score on" in page.texts[""] and "1 images have none" in page.texts["data"]
    assert page.figures["analysis"]["classes"][0]["ap50"] is None


def test_many_classes_have_pairs_in_place_of_a_matrix(tmp_path):
    truth, results = tide_scenes.scene(2)
    truth["categories"] += [{"id": number, "name": f"class {number}"} for number in range(6, 40)]
    page, _ = written(tmp_path, report_facts.facts(results=results, truth=truth, kinds=("bbox",)))
    confused = sum(row["confused"] for row in page.figures["analysis"]["images"])
    assert f"The most frequent of {confused} confusions" in page.texts["confusion"] and confused > 2


def test_lvis_says_what_is_not_computed(tmp_path):
    pytest.importorskip("faster_coco_eval")
    truth, results = tide_scenes.scene(0)
    for image in truth["images"]:
        image |= {"neg_category_ids": [1], "not_exhaustive_category_ids": []}
    for category in truth["categories"]:
        category["frequency"] = "c"
    page, lines = written(tmp_path, report_facts.facts(results=results, truth=truth))
    assert "annotations are of LVIS" in page.texts[""] and page.figures["analysis"] is None
    assert "worst" not in page.texts and "lob" in page.texts["classes"] and len(lines) == 2


def test_proposals(tmp_path):
    page, lines = written(tmp_path, report_facts.facts(kinds=("proposals",)))
    value = page.figures["metrics"]["proposals"]["AR1"]
    assert f"{value:.3f}proposal AR1" in page.texts["short"] and lines[0].startswith("proposal AR1 ")


def test_the_table_of_classes_in_a_terminal():
    metrics = {"per_category": {"bbox": {"a": 0.5, "a\nb": -1.0}, "segm": {"a": 0.25, "a\nb": -1.0}}}
    lines = coco_metrics.format_classes(metrics).splitlines()
    assert [line.split() for line in lines[1:]] == [["a", "50.0", "25.0"], ["a\\nb", "-", "-"]]
    assert coco_metrics.format_classes({"per_category": {"bbox": {"a": 0.5}}}) == ""
    assert coco_metrics.format_classes({"proposals": {"AR100": 0.5}}) == ""
    many = {"per_category": {"bbox": {f"class {number}": (number * 37 % 101) / 101 for number in range(101)}}}
    lines = coco_metrics.format_classes(many).splitlines()
    assert len(lines) == 42 and lines[1].split()[-1] == "0.0" and lines[-1].startswith("the lowest 40 of 101 classes")
