"""HTML as a tree, which is written with every text and attribute escaped: names come from strangers."""

import base64
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np
from PIL import Image

from mask_rcnn_tf.coco.errors import printable

Child = ElementTree.Element | str | None
JPEG_QUALITY = 80


def element(tag: str, *children: Child, **attributes: Any) -> ElementTree.Element:
    """An element with texts and elements in it; None is nothing.

    Args:
      tag: such as "td".
      children: in their order. Texts are made printable, on one line each.
      attributes: by name; a trailing "_" is left out, others are "-" (`class_`, `text_anchor`).
    """
    made = ElementTree.Element(tag, {_attribute(name): _text(value) for name, value in attributes.items()})
    for child in children:
        if isinstance(child, str):
            if len(made):
                made[-1].tail = (made[-1].tail or "") + _text(child)
            else:
                made.text = (made.text or "") + _text(child)
        elif child is not None:
            made.append(child)
    return made


def _attribute(name: str) -> str:
    return name if name == "viewBox" else name.rstrip("_").replace("_", "-")


def _text(value: Any) -> str:
    return printable(str(value), 10**9) if not isinstance(value, float) else f"{value:.6g}"


def section(title: str, name: str, *children: Child) -> ElementTree.Element:
    """A part of the page with its heading; `name` is where links lead."""
    return element("section", element("h2", title), *children, id=name)


def paragraph(*children: Child, class_: str = "text") -> ElementTree.Element:
    """A paragraph."""
    return element("p", *children, class_=class_)


def table(
    head: Sequence[str], rows: Iterable[Sequence[Child]], caption: str, numbers: bool = True
) -> ElementTree.Element:
    """A table whose first column names the rows.

    Args:
      head: of the columns.
      rows: as many cells each.
      caption: what it shows.
      numbers: whether the other columns are numbers, at the right.
    """
    cells = [element("th", text, scope="col") for text in head]
    body = [
        element("tr", element("th", row[0], scope="row"), *(element("td", cell) for cell in row[1:])) for row in rows
    ]
    made = element(
        "table",
        element("caption", caption),
        element("thead", element("tr", *cells)),
        element("tbody", *body),
        class_="numbers" if numbers else "words",
    )
    return element("div", made, class_="wide", tabindex=0)


def picture(image: np.ndarray, alt: str, longest: int) -> ElementTree.Element:
    """An image inside the page, as a JPEG.

    Args:
      image: uint8 [h, w, 3] RGB.
      alt: what it shows, for those who do not see it.
      longest: pixels of its longer side; larger ones are reduced.
    """
    made = Image.fromarray(image)
    made.thumbnail((longest, longest), Image.Resampling.LANCZOS)
    content = io.BytesIO()
    made.save(content, "JPEG", quality=JPEG_QUALITY, optimize=True)
    data = base64.b64encode(content.getvalue()).decode("ascii")
    size = {"width": made.width, "height": made.height}
    return element("img", alt=alt, src=f"data:image/jpeg;base64,{data}", **size)


def data(name: str, content: Any) -> ElementTree.Element:
    """JSON inside the page, for programs. Nothing in it ends the element: "<" is written as JSON's escape."""
    made = ElementTree.Element("script", {"type": "application/json", "id": name})
    made.text = json.dumps(content).replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
    return made


def to_html(root: ElementTree.Element) -> str:
    """The text of a page, in ASCII: whatever a file is written in, it is read as it was meant."""
    return f"<!DOCTYPE html>\n{ElementTree.tostring(root, 'us-ascii', 'html').decode('ascii')}\n"
