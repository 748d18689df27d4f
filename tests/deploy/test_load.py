"""The load script: its arithmetic, and runs against the stand-in server."""

import json
import threading
import time

import numpy as np
import pytest

pytest.importorskip("tensorflow_serving", reason="tensorflow-serving-api is not installed")


def test_percentiles_are_those_of_numpy():
    import load

    values = np.random.default_rng(0).random(37).tolist()
    for percent in (0, 1, 50, 95, 99, 100):
        assert load.percentile(values, percent) == np.percentile(values, percent, method="inverted_cdf")
    assert load.percentile([], 50) is None


def test_measure_counts_what_happened():
    import load
    from detections import RequestRefused

    asked, lock = [], threading.Lock()

    def predict(contents):
        with lock:
            asked.append(contents)
        time.sleep(0.02)
        if contents == [b"bad"]:
            raise RequestRefused("no image")

    report = load.measure(predict, [b"good", b"bad"], clients=2, seconds=0.5)
    good, bad = asked.count([b"good"]), asked.count([b"bad"])
    assert report["answered"] == good > 5 and report["errors"] == {"no image": bad} and bad > 5
    assert 20 <= report["p50_ms"] <= report["p95_ms"] <= report["p99_ms"]
    assert 0.4 < report["requests_per_second"] * 0.52 / good < 1.2


@pytest.mark.parametrize("api", ["rest", "grpc"])
def test_load_on_a_server(api, served, tmp_path, capsys):
    import load
    from malformed_images import encode, pixels

    (tmp_path / "a.png").write_bytes(encode(pixels(np.random.default_rng(2), 60, 80), "PNG"))
    flags = ["--api", api, "--server", served[0][api], "--clients", "2", "--seconds", "1", str(tmp_path / "a.png")]
    assert load.main(flags) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["answered"] > 0 and report["errors"] == {} and report["p99_ms"] > 0
    assert (report["api"], report["clients"]) == (api, 2)


def test_load_without_a_server(capsys):
    import load

    assert load.main(["--server", "127.0.0.1:1", "--clients", "1", "--seconds", "0.2", __file__]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["answered"] == 0 and report["p50_ms"] is None and sum(report["errors"].values()) > 0
