"""Two or more forms of a model side by side: what they find, how good, how fast, how large."""

import dataclasses
import os
import pathlib
import statistics
import time
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from pycocotools import mask as coco_mask

from mask_rcnn_tf.coco.reader import read_annotations
from mask_rcnn_tf.evaluation import files as scoring
from mask_rcnn_tf.evaluation import image_files
from mask_rcnn_tf.evaluation.compare_results import compare_masks
from mask_rcnn_tf.export.agreement import MIN_IOU, agreement
from mask_rcnn_tf.export.canvas import Canvas
from mask_rcnn_tf.export.errors import ExportError
from mask_rcnn_tf.export.peak_memory import measure_memory
from mask_rcnn_tf.export.runners import Runner, load, load_on_canvas
from mask_rcnn_tf.export.verification import find_in_image

MIN_TIMINGS = 10  # a model
MEMORY_IMAGES = 4  # that the process runs whose memory is measured


@dataclasses.dataclass(eq=False)
class Program:
    """A model on a canvas, and what it did.

    Args:
      path: of the model.
      runner: it, loaded.
      against: the program it is compared with, None for a reference.
      results: COCO results of all images.
      seconds: of each timed image.
    """

    path: pathlib.Path
    runner: Runner
    against: "Program | None" = None
    results: list[dict] = dataclasses.field(default_factory=list)
    seconds: list[float] = dataclasses.field(default_factory=list)

    @property
    def name(self) -> str:
        """The last part of the path (two if that is a version), and the canvas if there is one."""
        canvas, version = self.runner.canvas, self.path.name.isdigit()
        name = "/".join(self.path.parts[-2:] if version else self.path.parts[-1:])
        return name + ("" if canvas is None else f" on {canvas[0]} x {canvas[1]}")


def compare_artefacts(
    reference: str | os.PathLike,
    others: Sequence[str | os.PathLike],
    images: str,
    annotations: str | None = None,
    limit: int | None = None,
) -> list[dict]:
    """Runs models on the same images, in turns, and compares each with the first.

    A Keras model that is compared with a format of constant shapes gets the same canvas: zeros around an image change
    what the network sees.

    Args:
      reference: path of what the others are compared with, see `runners.load`.
      others: paths of the others.
      images: folder, file or glob pattern; with annotations the folder of their images.
      annotations: COCO JSON of the images, for AP; None for none.
      limit: the first images only; None for all.

    Returns:
      A record a program (the reference once for each canvas): `artefact`, `canvas`, `images`, `detections`,
      `latency_ms` (median of one image: preprocessing, network and unpadding), `size_mb`, `peak_mb` and
      `above_start_mb` (see `measure_memory`), `bbox_AP` and `segm_AP` (0 to 1) with annotations. And, against the
      reference named by `against`: the figures of `differences`, and `bbox_AP_change`, `segm_AP_change`.

    Raises:
      ExportError: a model or an image cannot be loaded, or the annotations do not suit.
    """
    programs = _load_all(reference, others)
    try:
        files, truth = _list_files(images, annotations, limit)
        _run_all(programs, files)
        tables = [_score(program, truth) for program in programs]
    except ExportError:
        raise
    except ValueError as error:  # of annotations and image files
        raise ExportError(str(error)) from None
    memory_files = [file.path for file in files[:MEMORY_IMAGES]]
    records = []
    for program, table in zip(programs, tables, strict=True):
        record = {
            "artefact": program.name,
            "path": str(program.path),
            "canvas": program.runner.canvas,
            "against": program.against and program.against.name,
            "images": len(files),
            "detections": len(program.results),
            "latency_ms": round(1e3 * statistics.median(program.seconds), 2),
            "size_mb": round(size_bytes(program.path) / 2**20, 3),
            **(measure_memory(program.path, program.runner.canvas, memory_files) or {}),
            **table,
        }
        if program.against is not None:
            record |= differences(program.results, program.against.results)
            before = tables[programs.index(program.against)]
            record |= {f"{name}_change": round(value - before[name], 4) for name, value in table.items()}
        records.append(record)
    return records


def _load_all(reference, others) -> list[Program]:
    """References, one for each canvas that is needed, and the others."""
    reference = pathlib.Path(reference)
    first = load(reference)
    is_keras = reference.suffix == ".keras"
    references, programs = {}, []
    for path in map(pathlib.Path, others):
        runner = load_on_canvas(path, first.canvas)
        canvas: Canvas | None = runner.canvas if is_keras else first.canvas
        if canvas not in references:
            references[canvas] = Program(reference, load_on_canvas(reference, canvas) if is_keras else first)
        programs.append(Program(path, runner, references[canvas]))
    return [*references.values(), *programs]


