"""The facts of a score of files, as `tools/evaluate.py` makes it."""

import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from mask_rcnn_tf.coco import completion, reader
from mask_rcnn_tf.config import ModelConfig
from mask_rcnn_tf.evaluation import coco_metrics
from mask_rcnn_tf.evaluation.files import partial_score
from mask_rcnn_tf.evaluation.image_files import list_images, read_image
from mask_rcnn_tf.report import settings
from mask_rcnn_tf.report.facts import Facts


def of_files(
    scored: tuple[dict[str, dict], list[dict], list[str]],
    config: ModelConfig,
    paths: Mapping[str, str],
    page: str | os.PathLike,
    max_dets: Sequence[int] | None = None,
) -> Facts:
    """What a report of `evaluate_files` is made of.

    Args:
      scored: what `evaluate_files` gave.
      config: the model's.
      paths: of "model", "annotations" and "images" (a folder), and what else lies somewhere, such as "output".
      page: of the report, from whose folder links lead.
      max_dets: as `evaluate_files` got it.

    Raises:
      ValueError: the annotations cannot be read.
    """
    metrics, results, failures = scored
    coco = reader.read_annotations(paths["annotations"])
    truth = coco_metrics.index(completion.complete(coco, need_mask="segm" in metrics)[0], ("bbox",))
    files = {file.image_id: file for file in list_images(coco, paths["images"])}
    kind = config.preprocess.pixels

    def read_images(image_ids: Sequence[int]) -> Iterator[tuple[int, np.ndarray | str]]:
        for image_id in image_ids:
            try:
                yield image_id, read_image(files[image_id].path, files[image_id].shape, kind)
            except ValueError as error:
                yield image_id, str(error)

    beside = pathlib.Path(page).resolve().parent
    model, annotations = (os.path.basename(paths[name]) for name in ("model", "annotations"))
    return Facts(
        title=f"{model} on {annotations}",
        about=f"How {paths['model']} does on {len(files)} images of {paths['annotations']}.",
        metrics=metrics,
        truth=truth,
        results=results,
        max_dets=(max_dets or coco_metrics.MAX_DETS)[-1],
        read_images=read_images,
        settings=settings.of_model(config),
        files=[(os.path.relpath(path, beside), name) for name, path in paths.items() if path],
        notes=[" ".join(partial_score(failures).split())] if failures else [],
        model=paths["model"],
    )
