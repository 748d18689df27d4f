"""A chart of a few groups of numbers, each number a dot and each mean a line."""

from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mask_rcnn_tf.report.axes import ticks
from mask_rcnn_tf.visualize import color

WIDTH, ROW, HEAD, LEFT, RIGHT = 900, 56, 64, 260, 40  # pixels
INK, PALE = (40, 40, 40), (215, 215, 215)


def chart(title: str, groups: Mapping[str, Sequence[float]]) -> np.ndarray:
    """Draws groups below each other on one axis.

    Args:
      title: above them.
      groups: numbers by name; at least one number in all.

    Returns:
      uint8 [h, w, 3] RGB.
    """
    bottom = HEAD + ROW * len(groups)
    sheet = Image.new("RGB", (WIDTH, bottom + 44), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=17)
    pen.text((WIDTH / 2, HEAD / 2), title, fill=INK, font=font, anchor="mm")
    marks = ticks([value for values in groups.values() for value in values])

    def place(value: float) -> float:
        return LEFT + (value - marks[0]) / (marks[-1] - marks[0]) * (WIDTH - LEFT - RIGHT)

    for mark in marks:
        pen.line([(place(mark), HEAD), (place(mark), bottom)], fill=PALE)
        pen.text((place(mark), bottom + 18), f"{mark:g}", fill=INK, font=font, anchor="mm")
    for number, (name, values) in enumerate(groups.items()):
        y, rgb = HEAD + ROW * (number + 0.5), color(number)
        pen.text((LEFT - 20, y), name.replace("_", " "), fill=INK, font=font, anchor="rm")
        if len(values):
            middle = place(float(np.mean(values)))
            pen.line([(middle, y - 18), (middle, y + 18)], fill=rgb, width=4)
        for value in values:
            x = place(value)
            pen.ellipse((x - 6, y - 6, x + 6, y + 6), fill=rgb, outline="white")
    return np.array(sheet)
