"""The formats by name, and a conversion from one to another with its report."""

import pathlib
from collections.abc import Callable
from typing import NamedTuple

from mask_rcnn_tf.coco import results
from mask_rcnn_tf.coco.errors import printable
from mask_rcnn_tf.coco.segmentation import has_segmentation
from mask_rcnn_tf.conversion import (
    from_coco,
    from_cvat,
    from_label_studio,
    from_labelme,
    from_masks,
    from_via,
    from_voc,
    from_yolo,
    to_coco,
    to_labelme,
    to_masks,
    to_voc,
    to_yolo,
    writing,
)
from mask_rcnn_tf.conversion.labelled import LabelledData, Options, Report


class Source(NamedTuple):
    """A format that is read.

    Attributes:
      read: from a path to labelled data.
      takes: the options that it knows, beside `images`.
    """

    read: Callable[[pathlib.Path, Options, Report], LabelledData]
    takes: tuple[str, ...] = ()


SOURCES = {
    "coco": Source(from_coco.read),
    "cvat": Source(from_cvat.read, ("split",)),
    "label_studio": Source(from_label_studio.read),
    "labelme": Source(from_labelme.read),
    "masks": Source(from_masks.read, ("category",)),
    "via": Source(from_via.read, ("attribute", "category")),
    "voc": Source(from_voc.read, ("split",)),
    "yolo": Source(from_yolo.read, ("split",)),
}
COCO = "coco"
FOLDERS = {
    "labelme": to_labelme.write,
    "masks": to_masks.write,
    "voc": to_voc.write,
    "yolo": to_yolo.write,
    "yolo_pose": to_yolo.write_poses,
}
TARGETS = (COCO, *FOLDERS)


def convert(source: str, path: str, target: str, output: str, options: Options) -> list[str]:
    """Converts annotations.

    Args:
      source: a name of `SOURCES`.
      path: the folder or file of the annotations.
      target: a name of `TARGETS`.
      output: the COCO file, or the folder, that is written.
      options: what a person said.

    Returns:
      Lines about what was written, where its images are, and what was left out.

    Raises:
      ValueError: nothing can be read, or an option is of no use to the format.
    """
    for name in ("split", "category", "attribute"):
        if getattr(options, name) != getattr(Options, name) and name not in SOURCES[source].takes:
            readers = ", ".join(key for key, value in SOURCES.items() if name in value.takes)
            raise ValueError(
                f"{name} is {getattr(options, name)!r}, and from is {source!r}; allowed with it: {readers}."
            )
    if not pathlib.Path(path).exists():
        raise ValueError(f"input is {printable(path)!r}; there is no such file or folder.")
    if target != COCO:
        writing.new_folder(pathlib.Path(output))  # known before the work
    report = Report()
    data = SOURCES[source].read(pathlib.Path(path), options, report)
    found = to_coco.coco(data, report, options.boxes_as_masks)
    if target == COCO:
        results.write_json(found, output)
    else:
        FOLDERS[target](data, pathlib.Path(output), report)
    return [*_summary(found, output, data), *report.lines()]


def _summary(found: dict, output: str, data: LabelledData) -> list[str]:
    rows, names = found["annotations"], [category["name"] for category in found["categories"]]
    alone = sum(not has_segmentation(row) for row in rows)
    empty = len(found["images"]) - len({row["image_id"] for row in rows})
    some = f"{', '.join(names[:10])}{', ...' if len(names) > 10 else ''}"
    counts = f"{len(found['images'])} images ({empty} without objects), {len(rows)} objects ({alone} with a box alone)"
    return [
        f"{counts}, {len(names)} categories ({some}): {printable(output)}",
        f"their folder: {printable(data.images_folder)}",
    ]
