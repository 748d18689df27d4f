"""What both clients share: flags, the rows of a reply, a table, COCO results. Needs nothing but Python."""

import argparse
import json
import pathlib
import sys


class ServingError(Exception):
    """The server is absent, does not answer in time, or does not have the model."""


class RequestRefused(ServingError):
    """The server answered that it cannot run this request, e.g. because the file is not an image."""


def split(outputs: dict) -> list[dict]:
    """The reply to serving_bytes image by image, without its padding rows.

    Args:
      outputs: {name: nested list or array [B, ...]} with `num_detections`.

    Returns:
      A dict an image: the outputs' rows [n, ...], and `original_shape` (h, w).
    """
    images = []
    for index, count in enumerate(outputs["num_detections"]):
        image = {name: value[index] for name, value in outputs.items() if name != "num_detections"}
        images.append({name: v if name == "original_shape" else v[: int(count)] for name, v in image.items()})
    return images


def coco_results(detections: dict, image_id: int, config: dict | None = None) -> list[dict]:
    """One image's detections as COCO results.

    Args:
      detections: of `split`.
      image_id: the image's id in the results.
      config: the model's `config.json`; `segmentation` is added where it is given: how masks are pasted depends on the
        model. That needs this package where the client runs.
    """
    if config is not None:
        from mask_rcnn_tf.coco.results import to_results

        ids, rules = range(1, 2**31), config["detection"]  # the server's classes are category ids already
        shape = tuple(int(side) for side in detections["original_shape"])
        return to_results(_arrays(detections), image_id, shape, ids, rules["mask_threshold"], rules["paste"])
    rows = zip(*(detections[f"detection_{name}"] for name in ("boxes", "scores", "classes")), strict=True)
    return [
        {
            "image_id": image_id,
            "category_id": int(category),
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "score": float(score),
        }
        for (y1, x1, y2, x2), score, category in rows
    ]


def _arrays(detections):
    import numpy as np

    return {name: np.asarray(value) for name, value in detections.items() if name != "original_shape"}


def table(results: list[dict], labels: dict[str, str]) -> str:
    """COCO results as lines of class, score and corners. `labels`: {category id: name}, as in `labels.json`."""
    lines = []
    for result in results:
        x, y, width, height = result["bbox"]
        name = labels.get(str(result["category_id"]), result["category_id"])
        lines.append(f"  {name:<20} {result['score']:.3f}  {x:8.1f} {y:8.1f} {x + width:8.1f} {y + height:8.1f}")
    return "\n".join(lines) or "  nothing found"


def first_line(message: str) -> str:
    """TensorFlow's message without the nodes of the graph that follow it."""
    return message.strip().split("\n")[0].split(" [[")[0].strip()


def parser(description: str, server: str) -> argparse.ArgumentParser:
    """The flags of a client, whose server is `server` where none is given."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("images", nargs="+", type=pathlib.Path, help="image files: JPEG, PNG, WebP, BMP, GIF")
    flags.add_argument("--labels", type=pathlib.Path, help="labels.json, of the model's folder assets")
    flags.add_argument("--config", type=pathlib.Path, help="config.json, of the same folder: adds masks to --output")
    flags.add_argument("--output", type=pathlib.Path, help="COCO results go here; image ids count the files from 1")
    return add_server(flags, server)


def add_server(flags: argparse.ArgumentParser, server: str | None) -> argparse.ArgumentParser:
    """Adds the flags that say which model of which server; `server` is the default."""
    flags.add_argument("--server", default=server, help=f"default: {server or 'on this machine'}")
    flags.add_argument("--model", default="mask_rcnn", help="default: mask_rcnn")
    flags.add_argument("--label", help="of a version, e.g. canary (models.config); default: the newest version")
    flags.add_argument("--timeout", type=float, default=30.0, help="seconds; default: 30")
    return flags


def run(predict, flags: argparse.Namespace) -> int:
    """Sends every image by itself, so that a bad one fails alone; prints tables, writes results.

    Args:
      predict: `predict` of a client.
      flags: of `parser`.

    Returns:
      The exit status: 0, 1 where an image was refused, 2 where the server does not answer.
    """
    labels = json.loads(flags.labels.read_text()) if flags.labels else {}
    config = json.loads(flags.config.read_text()) if flags.config else None
    results, status = [], 0
    for number, path in enumerate(flags.images, start=1):
        try:
            (detections,) = predict([path.read_bytes()], flags.server, flags.model, flags.label, flags.timeout)
        except (RequestRefused, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
            continue
        except ServingError as error:
            print(error, file=sys.stderr)
            return 2
        found = coco_results(detections, number, config)
        results += found
        print(f"{path}\n{table(found, labels)}", flush=True)
    if flags.output:
        flags.output.write_text(json.dumps(results))
    return status