def _list_files(images, annotations, limit):
    """The image files, and the COCO dictionary of them alone, or None."""
    if annotations is None:
        return image_files.find_images(images)[:limit], None
    truth = read_annotations(annotations)
    truth = {**truth, "images": truth["images"][:limit]}
    kept = {image["id"] for image in truth["images"]}
    truth["annotations"] = [item for item in truth["annotations"] if item["image_id"] in kept]
    return image_files.list_images(truth, images), truth


def _run_all(programs, files):
    """Fills `results` in a first round, which is the warm-up too, and `seconds` in the rounds after it.

    The programs take turns at each image, so that whatever else the machine does slows all of them.
    """
    kind = programs[0].runner.config.preprocess.pixels
    for file in files:
        image = image_files.read_image(file.path, file.shape, kind)
        for program in programs:
            config = program.runner.config
            program.results += find_in_image(program.runner, config, image, file.image_id, config.detection.paste)
    for _ in range(-(-MIN_TIMINGS // len(files))):
        for file in files:
            image = image_files.read_image(file.path, file.shape, kind)
            for program in programs:
                started = time.perf_counter()
                program.runner.predict([image])
                program.seconds.append(time.perf_counter() - started)


def _score(program, truth) -> dict[str, float]:
    """{"bbox_AP", "segm_AP", "proposals_AR100"} as far as there are; {} without annotations."""
    if truth is None:
        return {}
    config = program.runner.config
    tables = scoring.score_results(truth, scoring.translated(program.results, truth, config), config)
    figures = {"bbox": "AP", "segm": "AP", "proposals": "AR100"}
    return {f"{kind}_{name}": round(tables[kind][name], 4) for kind, name in figures.items() if kind in tables}


def differences(results: Sequence[dict], reference: Sequence[dict]) -> dict[str, float | int | None]:
    """How far detections of the same things lie apart.

    Args:
      results, reference: COCO results.

    Returns:
      `matched` (pairs of one image and category with a box IoU of at least 0.5), `agreement`, and of the pairs, None
      where there is none: `box_px_mean`, `box_px_largest` (side of a box, pixels), `score_mean`, `score_largest`,
      `mask_iou_mean`, `mask_iou_least`.
    """
    pairs = _pairs(results, reference)
    boxes = [np.abs(_corners(a) - _corners(b)).max() for a, b in pairs]
    scores = [abs(a["score"] - b["score"]) for a, b in pairs]
    masks = [compare_masks(a, b)[0] for a, b in pairs if "segmentation" in a and "segmentation" in b]
    figures = {
        "matched": len(pairs),
        "agreement": round(agreement(results, reference), 4) if reference else None,
    }
    for name, values, worst, extreme in (
        ("box_px", boxes, "largest", max),
        ("score", scores, "largest", max),
        ("mask_iou", masks, "least", min),
    ):
        figures[f"{name}_mean"] = float(np.mean(values)) if values else None
        figures[f"{name}_{worst}"] = float(extreme(values)) if values else None
    return figures


def _pairs(results, reference):
    """Pairs of the same image and category, the largest IoU first."""
    groups = defaultdict(lambda: ([], []))
    for side, items in enumerate((results, reference)):
        for item in items:
            groups[item["image_id"], item["category_id"]][side].append(item)
    pairs = []
    for ours, theirs in groups.values():
        if not ours or not theirs:
            continue
        boxes = (np.array([item["bbox"] for item in side], np.float64) for side in (ours, theirs))
        ious = coco_mask.iou(*boxes, [0] * len(theirs))
        while ious.max() >= MIN_IOU:
            i, j = np.unravel_index(np.argmax(ious), ious.shape)
            pairs.append((ours[i], theirs[j]))
            ious[i], ious[:, j] = -1, -1
    return pairs


def _corners(item):
    x, y, width, height = item["bbox"]
    return np.array([x, y, x + width, y + height], np.float64)


def size_bytes(path: pathlib.Path) -> int:
    """Of a file, or of all files of a folder."""
    return sum(file.stat().st_size for file in (path, *path.rglob("*")) if file.is_file())


def format_table(records: Sequence[dict]) -> str:
    """Records of `compare_artefacts` as text: a row a figure, a column a program."""
    rows = [[name, *(_text(record.get(name)) for record in records)] for name in _columns(records)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def _columns(records):
    """Names of all figures, in the order in which they are met; a path is for machines."""
    names = dict.fromkeys(name for record in reversed(records) for name in record)
    return [name for name in names if name != "path"]


def _text(value):
    if value is None:
        return "-"
    if isinstance(value, tuple):
        return " x ".join(map(str, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
