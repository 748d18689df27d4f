"""The page in a real browser: what is shown there, and that nothing is fetched or run, whatever names say."""

import http.server
import shutil
import subprocess
import threading

import pytest
import report_facts
from reading_pages import Page

from mask_rcnn_tf import report

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--virtual-time-budget=2000",
    "--dump-dom",
)
pytestmark = pytest.mark.skipif(BROWSER is None, reason="there is no Chromium or Chrome to open the page in")


@pytest.fixture
def server():
    """A server that notes what is asked of it: (address, paths)."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as opened:
        thread = threading.Thread(target=opened.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{opened.server_port}", asked
        opened.shutdown()
        thread.join()


def shown(path, folder):
    """The document as the browser has it once all is loaded."""
    command = [BROWSER, *FLAGS, f"--user-data-dir={folder}", path.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return Page(done.stdout)


def test_the_page_is_complete_and_harmless(tmp_path, server):
    address, asked = server
    facts = report_facts.facts(address)
    report.write(facts, tmp_path / "report.html")
    page = shown(tmp_path / "report.html", tmp_path / "profile")
    assert page.figures["metrics"]["segm"]["AP"] == facts.metrics["segm"]["AP"]
    assert f"{facts.metrics['segm']['AP']:.3f}mask AP" in page.texts["short"]
    assert page.texts[""].count("onerror") > 1  # names are shown as they are
    assert f"run <script src={address}/title></script>" in page.texts[""]  # and none has changed the title
    assert [attrs.get("type") for tag, attrs in page.tags if tag == "script"] == ["application/json"]
    assert not asked
    # The same browser fetches where it is let.
    (tmp_path / "control.html").write_text(f"<title>control</title><img src={address}/control>")
    shown(tmp_path / "control.html", tmp_path / "profile")
    assert "/control" in asked
