"""Detects objects in image files through TensorFlow Serving's REST API. Needs nothing but Python.

    python client_rest.py --labels mask_rcnn/1/assets/labels.json street.jpg

A reply with masks is about a megabyte of JSON for 100 detections; `client_grpc.py` receives a third of it.

Source: https://www.tensorflow.org/tfx/serving/api_rest, Predict API, column format.
"""

import base64
import http.client
import json
import sys
import urllib.error
import urllib.request

from detections import RequestRefused, ServingError, first_line, parser, run, split

SERVER = "http://localhost:8501"


def request_url(server: str, model: str, label: str | None) -> str:
    """Where predictions are asked for."""
    return f"{server.rstrip('/')}/v1/models/{model}{f'/labels/{label}' if label else ''}:predict"


def request_body(contents: list[bytes]) -> bytes:
    """The request that sends image files to `serving_bytes`."""
    files = [{"b64": base64.b64encode(content).decode()} for content in contents]
    return json.dumps({"signature_name": "serving_bytes", "inputs": {"image_bytes": files}}).encode()


def parse_reply(body: bytes) -> list[dict]:
    """The reply's detections, image by image; see `detections.split`.

    Raises:
      ServingError: the body is not what TensorFlow Serving answers.
    """
    try:
        return split(json.loads(body)["outputs"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise ServingError(f"the answer is not TensorFlow Serving's: {body[:200]!r}") from None


def error_message(body: bytes) -> str:
    """The server's own words in a reply that is an error."""
    try:
        return first_line(json.loads(body)["error"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return body[:200].decode(errors="replace")


def predict(contents: list[bytes], server: str, model: str, label: str | None, timeout: float) -> list[dict]:
    """Detections of image files.

    Args:
      contents: of the files; one that is not an image refuses all.
      server: e.g. "http://localhost:8501".
      model: its name in models.config.
      label: of a version, or None: the newest.
      timeout: seconds.

    Returns:
      See `detections.split`; values are lists.

    Raises:
      RequestRefused: an image does not decode, with the server's message.
      ServingError: no server, no such model, or no answer in time.
    """
    url = request_url(server, model, label)
    try:
        request = urllib.request.Request(url, request_body(contents), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=timeout) as reply:
            return parse_reply(reply.read())
    except urllib.error.HTTPError as error:
        message = error_message(error.read())
        if error.code == 400:
            raise RequestRefused(message) from None
        raise ServingError(f"{url} answers {error.code}: {message}") from None
    except (ValueError, http.client.InvalidURL) as error:
        raise ServingError(f"server is {server!r}: {error}; allowed: such as {SERVER}") from None
    except (urllib.error.URLError, OSError, http.client.HTTPException) as error:  # TimeoutError is an OSError
        raise ServingError(f"no answer from {url} within {timeout:g} s: {getattr(error, 'reason', error)}") from None


if __name__ == "__main__":
    sys.exit(run(predict, parser(__doc__.split("\n")[0], SERVER).parse_args()))
