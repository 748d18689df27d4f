"""How seconds and memory grow with one thing: a table, a plot, and the law that they follow."""

import statistics

import numpy as np
from cells import digits, load, seconds_and_cores
from PIL import Image, ImageDraw, ImageFont

from mask_rcnn_tf.report.axes import ticks

NAMES = {
    "megapixels": "megapixels of an image",
    "images": "images in a batch",
    "objects": "labelled objects of an image",
    "classes": "classes",
}
WIDTH, HEIGHT, LEFT, TOP, BOTTOM, GAP = 1000, 380, 80, 50, 60, 110  # pixels
INK, PALE, DOT = (40, 40, 40), (215, 215, 215), (31, 119, 180)


def law(x, y) -> tuple[float, float, float]:
    """The line start + slope * x that is off by the least shares of y, and the largest of these shares."""
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    return float(start), float(slope), float(np.max(np.abs((start + slope * x) / y - 1)))


def table(lines) -> str:
    """Markdown of the lines of one axis, and their laws in words."""
    axis = lines[0]["axis"]
    rows = [[NAMES[axis], "seconds", "cores", "peak memory"], ["---"] * 4]
    for line in lines:
        value = digits(line["value"]) if axis == "megapixels" else f"{line['value']}"
        rows.append([value, *seconds_and_cores(line), f"{line['peak_mb'] / 1000:.2f} GB"])
    text = "\n".join(f"| {' | '.join(row)} |" for row in rows)
    for values, unit in ((seconds_of(lines), "s"), (memory_of(lines), "GB")):
        start, slope, off = law([line["value"] for line in lines], values)
        text += f"\n\n{digits(start)} {unit} and {digits(slope)} {unit} for each of the {axis}, {off:.0%} off at most."
    return f"{text}\n\n{load(lines)}"


def seconds_of(lines) -> list[float]:
    """Medians."""
    return [statistics.median(line["seconds"]) for line in lines]


def memory_of(lines) -> list[float]:
    """Peaks, GB."""
    return [line["peak_mb"] / 1000 for line in lines]


def plot(lines) -> np.ndarray:
    """Seconds and memory over the axis, each a dot, with the lines of their laws; uint8 [h, w, 3] RGB."""
    sheet = Image.new("RGB", (WIDTH, HEIGHT), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    width = (WIDTH - LEFT - GAP) // 2
    x = [line["value"] for line in lines]
    for left, y, unit in ((LEFT, seconds_of(lines), "seconds"), (LEFT + width + GAP - 20, memory_of(lines), "GB")):
        start, slope, _ = law(x, y)
        across, up = ticks([0, *x]), ticks([0, *y, start + slope * max(x)])

        def place(at, value, left=left, across=across, up=up):
            share = (value - up[0]) / (up[-1] - up[0])
            return left + (at - across[0]) / (across[-1] - across[0]) * width, HEIGHT - BOTTOM - share * (
                HEIGHT - TOP - BOTTOM
            )

        for mark in up:
            pen.line([place(across[0], mark), place(across[-1], mark)], fill=PALE)
            at, level = place(across[0], mark)
            pen.text((at - 8, level), f"{mark:g}", fill=INK, font=font, anchor="rm")
        for mark in across:
            at, level = place(mark, up[0])
            pen.text((at, level + 8), f"{mark:g}", fill=INK, font=font, anchor="mt")
        pen.text((left, TOP - 22), unit, fill=INK, font=font, anchor="lm")
        pen.text((left + width / 2, HEIGHT - 14), NAMES[lines[0]["axis"]], fill=INK, font=font, anchor="mm")
        pen.line([place(min(x), start + slope * min(x)), place(max(x), start + slope * max(x))], fill=PALE, width=3)
        for at, value in zip(x, y, strict=True):
            right, level = place(at, value)
            pen.ellipse((right - 5, level - 5, right + 5, level + 5), fill=DOT, outline="white")
    return np.array(sheet)
