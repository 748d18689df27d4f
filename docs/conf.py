"""The documentation as a site: `make docs`."""

import pathlib
import re

project, author, copyright = "mask_rcnn_tf", "the authors of mask_rcnn_tf", "the authors; Apache-2.0"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_theme, html_title = "furo", "mask_rcnn_tf"
myst_heading_anchors = 3
default_role = "code"  # of `names` in docstrings
napoleon_custom_sections = ["Source"]  # of a paper or a reference's file, in docstrings
napoleon_use_rtype = False
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # Keras's own would come with them
HERE = pathlib.Path(__file__).resolve().parent
README = HERE.parent / "README.md"


def prepare(app, name, source):
    """Puts README.md before the table of contents; links to files that are no pages become their names."""
    base = HERE.parent if name == "index" else HERE
    text = README.read_text() + source[0] if name == "index" else source[0]

    def link(match):
        path, _, place = match[3].partition("#")
        target = (base / path).resolve()
        if target != README and not (target.is_relative_to(HERE) and target.is_file()):
            return match[2]
        page = "index.md" if target == README else target.relative_to(HERE).as_posix()
        return f"{match[1]}[{match[2]}]({page}{'#' * bool(place)}{place})"

    source[0] = re.sub(r"(!?)\[([^\]]*)\]\((?!http|#)([^)]+)\)", link, text)


def setup(app):
    """Called by Sphinx."""
    app.connect("source-read", prepare)
