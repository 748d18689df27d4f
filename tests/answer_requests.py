"""A process that has TensorFlow and nothing of this package: answers requests with a SavedModel.

    python -I answer_requests.py SAVED_MODEL GOOD_IMAGE REQUEST...

Requests are files of `malformed_images.write`. Prints a JSON line for each, and first and last one for the good image:
{"request", "error" or "count", "rss_mb", "detections" of the good image}. Errors are the server's own: those that
TensorFlow raises for a tensor that does not fit, and for whatever happens in the graph.
"""

import base64
import json
import pathlib
import sys

sys.modules["mask_rcnn_tf"] = None  # importing it would fail

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402


def read(path):
    """(signature, inputs) of one request."""
    if path.suffix == ".npy":
        return "serving_default", {"images": tf.constant(np.load(path))}
    if path.suffix == ".json":
        return "serving_bytes", {"image_bytes": tf.constant(_from_base64(json.loads(path.read_text())), tf.string)}
    return "serving_bytes", {"image_bytes": tf.constant([path.read_bytes()])}


def _from_base64(value):
    return [_from_base64(part) for part in value] if isinstance(value, list) else base64.b64decode(value)


def resident_mb():
    """Memory of this process that is not swapped out, MB."""
    (line,) = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def answer(model, path):
    """{"count"} with the number of detections, or {"error"}; and the outputs, or None."""
    signature, inputs = read(path)
    try:
        outputs = {name: value.numpy() for name, value in model.signatures[signature](**inputs).items()}
    except (tf.errors.OpError, ValueError, TypeError) as error:
        return {"error": str(error)}, None
    if not all(np.isfinite(value).all() for value in outputs.values()):
        raise AssertionError(f"{path.name}: outputs are not finite")
    return {"count": int(outputs["num_detections"].sum())}, outputs


def main(saved_model, good, *requests):
    """Answers the good image, every request, and the good image again."""
    model = tf.saved_model.load(saved_model)
    for path in (good, *requests, good):
        line, outputs = answer(model, pathlib.Path(path))
        if path == good:
            line["detections"] = {name: value.tolist() for name, value in outputs.items() if "masks" not in name}
        print(json.dumps({"request": pathlib.Path(path).name, **line, "rss_mb": round(resident_mb(), 1)}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
