"""Makes docs/performance.md and its plots of the lines that `run.py` wrote.

python benchmarks/cpu/page.py                                     # of those that are kept, benchmarks/cpu/figures
python benchmarks/cpu/page.py runs/benchmarks --output /tmp/page  # of others
"""

import argparse
import json
import pathlib
import statistics
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(ROOT), str(HERE)]

import growth  # noqa: E402
from cells import digits, load, seconds_and_cores  # noqa: E402
from tables import TABLES  # noqa: E402

from mask_rcnn_tf.experiments.chart import chart  # noqa: E402
from mask_rcnn_tf.visualize import write_image  # noqa: E402

PEAK = "peak"
HEAD = """# Performance

<!-- Written by benchmarks/cpu/page.py of benchmarks/cpu/figures; not by hand. -->

Seconds are medians, with the fastest and the slowest; cores are CPU seconds for each of them, and a program that had
fewer than it wanted was in company. Contestants of a table ran in turns on the same images and weights, each in a
process of its own: "times ours" is the median over the rounds of what one took for what the first took in that round.
The floor is the time of the convolutions and matrix products alone, at the speed of the best convolution, measured in
the same rounds. Memory is the peak of a process while it ran, libraries included.

A GPU: [benchmarks/gpu](../benchmarks/gpu/README.md).
"""


def read(folder):
    """The lines of all files of a folder; of one contestant's on one machine the last."""
    last = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in map(json.loads, path.read_text().splitlines()):
            last[tuple(line[name] for name in ("table", "cpu", "row", "contestant", "call"))] = line
    return list(last.values())


def grouped(lines, *names):
    """{(values of names): lines}, in their order."""
    groups = {}
    for line in lines:
        groups.setdefault(tuple(line[name] for name in names), []).append(line)
    return groups


def row_table(lines):
    """Markdown of one row of a table."""
    rates = [line["gflop"] / statistics.median(line["seconds"]) for line in lines if line["contestant"] == PEAK]
    lines = [line for line in lines if line["contestant"] != PEAK]
    first, many = lines[0], len(lines) == 1 or any(line["call"] != lines[0]["call"] for line in lines)
    names = ("call", "times the first") if many else ("program", "times ours")
    columns = [names[0], "seconds", "cores", "peak memory", names[1]]
    rows = [columns, ["---"] * len(columns)]
    for line in lines:
        pairs = zip(line["seconds"], first["seconds"], strict=True)
        ratio = statistics.median(theirs / ours for theirs, ours in pairs)
        name = line["call"] if many else line["contestant"]
        rows.append(
            [name, *seconds_and_cores(line), f"{line['peak_mb'] / 1000:.1f} GB", f"{ratio:.2f}" * (line is not first)]
        )
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    if rates and "gflop" in first:
        floor = first["gflop"] / rates[0]
        text += (
            f"\n\n{first['gflop']:.0f} GFLOP at {rates[0]:.0f} GFLOP/s: a floor of {digits(floor)} s, "
            f"{statistics.median(first['seconds']) / floor:.2f} times of which {first['contestant']} takes."
        )
    if "figures_apart" in first:
        text += f"\n\nTheir figures are {first['figures_apart']:.1g} apart at most."
    return f"{text}\n\n{load(lines)}"


def plot(lines, path):
    """Each round's seconds of each contestant."""
    lines = [line for line in lines if line["contestant"] != PEAK]
    calls = len({line["call"] for line in lines}) > 1
    groups = {line["call"] if calls else line["contestant"]: line["seconds"] for line in lines}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_image(chart(f"{lines[0]['row']}: seconds", groups), path)


def page(lines, plots):
    """Markdown of all, its plots in a folder of that name."""
    text = [HEAD]
    for table, described in TABLES.items():
        of_table = [line for line in lines if line["table"] == table]
        if not of_table:
            continue
        command = f"python benchmarks/cpu/run.py --table {table} {described.flags}".rstrip()
        text += [f"## {described.title}\n", f"```shell\n{command}\n```\n"]
        for (date, cpu), of_machine in grouped(of_table, "date", "cpu").items():
            features = ", ".join(of_machine[0]["features"])
            text.append(f"{date}, {of_machine[0]['cores']} cores of {cpu} ({features}).\n")
            if "axis" in of_machine[0]:
                text += growing(of_machine, plots)
                continue
            for (row,), of_row in grouped(of_machine, "row").items():
                text.append(f"### {described.title}: {row}\n")
                if plots:
                    text.append(f"![seconds of every round]({plots.name}/{slug(table, row, date, cpu)}.png)\n")
                    plot(of_row, plots / f"{slug(table, row, date, cpu)}.png")
                text.append(row_table(of_row))
    return "\n".join(text)


def growing(lines, plots):
    """Markdown of what grows with each axis."""
    text = []
    for (work, axis), of_axis in grouped(lines, "work", "axis").items():
        of_axis = sorted(of_axis, key=lambda line: line["value"])
        text.append(f"### {work.capitalize()}: {growth.NAMES[axis]}\n")
        if plots:
            name = f"{slug('scale', work, axis, of_axis[0]['date'], of_axis[0]['cpu'])}.png"
            text.append(f"![seconds and memory]({plots.name}/{name})\n")
            plots.mkdir(parents=True, exist_ok=True)
            write_image(growth.plot(of_axis), plots / name)
        text.append(growth.table(of_axis))
    return text


def slug(*names):
    """A file's name."""
    return "_".join("".join(c if c.isalnum() else "_" for c in name.lower()).strip("_") for name in names)


def main():
    """Writes the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("figures", nargs="?", type=pathlib.Path, default=HERE / "figures", help="folder of .jsonl")
    parser.add_argument("--output", type=pathlib.Path, default=ROOT / "docs", help="folder of performance.md")
    args = parser.parse_args()
    lines = read(args.figures)
    if not lines:
        parser.error(f"{args.figures} has no lines in *.jsonl.")
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "performance.md").write_text(page(lines, args.output / "performance"))


if __name__ == "__main__":
    main()
