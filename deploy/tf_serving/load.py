"""Puts load on a server: clients that ask without a pause, each for the next of the given images.

    python load.py --api grpc --clients 4 --seconds 30 *.jpg

Prints a JSON line: requests answered a second, latency of those in milliseconds, errors by message.
"""

import argparse
import collections
import importlib
import itertools
import json
import math
import pathlib
import sys
import threading
import time

from detections import ServingError, add_server, seconds


def percentile(values: list[float], percent: float) -> float | None:
    """The smallest value that `percent` of the values do not exceed; None of nothing."""
    return sorted(values)[max(math.ceil(len(values) * percent / 100), 1) - 1] if values else None


def measure(predict, contents: list[bytes], clients: int, seconds: float) -> dict:
    """Runs clients side by side for a time.

    Args:
      predict: takes [bytes]; a `ServingError` counts as an error.
      contents: image files.
      clients: threads.
      seconds: no request begins after that.

    Returns:
      `requests_per_second`, `p50_ms`, `p95_ms`, `p99_ms` (None where nothing was answered), `answered`, `errors`
      {message: count}.
    """
    latencies, errors, lock = [], collections.Counter(), threading.Lock()
    begin = time.perf_counter()

    def ask(first):
        for content in itertools.islice(itertools.cycle(contents), first, None):
            start = time.perf_counter()
            if start - begin >= seconds:
                return
            try:
                predict([content])
            except ServingError as error:
                with lock:
                    errors[str(error)] += 1
            else:
                with lock:
                    latencies.append(time.perf_counter() - start)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    spent = time.perf_counter() - begin
    report = {"requests_per_second": round(len(latencies) / spent, 3), "answered": len(latencies)}
    for percent in (50, 95, 99):
        value = percentile(latencies, percent)
        report[f"p{percent}_ms"] = None if value is None else round(1000 * value, 1)
    return {**report, "errors": dict(errors)}


def clients(text: str) -> int:
    """A flag that is a number of threads."""
    if not 1 <= int(text) <= 1000:
        raise argparse.ArgumentTypeError(f"it is {text}; allowed: 1 to 1000")
    return int(text)


def main(arguments: list[str]) -> int:
    """The command line; returns the exit status: 1 where nothing was answered."""
    flags = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    flags.add_argument("images", nargs="+", type=pathlib.Path)
    flags.add_argument("--api", choices=("rest", "grpc"), default="grpc")
    flags.add_argument("--clients", type=clients, default=4, help="threads, 1 to 1000")
    flags.add_argument("--seconds", type=seconds, default=30.0)
    flags = add_server(flags, None).parse_args(arguments)
    client = importlib.import_module(f"client_{flags.api}")
    server = flags.server or client.SERVER
    try:
        contents = [path.read_bytes() for path in flags.images]
    except OSError as error:
        sys.exit(f"load: {error.filename}: {error.strerror}")

    def predict(content):
        return client.predict(content, server, flags.model, flags.label, flags.timeout)

    report = measure(predict, contents, flags.clients, flags.seconds)
    print(json.dumps({"api": flags.api, "clients": flags.clients, **report}))
    return 0 if report["answered"] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
