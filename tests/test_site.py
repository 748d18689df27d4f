"""The documentation as a site: every page is in its contents, every link and name leads somewhere."""

import re
import subprocess
import sys

import pytest
from test_readme import ROOT

import mask_rcnn_tf as mrcnn

pytest.importorskip("sphinx", reason="the extra docs is not installed")


def test_site_is_built_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-b", "html", "docs", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {path.stem for path in (ROOT / "docs").glob("*.md")}
    assert pages <= {path.stem for path in tmp_path.glob("*.html")}
    index = (tmp_path / "index.html").read_text()
    assert 'href="first_model.html"' in index and "Two commands" in index and "_images/demo.jpg" in index
    assert not re.search(r'href="(\.\./|docs/|mask_rcnn_tf/)', index)
    names = (tmp_path / "api.html").read_text()
    for name in mrcnn.__all__:
        if not isinstance(getattr(mrcnn, name), type(mrcnn)):
            assert f'id="mask_rcnn_tf.{name}"' in names, name
