"""What both clients share: flags, the rows of a reply, a table, COCO results.

Needs nothing but Python; `--config`, which adds masks, needs NumPy, pycocotools and the folder mask_rcnn_client.
"""

import argparse
import json
import pathlib
import sys

DETECTION_RULES = ("mask_threshold", "paste")  # of config.json, which say how masks are pasted


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
      config: the model's `config.json`; where it is given, `segmentation` and `keypoints` are added: how masks are
        pasted depends on the model.

    Raises:
      ServingError: a package is missing that masks need, or the model has other classes than `config`.
    """
    rows = zip(*(detections[f"detection_{name}"] for name in ("boxes", "scores", "classes")), strict=True)
    results = [
        {
            "image_id": image_id,
            "category_id": int(category),
            "bbox": [float(x1), float(y1), float(x2 - x1), float(y2 - y1)],
            "score": float(score),
        }
        for (y1, x1, y2, x2), score, category in rows
    ]
    if config is not None:
        for result, shapes in zip(results, _shapes(detections, config), strict=True):
            result.update(shapes)
    return results


def _shapes(detections: dict, config: dict) -> list[dict]:
    """`segmentation` and `keypoints` of each object, where the model has them."""
    try:
        import numpy as np
        from pycocotools import mask as coco_mask

        from mask_rcnn_client import from_image, make_legend
    except ImportError as error:
        raise ServingError(f"package {error.name} is missing, which --config needs; leave it out.") from None
    try:
        found = from_image(detections, make_legend(None, config), detections["original_shape"])
    except ValueError as error:
        raise ServingError(f"config is not that of the model: {error}") from None
    shapes = [{} for _ in found]
    for shape, one in zip(shapes, found, strict=True):
        if one.mask is not None:
            encoded = coco_mask.encode(np.asfortranarray(one.mask, np.uint8))
            shape["segmentation"] = {"size": encoded["size"], "counts": encoded["counts"].decode("ascii")}
        if one.keypoints is not None:  # COCO counts from the centres of pixels
            shape["keypoints"] = (one.keypoints - np.float32([0.5, 0.5, 0])).ravel().tolist()
    return shapes


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


def read_table(path: pathlib.Path | None, name: str, keys: tuple[str, ...] = ()) -> dict | None:
    """The table in a JSON file; None without a path.

    Args:
      path: of the file, or None.
      name: of the flag.
      keys: what its table "detection" must have, if any.

    Raises:
      ValueError: in one line, what is wrong with the file.
    """
    if path is None:
        return None
    try:
        table = json.loads(path.read_text())
    except OSError as error:
        raise ValueError(f"{name} is '{path}'; it cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{name} is '{path}'; it is not JSON: {error}.") from None
    rules = table.get("detection") if isinstance(table, dict) and keys else table
    if not isinstance(rules, dict) or set(keys) - set(rules):
        raise ValueError(f"{name} is '{path}'; allowed: {name}.json of the model's folder assets.")
    return table


def check_output(path: pathlib.Path | None):
    """Refuses a file that cannot be written, before anything is asked for. Raises ValueError."""
    if path is None:
        return
    try:
        path.open("a").close()
    except OSError as error:
        raise ValueError(f"output is '{path}'; it cannot be written: {error.strerror}.") from None


def seconds(text: str) -> float:
    """A flag that is a time."""
    value = float(text)
    if not 0 < value < 1e6:
        raise argparse.ArgumentTypeError(f"it is {text}; allowed: a number above 0, below 1000000")
    return value


def add_server(flags: argparse.ArgumentParser, server: str | None) -> argparse.ArgumentParser:
    """Adds the flags that say which model of which server; `server` is the default."""
    flags.add_argument("--server", default=server, help=f"default: {server or 'on this machine'}")
    flags.add_argument("--model", default="mask_rcnn", help="default: mask_rcnn")
    flags.add_argument("--label", help="of a version, e.g. canary (models.config); default: the newest version")
    flags.add_argument("--timeout", type=seconds, default=30.0, help="seconds; default: 30")
    return flags


def run(predict, flags: argparse.Namespace) -> int:
    """Sends every image by itself, so that a bad one fails alone; prints tables, writes results.

    Args:
      predict: `predict` of a client.
      flags: of `parser`.

    Returns:
      The exit status: 0, 1 where an image was refused, 2 where the server does not answer.
    """
    try:
        labels = read_table(flags.labels, "labels") or {}
        config = read_table(flags.config, "config", DETECTION_RULES)
        check_output(flags.output)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    results, status = [], 0
    for number, path in enumerate(flags.images, start=1):
        try:
            (detections,) = predict([path.read_bytes()], flags.server, flags.model, flags.label, flags.timeout)
            found = coco_results(detections, number, config)
        except (RequestRefused, OSError) as error:
            print(f"{path}: {error}", file=sys.stderr)
            status = 1
            continue
        except ServingError as error:
            print(error, file=sys.stderr)
            return 2
        results += found
        print(f"{path}\n{table(found, labels)}", flush=True)
    if flags.output:
        flags.output.write_text(json.dumps(results))
    return status
