"""The scripts of deploy/ end in one line for the mistakes of a person and for a server that is another program."""

import http.server
import json
import pathlib
import runpy
import sys
import threading

import pytest

FOLDER = pathlib.Path(__file__).parents[2] / "deploy"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photo.jpg").write_bytes(b"any bytes")
    files = {"text.json": "hello", "list.json": "[]", "deep.json": "[" * 10_000, "table.json": "{}", "empty.json": ""}
    files |= {"digits.json": '{"a": ' + "9" * 5000 + "}", "half.json": json.dumps({"detection": {"paste": "integer"}})}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "folder").mkdir()
    return tmp_path


@pytest.fixture(scope="module")
def other_server():
    """An address that answers everything with JSON of another kind."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = b"[" * 10_000 if "deep" in self.path else b'["something"]'
            self.send_response(500 if "broken" in self.path else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *arguments):
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def run(monkeypatch, capsys, line):
    """Exit status and stderr of a script of deploy/ in this process."""
    name, *arguments = line.split()
    monkeypatch.setattr(sys, "argv", [name, *arguments])
    try:
        runpy.run_path(str(FOLDER / name), run_name="__main__")
        status, text = 0, ""
    except SystemExit as ended:
        text = ended.code if isinstance(ended.code, str) else ""
        status = 1 if text else ended.code or 0
    return status, capsys.readouterr().err + text


REST = "tf_serving/client_rest.py --server=http://127.0.0.1:1"
LOAD = "tf_serving/load.py --api=rest --server=http://127.0.0.1:1"
JSONS = ("none.json", "folder", "text.json", "list.json", "deep.json", "empty.json", "digits.json")
MISTAKES = [  # command line, exit status, words of the last line
    *((f"{REST} --labels={path} photo.jpg", 2, f"labels is '{path}'") for path in JSONS),
    *((f"{REST} --config={path} photo.jpg", 2, f"config is '{path}'") for path in (*JSONS, "table.json", "half.json")),
    (f"{REST} --output=folder photo.jpg", 2, "output is 'folder'; it cannot be written"),
    (f"{REST} --output=none/out.json photo.jpg", 2, "output is 'none/out.json'; it cannot be written"),
    (f"{REST} photo.jpg", 2, "no answer from"),
    (f"{REST} none.jpg", 1, "none.jpg"),
    (f"{REST} folder", 1, "folder"),
    (f"{REST} --timeout=0 photo.jpg", 2, "allowed: a number above 0"),
    (f"{REST} --timeout=nan photo.jpg", 2, "allowed: a number above 0"),
    (f"{REST} --timeout=soon photo.jpg", 2, "timeout"),
    ("tf_serving/client_rest.py --server=localhost photo.jpg", 2, "server is 'localhost'"),
    ("tf_serving/client_rest.py --server=http://127.0.0.1:port photo.jpg", 2, "server is 'http://127.0.0.1:port'"),
    ("tf_serving/client_rest.py", 2, "images"),
    (f"{LOAD} none.jpg", 1, "load: none.jpg: No such file"),
    (f"{LOAD} folder", 1, "load: folder: Is a directory"),
    (f"{LOAD} --clients=0 photo.jpg", 2, "it is 0; allowed: 1 to 1000"),
    (f"{LOAD} --seconds=-1 photo.jpg", 2, "allowed: a number above 0"),
    ("tensorrt/build_engine.py none.onnx new.plan", 1, "build_engine: "),
    ("tensorrt/build_engine.py photo.jpg new.plan --usual_batch=9", 1, "usual_batch is 9; allowed: 1 to"),
    ("tensorrt/build_engine.py photo.jpg new.plan --workspace_gib=nan", 1, "workspace_gib is nan; allowed"),
]


@pytest.mark.parametrize(("line", "status", "words"), MISTAKES, ids=lambda value: str(value)[:90])
def test_one_line(monkeypatch, capsys, folder, line, status, words):
    came, text = run(monkeypatch, capsys, line)
    last = text.strip().splitlines()[-1]
    assert came == status and words in last and "Traceback" not in text, text
    assert len(text.strip().splitlines()) == 1 or text.startswith("usage: "), text


@pytest.mark.parametrize("path", ["", "/deep", "/broken"])
def test_another_server(monkeypatch, capsys, folder, other_server, path):
    status, text = run(monkeypatch, capsys, f"tf_serving/client_rest.py --server={other_server}{path} photo.jpg")
    assert status == 2 and len(text.strip().splitlines()) == 1 and "answer" in text, text


@pytest.mark.parametrize("package", ["grpc", "tensorflow_serving"])
def test_missing_packages_are_named(monkeypatch, capsys, folder, package):
    monkeypatch.setitem(sys.modules, package, None)
    for name in [name for name in sys.modules if name.startswith(f"{package}.")]:
        monkeypatch.setitem(sys.modules, name, None)
    status, text = run(monkeypatch, capsys, "tf_serving/client_grpc.py photo.jpg")
    assert status == 1 and f"client_grpc: package {package}" in text and "pip install" in text
