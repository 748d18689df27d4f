"""Charts as SVG inside the page: sharp at any size, in the page's colours, and a few kilobytes each."""

import dataclasses
from collections.abc import Sequence
from xml.etree import ElementTree

from mask_rcnn_tf.report.axes import ticks
from mask_rcnn_tf.report.elements import element

WIDTH, HEIGHT = 640, 300  # units of the drawing
LEFT, RIGHT, TOP, BOTTOM = 82, 22, 12, 46
MOST_POINTS = 300  # of a line
COLORS = 8  # classes s0 to s7 of the style
ROW, NAMES, NUMBERS = 34, 180, 100  # of bars


@dataclasses.dataclass(frozen=True)
class Line:
    """A line of a chart."""

    name: str
    points: Sequence[tuple[float, float]]  # ascending x
    style: str = ""  # class of the style; "" takes the next colour and an entry in the legend


def line_chart(
    lines: Sequence[Line],
    labels: tuple[str, str],
    alt: str,
    ranges: tuple[tuple[float, float] | None, tuple[float, float] | None] = (None, None),
) -> ElementTree.Element:
    """Lines over one axis, with a legend.

    Args:
      lines: at least one point in all.
      labels: of the x and the y axis.
      alt: what the chart shows, for those who do not see it.
      ranges: (low, high) of x and y, or None: as the points are.
    """
    points = [point for line in lines for point in line.points]
    marks = [ticks(ranges[axis] or [point[axis] for point in points]) for axis in (0, 1)]
    # An axis of steps ends where they end; one of values at a mark.
    low, high = ranges[0] or (min(x for x, _ in points), max(x for x, _ in points))
    spans = ((low, high if high > low else low + 1), (marks[1][0], marks[1][-1]))

    def place(x: float, y: float) -> tuple[float, float]:
        shares = ((x - spans[0][0]) / (spans[0][1] - spans[0][0]), (y - spans[1][0]) / (spans[1][1] - spans[1][0]))
        return (
            round(LEFT + shares[0] * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - shares[1] * (HEIGHT - TOP - BOTTOM), 1),
        )

    children = _axes(marks, spans, labels, place)
    named = [line for line in lines if not line.style]
    for line in lines:
        style = line.style or f"s{named.index(line) % COLORS}"
        children.append(_path(line, style, place))
    entries = [
        element("li", element("span", class_=f"key s{index % COLORS}"), line.name) for index, line in enumerate(named)
    ]
    drawing = element("svg", element("title", alt), *children, viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    return element("figure", drawing, element("ul", *entries, class_="legend") if len(named) > 1 else None)


def _axes(marks, spans, labels, place) -> list[ElementTree.Element]:
    """Grid, numbers and names of both axes."""
    children = []
    for mark in marks[0]:
        if spans[0][0] <= mark <= spans[0][1]:
            x, y = place(mark, spans[1][0])
            children.append(element("line", x1=x, x2=x, y1=TOP, y2=y, class_="grid"))
            children.append(element("text", f"{mark:g}", x=x, y=y + 17, text_anchor="middle"))
    for mark in marks[1]:
        x, y = place(spans[0][0], mark)
        children.append(element("line", x1=x, x2=WIDTH - RIGHT, y1=y, y2=y, class_="grid"))
        children.append(element("text", f"{mark:g}", x=x - 8, y=y + 4, text_anchor="end"))
    middle = (LEFT + WIDTH - RIGHT) / 2
    children.append(element("text", labels[0], x=middle, y=HEIGHT - 8, text_anchor="middle", class_="label"))
    turned = f"rotate(-90 14 {HEIGHT / 2})"
    children.append(
        element("text", labels[1], x=14, y=HEIGHT / 2, text_anchor="middle", transform=turned, class_="label")
    )
    return children


def _path(line: Line, style: str, place) -> ElementTree.Element:
    points = [place(*point) for point in thinned(line.points)]
    title = element("title", line.name)
    if len(points) == 1:
        return element("circle", title, cx=points[0][0], cy=points[0][1], r=4, class_=f"dot {style}")
    drawn = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
    return element("path", title, d=drawn, class_=f"line {style}")


def thinned(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """At most `MOST_POINTS` of many points, each the mean of those that it stands for."""
    size = -(-len(points) // MOST_POINTS)
    if size <= 1:
        return list(points)
    groups = [points[start : start + size] for start in range(0, len(points), size)]
    return [tuple(sum(values) / len(group) for values in zip(*group, strict=True)) for group in groups]


def bar_chart(bars: Sequence[tuple[str, float, str]], alt: str) -> ElementTree.Element:
    """Horizontal bars below each other.

    Args:
      bars: (name, length of at least 0, the text behind it).
      alt: what the chart shows, for those who do not see it.
    """
    longest = max((length for _, length, _ in bars), default=0) or 1.0
    children = []
    for index, (name, length, text) in enumerate(bars):
        y, width = index * ROW, length / longest * (WIDTH - NAMES - NUMBERS)
        children.append(element("text", name, x=NAMES - 10, y=y + 22, text_anchor="end"))
        bar = {"x": NAMES, "y": y + 6, "width": round(width, 1), "height": ROW - 12}
        children.append(element("rect", element("title", f"{name}: {text}"), class_=f"bar s{index % COLORS}", **bar))
        children.append(element("text", text, x=NAMES + round(width, 1) + 8, y=y + 22))
    size = f"0 0 {WIDTH} {ROW * len(bars)}"
    return element("figure", element("svg", element("title", alt), *children, viewBox=size, role="img"))
