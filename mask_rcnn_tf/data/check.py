"""What `tools/check_data.py` prints and draws: everything found in an annotation file and its images."""

import dataclasses
import os
import pathlib
import re
from collections.abc import Iterator

import numpy as np

from mask_rcnn_tf.coco import categories, completion, reader, results, rle
from mask_rcnn_tf.coco import pictures as coco_pictures
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.coco.keypoints import KeypointSet, keypoint_set
from mask_rcnn_tf.data import examples, records
from mask_rcnn_tf.data.report import Report
from mask_rcnn_tf.pixels import RGB, PixelKind, picture_of

FIRST = 50  # images that tell what all are


@dataclasses.dataclass
class Sample:
    """An image with its annotations, to be drawn."""

    name: str  # a file name without folder
    image_id: int
    image: np.ndarray  # u8 [h, w, 3]
    boxes: np.ndarray  # f32 [n, 4] yxyx pixels
    labels: list[str]
    masks: list[np.ndarray] | None  # bool [h, w]; None if an annotation has none
    keypoints: np.ndarray | None = None  # f32 [n, J, 3] (x, y, v), COCO's: from centres of pixels
    skeleton: tuple[tuple[int, int], ...] = ()  # pairs of keypoints, from 0


def check(annotations: str, images: str, max_gt: int = 100, pictures: int = 0) -> tuple[str, Report, list[Sample]]:
    """Goes through a whole annotation file and its images, keeping nothing on disk.

    Args:
      annotations: path of a COCO-format JSON.
      images: folder.
      max_gt: instances an image may have before the surplus is dropped.
      pictures: how many samples to return, spread over the file.

    Returns:
      (text with the counts, the id map and every bad record; the report; samples). Images are taken for what the first
      ones are.

    Raises:
      ValueError: the file or the folder is missing, or the file is not in COCO format.
    """
    coco = reader.read_annotations(annotations)
    category_ids, class_names = categories.table(coco)
    keypoints = keypoint_set(coco)
    kind = _kind(coco, images)
    options = examples.ScanOptions(
        category_ids, keypoints.count, require_masks=False, channels=kind.channels, bits=kind.bits
    )
    report, samples = Report(annotations_file=annotations), []
    names = {image["id"]: image["file_name"] for image in coco["images"]}
    every = max(1, len(names) // max(1, pictures))
    for index, example in enumerate(examples.scan(coco, images, options, report)):
        if len(samples) < pictures and index % every == 0:
            samples.append(_sample(example, kind, names[example["image_id"]], class_names, keypoints.skeleton))
    lines = [*_lines(report, category_ids, class_names, keypoints, max_gt), *_pixel_lines(kind)]
    return "\n".join(lines), report, samples


def _kind(coco: dict, images: str) -> PixelKind:
    """RGB, unless the first images have other numbers of channels, which are no colours."""
    paths = [pathlib.Path(images, image["file_name"]) for image in coco["images"][:FIRST]]
    found = coco_pictures.common_kind(paths)
    return RGB if found.channels in (1, 3) else found


def _pixel_lines(kind: PixelKind) -> list[str]:
    if kind.is_rgb:
        return []
    fields = f"config.model.preprocess.channels={kind.channels}, .bits={kind.bits}"
    return [f"images are {kind}: {fields}, and mean, std as `mrcnn suggest` says when it is given --images"]


def write_usable(annotations: str, path: str) -> str:
    """Writes what of an annotation file can be trained on and scored.

    Args:
      annotations: path of a COCO-format JSON.
      path: where to write; not the same file.

    Returns:
      A line about what was written.

    Raises:
      ValueError: the file is missing, not in COCO format or contradicts itself, or nothing can be written there.
    """
    content, lost = completion.usable(reader.read_annotations(annotations))
    if os.path.exists(path):
        raise ValueError(f"usable is {path!r}, which exists; allowed: a new file.")
    try:
        results.write_json(content, path)
    except OSError as error:
        raise ValueError(f"usable is {path!r}; it cannot be written: {error.strerror}.") from None
    return f"{len(content['annotations'])} annotations, without {lost} that cannot be used, written to {path}"


def _sample(example: dict, kind: PixelKind, name: str, class_names: tuple[str, ...], skeleton: tuple) -> Sample:
    shape = (example["height"], example["width"])
    masked = all(len(runs) for runs in example["runs"])
    return Sample(
        name=re.sub(r"[^\w.-]", "_", str(pathlib.PurePath(name).with_suffix(""))),
        image_id=example["image_id"],
        image=picture_of(records.decoded(example, kind)["image"].numpy()),
        boxes=example["boxes"],
        labels=[class_names[index - 1] for index in example["classes"]],
        masks=[rle.bitmap(runs, *shape) for runs in example["runs"]] if masked else None,
        keypoints=None if example["keypoints"] is None else example["keypoints"] - np.float32((0.5, 0.5, 0.0)),
        skeleton=skeleton,
    )


def _lines(
    report: Report, category_ids: tuple, class_names: tuple, keypoints: KeypointSet, max_gt: int
) -> Iterator[str]:
    yield report.table(max_gt)
    sides, sizes = report.image_sides, report.sizes
    yield f"  image sides  {sides.get('smallest', 0)} to {sides.get('largest', 0)} pixels"
    areas = "area below 32^2, below 96^2, above"
    yield f"  sizes        {', '.join(f'{sizes.get(key, 0)} {key}' for key in ('small', 'medium', 'large'))} ({areas})"
    yield from (f"  warning: {line}" for line in coco_pictures.fact_lines(report.pictures))
    if keypoints.count:
        names = f": {', '.join(keypoints.names)}" if keypoints.names else ", without names"
        pairs = ", ".join(" and ".join(keypoints.names[index] for index in pair) for pair in keypoints.flip_pairs)
        yield f"  keypoints    {keypoints.count} an instance{names}; a mirror exchanges {pairs or 'none'}"
    if report.used_annotations and report.without_mask == report.used_annotations:
        yield f"  boxes only: train with --{examples.BOXES_ALONE}"
    elif report.without_mask:
        yield (
            f"  {report.without_mask} annotations have a box only: masks are trained without them, and not scored with "
            "them; --usable writes the file without"
        )
    yield f"{'category id':>12} {'class':>6} {'annotations':>12}  name"
    for index, (category_id, name) in enumerate(zip(category_ids, class_names, strict=True)):
        yield f"{category_id:>12} {index + 1:>6} {report.per_category.get(category_id, 0):>12}  {printable(name, 100)}"
    yield f"{len(report.bad)} bad records{':' if report.bad else ''}"
    for record in report.bad:
        yield f"  {record}"
    for reason in report.unusable:
        yield f"the file cannot be used: {reason}"
