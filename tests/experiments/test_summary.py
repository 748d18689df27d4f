"""What is said of a table's runs, by hand-made figures."""

import json

import numpy as np
import pytest
from PIL import Image

from mask_rcnn_tf.experiments import chart, summary
from mask_rcnn_tf.experiments.tables import BOX, MASK, Table
from mask_rcnn_tf.visualize import color

TABLE = Table("heads", {"good_one": {}, "bad": {}}, figures=(MASK, BOX), paper={"good_one": 30.0, "bad": 20.0})


def runs(good, bad, key="segm"):
    found = {("good_one", seed): {key: {"AP": value}, "bbox": {"AP": 0.5}} for seed, value in enumerate(good)}
    return found | {("bad", seed): {key: {"AP": value}, "bbox": {"AP": 0.25}} for seed, value in enumerate(bad)}


def test_mean_and_spread_are_those_of_numpy():
    good, bad = [0.41, 0.44, 0.47], [0.40, 0.41, 0.45]
    lines = summary.markdown(TABLE, runs(good, bad)).splitlines()
    gain = np.subtract(bad, good)
    assert lines[2:6] == [
        "| variant | seeds | mask AP | box AP | mask AP, gain over the first | paper's, percent |",
        "| --- | --- | --- | --- | --- | --- |",
        f"| good one | 3 | {np.mean(good):.3f} ± {np.std(good, ddof=1):.3f} | 0.500 ± 0.000 |  | 30.0 |",
        f"| bad | 3 | {np.mean(bad):.3f} ± {np.std(bad, ddof=1):.3f} | 0.250 ± 0.000 | "
        f"{np.mean(gain):+.3f} ± {np.std(gain, ddof=1):.3f} | 20.0 |",
    ]
    error = np.std(gain, ddof=1) / np.sqrt(3)
    said = f"so it is here ({-np.mean(gain):+.3f}, standard error {error:.3f}, 3 seeds)."
    assert lines[-1] == f"- The paper has good one above bad: {said}"


@pytest.mark.parametrize(
    "good, bad, words",
    [
        ([0.5, 0.51, 0.5], [0.4, 0.4, 0.41], "so it is here"),
        ([0.4, 0.4, 0.41], [0.5, 0.51, 0.5], "here it is the other way round"),
        ([0.4, 0.5, 0.6], [0.5, 0.4, 0.6], "not decided"),
        ([0.5], [0.4], "not decided by fewer than two seeds"),
        ([0.5], [], "not run"),
    ],
)
def test_the_papers_order_is_claimed_where_the_seeds_agree(good, bad, words):
    assert f"The paper has good one above bad: {words}" in summary.markdown(TABLE, runs(good, bad))


def test_gains_are_of_the_same_seeds():
    """One seed of three is not run yet."""
    found = runs([0.1, 0.2, 0.3], [0.2, 0.3, 0.3])
    del found["bad", 0]
    assert summary.gains(found, "good_one", "bad", MASK) == pytest.approx([0.1, 0.0])
    assert "| bad | 2 |" in summary.markdown(TABLE, found)


def test_a_variant_without_the_figure_says_so():
    assert "| bad | 1 | not run | 0.250 |" in summary.markdown(
        TABLE, runs([0.1], []) | runs([], [0.2], key="keypoints")
    )


def test_files(tmp_path):
    found = runs([0.4, 0.6], [0.2, 0.3])
    text = summary.write_summary("some", TABLE, found, tmp_path)
    assert (tmp_path / "table.md").read_text() == text
    lines = [json.loads(line) for line in (tmp_path / "runs.jsonl").read_text().splitlines()]
    assert lines[1] == {"table": "some", "variant": "good_one", "seed": 1, "segm": {"AP": 0.6}, "bbox": {"AP": 0.5}}
    assert len(lines) == 4 and Image.open(tmp_path / "table.png").width == chart.WIDTH


def test_dots_are_where_the_numbers_are():
    """A dot's column is as far between two marks as its number; columns by their colours."""
    values = {"a": [0.25], "b": [0.15, 0.4], "c": []}
    picture = chart.chart("title", values)
    marks = chart.ticks([0.25, 0.15, 0.4])
    assert marks[0] <= 0.15 and marks[-1] >= 0.4
    for number, group in enumerate(values.values()):
        row = picture[chart.HEAD + chart.ROW * number + chart.ROW // 2]
        columns = np.flatnonzero((row == color(number)).all(-1))
        for value in group:
            share = (value - marks[0]) / (marks[-1] - marks[0])
            expected = chart.LEFT + share * (chart.WIDTH - chart.LEFT - chart.RIGHT)
            assert np.abs(columns - expected).min() <= 1
        assert len(columns) if group else not len(columns)


@pytest.mark.parametrize("values", [[0.5], [0.5, 0.5], [0.0, 0.0], [0.1234, 0.1235], [0.0, 0.99], [3, 700]])
def test_ticks_are_round_and_around(values):
    marks = chart.ticks(values)
    assert marks[0] <= min(values) and marks[-1] >= max(values) and 3 <= len(marks) <= 8
    steps = np.diff(marks)
    np.testing.assert_allclose(steps, steps[0])
    assert f"{steps[0]:.0e}"[0] in "125"
