"""What came of a table's runs: a line of JSON a run, mean and spread over the seeds in Markdown, and a chart."""

import json
import pathlib
import statistics
from collections.abc import Mapping, Sequence

import numpy as np

from mask_rcnn_tf import visualize, whole_files
from mask_rcnn_tf.experiments.chart import chart
from mask_rcnn_tf.experiments.tables import Table
from mask_rcnn_tf.training.storage import write_atomically

KINDS = {"segm": "mask", "bbox": "box", "keypoints": "keypoint"}
Runs = Mapping[tuple[str, int], dict]  # by variant and seed, `metrics.json` of those that are done


def write_summary(name: str, table: Table, runs: Runs, folder: pathlib.Path) -> str:
    """Writes `runs.jsonl`, `table.md` and `table.png` to a folder; returns the Markdown."""
    lines = [{"table": name, "variant": variant, "seed": seed, **metrics} for (variant, seed), metrics in runs.items()]
    write_atomically(folder / "runs.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    text = markdown(table, runs)
    write_atomically(folder / "table.md", text)
    kind, key = table.figures[0]
    rows = {variant: list(values_of(runs, variant, kind, key).values()) for variant in table.variants}
    if any(rows.values()):
        with whole_files.replacing(folder / "table.png", "table.partial.png") as partial:
            visualize.write_image(chart(f"{table.title}: {KINDS[kind]} {key}", rows), partial)
    return text


def values_of(runs: Runs, variant: str, kind: str, key: str) -> dict[int, float]:
    """One figure of a variant by seed; runs that do not have it are left out."""
    return {seed: metrics[kind][key] for (name, seed), metrics in runs.items() if name == variant and kind in metrics}


def markdown(table: Table, runs: Runs) -> str:
    """The table, and for every variant what it has more than the first one with the same seeds.

    Args:
      table: what was compared.
      runs: those that are done.

    Returns:
      Markdown, mean ± sample standard deviation over the seeds.
    """
    heads = [f"{KINDS[kind]} {key}" for kind, key in table.figures]
    gain = f"{heads[0]}, gain over the first"
    columns = ["variant", "seeds", *heads, gain, *["paper's, percent"] * bool(table.paper)]
    rows = [columns, ["---"] * len(columns)]
    first = next(iter(table.variants))
    for variant in table.variants:
        found = [list(values_of(runs, variant, *figure).values()) for figure in table.figures]
        seeds = sum(name == variant for name, _ in runs)
        change = _spread(gains(runs, first, variant, table.figures[0]), "+") if variant != first else ""
        paper = [str(table.paper.get(variant, ""))] * bool(table.paper)
        rows.append([variant.replace("_", " "), str(seeds), *map(_spread, found), change, *paper])
    body = [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join([table.title, "", *body, *_verdicts(table, runs), ""])


def gains(runs: Runs, first: str, second: str, figure: tuple[str, str]) -> list[float]:
    """What a variant has more than another, seed by seed."""
    base, other = (values_of(runs, variant, *figure) for variant in (first, second))
    return [other[seed] - base[seed] for seed in base.keys() & other.keys()]


def _spread(values: Sequence[float], sign: str = "") -> str:
    """Mean ± standard deviation."""
    if not values:
        return "not run" if not sign else ""
    deviation = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
    return f"{np.mean(values):{sign}.3f}{deviation}"


def _verdicts(table: Table, runs: Runs) -> list[str]:
    """Where the paper's order, from one variant to the next worse one, holds."""
    ranked = sorted(table.paper, key=lambda variant: -table.paper[variant])
    lines = []
    for better, worse in zip(ranked, ranked[1:], strict=False):
        if table.paper[better] > table.paper[worse]:
            names = f"{better.replace('_', ' ')} above {worse.replace('_', ' ')}"
            lines.append(f"- The paper has {names}: {verdict(gains(runs, worse, better, table.figures[0]))}")
    return ["", *lines] if lines else []


def verdict(differences: Sequence[float]) -> str:
    """Whether differences, which the paper has above 0, are so here.

    A mean of less than two standard errors decides nothing; nor does one seed.
    """
    if len(differences) < 2:
        return "not decided by fewer than two seeds." if differences else "not run."
    mean, error = statistics.mean(differences), statistics.stdev(differences) / len(differences) ** 0.5
    said = (
        "not decided" if abs(mean) <= 2 * error else "so it is here" if mean > 0 else "here it is the other way round"
    )
    return f"{said} ({mean:+.3f}, standard error {error:.3f}, {len(differences)} seeds)."
